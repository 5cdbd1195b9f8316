//! Certificates in the real window: a bundle with its passphrase, the library, the development CA.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
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
    let (broker, bundle) = (demanding(&pki), bundle(dir.path(), &pki).display().to_string());
    let window = Window::open(&dir.path().join("data"), "certificates", &[]).await?;
    let mut draft = window.engine("new_draft", json!({})).await?;
    let id = draft["id"].clone();
    draft["name"] = json!("Press line");
    draft["endpoint"] = json!({"websocket": true, "tls": true, "host": "localhost", "port": broker.wss.to_string(), "path": "/mqtt"});
    draft["settings"]["trust"]["mode"] = json!("ca_only");
    draft["settings"]["trust"]["ca_files"] = json!([pki.ca.display().to_string()]);
    draft["settings"]["client_certificate"] = json!({"enabled": true, "cert_file": bundle, "key_file": ""});
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;

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
    window.until("connected", "return /^Connected \\d/m.test(document.body.innerText)").await?;
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
