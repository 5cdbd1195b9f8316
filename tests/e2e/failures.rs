//! Connections that fail in the real window: the trace names the cause, and its fix is clicked.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use crate::brokers::{Mosquitto, MosquittoOptions, PASSWORD, PASSWORD_PART, Pki, USER};
use crate::dialog;
use crate::saved::{CONNECTED, OverTls};
use crate::window::Window;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_ca_is_named_and_its_fix_connects() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(
        &pki,
        &MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() },
    );
    let window = Window::open(&dir.path().join("data"), "wrong-ca", &[]).await?;
    let server = OverTls::wss(broker.wss, &pki.foreign_ca).with(&pki.client.cert, &pki.client.key);
    let id = server.save(&window, "Wrong CA").await?;

    window.click("Wrong CA").await?;
    window.click("Connect").await?;
    window.says("The server certificate comes from an unknown issuer").await?;
    window.says("Transport stayed wss").await?;
    window.shots("1-named").await?;
    let traces = window.engine("traces", json!({"id": id})).await?;
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
    window.until("connected", CONNECTED).await?;
    window.shots("5-connected").await?;
    let saved = window.engine("profile", json!({"id": id})).await?;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_is_asked_for_again_and_never_written_in_plain() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions { password: true, ..MosquittoOptions::default() });
    let data = dir.path().join("data");
    let window = Window::open(&data, "password", &[]).await?;
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!("With a login");
    draft["endpoint"]["host"] = json!("127.0.0.1");
    draft["endpoint"]["port"] = json!(broker.mqtt.to_string());
    draft["settings"]["login"] = json!({"enabled": true, "username": USER});
    let wrong = json!([{"field": {"kind": "password"}, "value": "not this", "encoding": "utf8"}]);
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": wrong})).await?;

    window.click("With a login").await?;
    window.click("Connect").await?;
    window.until("the refusal", "return /Failed at MQTT/.test(document.body.innerText)").await?;
    window.says("Transport stayed mqtt").await?;
    window.shots("1-refused").await?;
    window.click("Enter…").await?;
    window.find("[role=dialog]").await?;
    window.shots("2-asked").await?;
    window.fill("Password", PASSWORD).await?;
    window.press("Enter").await?;
    window.until("connected", CONNECTED).await?;
    window.shots("3-connected").await?;
    let secret = window.engine("traces", json!({"id": draft["id"]})).await?.to_string();
    assert!(!secret.contains(PASSWORD_PART) && !secret.contains("not this"), "a secret in the trace");
    window.close().await?;

    for file in files_in(&data)? {
        let bytes = std::fs::read(&file)?;
        for secret in [PASSWORD_PART.as_bytes(), b"not this"] {
            let found = bytes.windows(secret.len()).any(|part| part == secret);
            assert!(!found, "{} holds a password in plain", file.display());
        }
    }
    Ok(())
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_in(&entry.path())?);
        } else if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}
