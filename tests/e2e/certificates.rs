//! Certificates in the real window: a bundle with its passphrase, the library, the development CA.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
use crate::dialog;
use crate::saved::{CONNECTED, OverTls};
use crate::vault::small;
use crate::window::Window;

/// What opens [`bundle`].
pub const PASSPHRASE: &str = "canary of the bundle";

/// A PKCS#12 bundle of the client.
pub fn bundle(dir: &Path, pki: &Pki) -> PathBuf {
    let bundle = dir.join("planta.p12");
    let made = std::process::Command::new("openssl")
        .args(["pkcs12", "-export", "-passout", &format!("pass:{PASSPHRASE}"), "-in"])
        .arg(&pki.client.cert)
        .arg("-inkey")
        .arg(&pki.client.key)
        .arg("-out")
        .arg(&bundle)
        .status()
        .expect("openssl");
    assert!(made.success());
    bundle
}

/// A broker that demands a client certificate.
pub fn demanding(pki: &Pki) -> Mosquitto {
    Mosquitto::start(pki, &MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_asks_for_its_passphrase_and_connects() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let (broker, bundle) = (demanding(&pki), bundle(dir.path(), &pki));
    let window = Window::open(&dir.path().join("data"), "certificates", &[]).await?;
    let server = OverTls::wss(broker.wss, &pki.ca).with(&bundle, Path::new(""));
    let id = server.save(&window, "Press line").await?;

    window.click("Press line").await?;
    window.press("Control+e").await?;
    window.says("The bundle is encrypted").await?;
    window.shots("bundle-locked").await?;
    let field = window.find("[data-field='settings.client_certificate.passphrase']").await?;
    field.send_keys("wrong").await?;
    window.says("does not open").await?;
    window.shots("bundle-wrong").await?;
    field.clear().await?;
    field.send_keys(PASSPHRASE).await?;
    window.find("#section-authentication article.cert").await?;
    window.says("planta-client").await?;
    window.shots("bundle-open").await?;
    window.click("Save and connect").await?;
    window.until("connected", CONNECTED).await?;
    let profile = window.engine("profile", json!({"id": id})).await?;
    assert!(!profile.to_string().contains("canary"));
    let database = std::fs::read(dir.path().join("data/heliograph.db"))?;
    assert!(!database.windows(6).any(|w| w == b"canary"), "no passphrase in the database");

    // A connection with a certificate that has ended is marked in the list, and said once.
    let mut old = window.engine("new_draft", json!({})).await?;
    old["name"] = json!("Old press");
    old["endpoint"]["host"] = json!("localhost");
    old["settings"]["client_certificate"] = json!({
        "enabled": true,
        "cert_file": pki.expired_client.cert.display().to_string(),
        "key_file": pki.expired_client.key.display().to_string(),
    });
    window.engine("save_profile", json!({"draft": old, "folder": null, "secrets": []})).await?;
    window.says("expired-client has ended").await?;
    window.find("[role=treeitem] [aria-label^='expired-client has ended']").await?;
    window.shots("ended").await?;

    window.press("Control+Shift+k").await?;
    window.find("article.entry").await?;
    window.says("Press line").await?;
    window.shots("library").await?;
    window.resize(900, 600).await?;
    window.shots("library-small").await?;
    window.resize(1440, 900).await?;
    window.js("document.querySelectorAll('article.entry .sum').forEach(b => b.click()); return true").await?;
    window.find("article.entry article.cert").await?;
    window.shots("library-open").await?;
    window.click("Create CA").await?;
    window.says("Issue certificate").await?;
    window.click("Issue certificate").await?;
    window.says("require_certificate true").await?;
    window.js("document.querySelector('.issued').scrollIntoView(); return true").await?;
    window.shots("development-ca").await?;
    window.close().await
}

/// What the broker calls a client is the common name of its certificate.
#[tokio::test(flavor = "multi_thread")]
async fn one_identity_is_replaced_once_for_every_connection_that_uses_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let extra = "use_identity_as_username true\n".to_owned();
    let options = MosquittoOptions { require_certificate: true, extra, ..MosquittoOptions::default() };
    let broker = Mosquitto::start(&pki, &options);
    let next = pki.issue_client(dir.path(), "planta-next", &rcgen::KeyPair::generate()?);
    let other = pki.issue_client(dir.path(), "another", &rcgen::KeyPair::generate()?);
    let window = Window::open(&dir.path().join("data"), "replaced", &[]).await?;
    let mut ids = Vec::new();
    for (name, identity) in [("Press north", &pki.client), ("Press south", &pki.client), ("Oven", &other)] {
        let server = OverTls::wss(broker.wss, &pki.ca).with(&identity.cert, &identity.key);
        ids.push(server.save(&window, name).await?);
    }

    window.press("Control+Shift+k").await?;
    window.click("planta-client").await?;
    window.says("Used by").await?;
    window.shots("1-two-use-it").await?;
    small(&window, "1-two-use-it").await?;
    window.click("Replace in 2 connections…").await?;
    dialog::choose("Replace planta-client", &next.cert.display().to_string()).await?;
    dialog::choose("Private key for the new planta-client", &next.key.display().to_string()).await?;
    window.says("Replaced in 2 connections").await?;
    window.find("article.entry[aria-label=planta-next]").await?;
    window.shots("2-replaced").await?;
    small(&window, "2-replaced").await?;
    window.press("Escape").await?;

    for (name, id, who) in [
        ("Press north", &ids[0], "planta-next"),
        ("Press south", &ids[1], "planta-next"),
        ("Oven", &ids[2], "another"),
    ] {
        window.click(name).await?;
        window.click("Connect").await?;
        window.until(name, CONNECTED).await?;
        let trace = window.engine("traces", json!({"id": id})).await?[0].clone();
        let client = trace["stages"].as_array().into_iter().flatten().find(|stage| stage["stage"] == "mqtt");
        let client = client.map(|stage| stage["detail"]["client_id"].clone()).unwrap_or_default();
        let known = |line: &str| {
            line.contains(client.as_str().unwrap_or("no client")) && line.contains(&format!("u'{who}'"))
        };
        ensure!(broker.log().lines().any(known), "{name} is not {who}:\n{}", broker.log());
    }
    window.shots("3-connected").await?;
    window.close().await
}
