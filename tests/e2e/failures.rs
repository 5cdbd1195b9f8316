//! Connections that fail in the real window: the trace names the cause, and its fix is clicked.

use anyhow::Result;
use serde_json::{Value, json};

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
use crate::dialog;
use crate::window::Window;

/// A saved connection to the broker's wss listener with a client certificate, trusting `ca`.
async fn saved(window: &Window, name: &str, port: u16, pki: &Pki, ca: &std::path::Path) -> Result<Value> {
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!(name);
    draft["endpoint"] = json!({"websocket": true, "tls": true, "host": "localhost", "port": port.to_string(), "path": "/mqtt"});
    draft["settings"]["trust"]["mode"] = json!("ca_only");
    draft["settings"]["trust"]["ca_files"] = json!([ca]);
    let identity = &mut draft["settings"]["client_certificate"];
    identity["enabled"] = json!(true);
    identity["cert_file"] = json!(pki.client.cert);
    identity["key_file"] = json!(pki.client.key);
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_ca_is_named_and_its_fix_connects() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(
        &pki,
        &MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() },
    );
    let window = Window::open(&dir.path().join("data"), "wrong-ca", &[]).await?;
    let profile = saved(&window, "Wrong CA", broker.wss, &pki, &pki.foreign_ca).await?;

    window.click("Wrong CA").await?;
    window.click("Connect").await?;
    window.says("The server certificate comes from an unknown issuer").await?;
    window.says("Transport stayed wss").await?;
    window.shots("1-named").await?;
    let traces = window.engine("traces", json!({"id": profile["id"]})).await?;
    assert_eq!(traces[0]["verdict"]["failure"]["code"], json!("server_cert_unknown_issuer"), "{traces:#}");

    // The server presents a CA of its own; the person has its file.
    window.click("Choose CA file").await?;
    window.says("Trust the CA that the server presented?").await?;
    window.shots("2-presented").await?;
    window
        .js("[...document.querySelectorAll('[role=dialog] button')].find(b => b.innerText.startsWith('Choose CA file'))\
             .click(); return true")
        .await?;
    dialog::choose("Trust the CA that issued the server certificate", &pki.ca.display().to_string()).await?;
    window.says("The server's certificate names it as its issuer").await?;
    window.shots("3-its-card").await?;
    window.click("Trust and try again").await?;
    window.says("Connected in").await?;
    window.shots("4-tried-in-the-draft").await?;
    window.click("Save and connect").await?;
    window.until("connected", "return /^Connected \\d/m.test(document.body.innerText)").await?;
    window.shots("5-connected").await?;
    let saved = window.engine("profile", json!({"id": profile["id"]})).await?;
    assert_eq!(saved["endpoint"]["port"], json!(broker.wss.to_string()), "{saved:#}");
    assert_eq!(saved["endpoint"]["tls"], json!(true));
    assert_eq!(saved["endpoint"]["websocket"], json!(true));
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_cannot_be_used_is_said_in_the_window_and_tried_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("heliograph.db");
    let content = b"dear diary ".repeat(1000);
    std::fs::write(&file, &content)?;
    let window = Window::start(dir.path(), "no-start", &[]).await?;
    window.says("Heliograph cannot start").await?;
    window.says(&format!("{} is damaged", file.display())).await?;
    window.shots("1-said").await?;
    window.click("Try again").await?;
    window.says(&format!("{} is damaged", file.display())).await?;
    assert_eq!(std::fs::read(&file)?, content, "it is as it was");

    std::fs::rename(&file, dir.path().join("aside.db"))?;
    window.click("Try again").await?;
    window.find("[data-ready=true]").await?;
    window.says("New connection").await?;
    window.shots("2-started").await?;
    window.close().await
}
