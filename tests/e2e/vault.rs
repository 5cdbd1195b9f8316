//! Secrets and private keys in the real window: with a real gnome-keyring in a session of its own, with that locked,
//! with none, with a passphrase, and with a key on a token.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::brokers::{Mosquitto, MosquittoOptions, PASSWORD, PASSWORD_PART, Pki, SoftHsm, TOKEN_PIN, USER};
use crate::certificates::{PASSPHRASE, bundle, demanding};
use crate::dialog;
use crate::keyboard::{OVERFLOWS, clipboard};
use crate::private_session::{Policy, Session};
use crate::saved::CONNECTED;
use crate::window::Window;

const VAULT: &str = "canary of the vault";
const ASKS: &str = "return document.querySelector('[role=dialog]') !== null";
const ASKS_NOT: &str = "return document.querySelector('[role=dialog]') === null";

fn nowhere_in(folder: &Path, secret: &str) {
    for entry in std::fs::read_dir(folder).expect("listed") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            nowhere_in(&path, secret);
        } else if path.is_file() {
            let bytes = std::fs::read(&path).expect("read");
            let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!found, "{} holds {secret}", path.display());
        }
    }
}

/// At the smallest size, in both themes, with nothing cut off.
pub async fn small(window: &Window, name: &str) -> Result<()> {
    window.resize(900, 600).await?;
    window.shots(&format!("{name}-small")).await?;
    let cut = window.js(OVERFLOWS).await?;
    assert_eq!(cut, json!(""), "{name} is cut at 900x600");
    window.resize(1440, 900).await
}

/// The secrets' section of the settings, on screen.
pub async fn settings(window: &Window, name: &str) -> Result<()> {
    for (width, height, size) in [(1440, 900, ""), (900, 600, "-small")] {
        window.resize(width, height).await?;
        window
            .js("document.querySelector('.ltable').scrollIntoView({ block: 'center' }); return true")
            .await?;
        window.shots(&format!("{name}{size}")).await?;
        assert_eq!(window.js(OVERFLOWS).await?, json!(""), "{name} is cut");
    }
    window.resize(1440, 900).await
}

/// What of ours is among the arguments of running programs.
fn arguments() -> String {
    let mut all = String::new();
    for process in std::fs::read_dir("/proc").expect("processes") {
        let line = std::fs::read(process.expect("entry").path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains("heliograph") || line.contains("WebKit") {
            all.push_str(&line);
        }
    }
    assert!(all.contains("heliograph"), "the window runs");
    all
}

async fn disconnect(window: &Window, id: &Value) -> Result<()> {
    window.engine("disconnect", json!({ "id": id })).await?;
    window.until("disconnected", &format!("return !({})()", as_function(CONNECTED))).await.map(|_| ())
}

fn as_function(script: &str) -> String {
    format!("function() {{ {script} }}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_connects_again_after_a_restart_and_while_the_keyring_is_locked() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let (broker, bundle, data) = (demanding(&pki), bundle(dir.path(), &pki), dir.path().join("data"));
    let session = Session::with_keyring(Policy::Open);
    let window = Window::open_in(&session, &data, "vault", &[]).await?;

    window.click("Set up").await?;
    window.click("wss").await?;
    window.fill("Host", "localhost").await?;
    window.fill("Port", &broker.wss.to_string()).await?;
    window.fill("Path", "/mqtt").await?;
    window.fill("Name", "Press line").await?;
    window.click("Client certificate").await?;
    window.click("Choose").await?;
    dialog::choose("Certificate", &bundle.display().to_string()).await?;
    window.says("The bundle is encrypted").await?;
    let field = window.find("[data-field='settings.client_certificate.passphrase']").await?;
    field.send_keys("wrong").await?;
    window.says("does not open").await?;
    window.shots("1-wrong-passphrase").await?;
    field.clear().await?;
    field.send_keys(PASSPHRASE).await?;
    window.says("planta-client").await?;
    window.click("Only certificates issued by CA files").await?;
    window.click("Add CA file").await?;
    dialog::choose("CA file", &pki.ca.display().to_string()).await?;
    window.says("CA files hold 1 certificate").await?;
    window.click("Save and connect").await?;
    window.until("connected", CONNECTED).await?;
    let tree = window.engine("library_tree", json!({})).await?;
    let id = tree["profiles"][0]["id"].clone();
    let status = window.engine("vault_status", json!({})).await?;
    assert_eq!(
        (&status["keep"], &status["state"], &status["stored"]),
        (&json!("keyring"), &json!("open"), &json!(1))
    );
    window.close().await?;

    // Another run: nobody is asked.
    let window = Window::open_in(&session, &data, "vault", &[]).await?;
    window.click("Press line").await?;
    window.click("Connect").await?;
    window.until("connected", CONNECTED).await?;
    window.until("nobody is asked", ASKS_NOT).await?;
    window.press("Control+,").await?;
    window.says("System keyring").await?;
    settings(&window, "2-settings-open").await?;
    window.close().await?;

    // The keyring is locked: that is said, and what is typed connects for this session.
    session.lock_keyring();
    let window = Window::open_in(&session, &data, "vault", &[]).await?;
    window.click("Press line").await?;
    window.click("Connect").await?;
    window.says("The vault cannot be opened").await?;
    window.says("The keyring is locked").await?;
    window.shots("3-keyring-locked").await?;
    small(&window, "3-keyring-locked").await?;
    window.click("Type the secrets instead").await?;
    window.fill("Passphrase of the private key", PASSPHRASE).await?;
    window.shots("4-typed-instead").await?;
    window.press("Enter").await?;
    window.until("connected", CONNECTED).await?;
    window.press("Control+,").await?;
    window.says("The keyring is locked").await?;
    settings(&window, "5-settings-locked").await?;

    // Unlocked, it goes on by itself at the next try.
    session.unlock_keyring();
    window.click("Try again").await?;
    window.until("open", "return !/The keyring is locked/.test(document.body.innerText)").await?;
    let status = window.engine("vault_status", json!({})).await?;
    assert_eq!((&status["state"], &status["in_memory"]), (&json!("open"), &json!(0)), "{status}");
    window.press("Escape").await?;
    disconnect(&window, &id).await?;

    // The key goes into the vault, its file away, and it connects all the same, after a restart too.
    window.press("Control+e").await?;
    window.find("article.cert").await?;
    window
        .js("document.querySelector('article.cert .acts').scrollIntoView({ block: 'center' }); return true")
        .await?;
    window.shots("6-import").await?;
    window.click("Import the key into the vault").await?;
    window.says("The private key was imported into the vault").await?;
    window.shots("7-imported").await?;
    small(&window, "7-imported").await?;
    std::fs::remove_file(&bundle)?;
    window.click("Save and connect").await?;
    window.until("connected", CONNECTED).await?;
    disconnect(&window, &id).await?;
    window.press("Control+Shift+k").await?;
    window.says("key in the vault").await?;
    window
        .js("document.querySelectorAll('article.entry .sum').forEach((b) => b.click()); return true")
        .await?;
    window.shots("8-library").await?;
    small(&window, "8-library").await?;
    window.close().await?;

    // Locked again, a key cannot be typed: what waits for it is named, and goes on once the keyring is open.
    session.lock_keyring();
    let window = Window::open_in(&session, &data, "vault", &[]).await?;
    window.click("Press line").await?;
    window.click("Connect").await?;
    window.says("The private key of Press line is in the vault").await?;
    assert_eq!(
        window.js("return /Type the secrets instead/.test(document.body.innerText)").await?,
        json!(false)
    );
    window.shots("9-key-locked").await?;
    session.unlock_keyring();
    window.click("Try again").await?;
    window.until("connected", CONNECTED).await?;
    window.close().await?;
    nowhere_in(&data, PASSPHRASE);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_keyring_it_is_asked_once_and_a_passphrase_vault_locks_itself() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions { password: true, ..MosquittoOptions::default() });
    let data = dir.path().join("data");
    let session = Session::without_keyring(Policy::Open);
    let window = Window::open_in(&session, &data, "vault-passphrase", &[]).await?;
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!("With a login");
    draft["endpoint"]["host"] = json!("127.0.0.1");
    draft["endpoint"]["port"] = json!(broker.mqtt.to_string());
    draft["settings"]["login"] = json!({ "enabled": true, "username": USER });
    let id = draft["id"].clone();
    let password = json!([{ "field": { "kind": "password" }, "value": PASSWORD, "encoding": "utf8" }]);
    window.engine("save_profile", json!({ "draft": draft, "folder": null, "secrets": password })).await?;

    window.says("There is no keyring").await?;
    for choice in ["This session only", "Passphrase vault", "Do not store"] {
        window.says(choice).await?;
    }
    window.shots("1-no-keyring").await?;
    small(&window, "1-no-keyring").await?;
    window.click("Passphrase vault").await?;
    window.click("Use this").await?;
    window.fill("New passphrase", VAULT).await?;
    window.fill("Once more", VAULT).await?;
    window.shots("2-passphrase").await?;
    small(&window, "2-passphrase").await?;
    window.press("Enter").await?;
    window.until("nothing is asked any more", ASKS_NOT).await?;
    window.click("With a login").await?;
    window.click("Connect").await?;
    window.until("connected", CONNECTED).await?;
    window.press("Control+,").await?;
    window.says("Lock now").await?;
    settings(&window, "3-settings").await?;
    window.press("Escape").await?;

    // The report, the export and the arguments of our programs tell what was sent, and no secret.
    window.click("Trace").await?;
    window.until("the trace", "return /Connected in/.test(document.body.innerText)").await?;
    window.click("Copy report").await?;
    window.says("copied").await?;
    let report = clipboard()?;
    window.click("Export…").await?;
    let exported = dir.path().join("trace.json");
    dialog::choose("Export the trace", &exported.display().to_string()).await?;
    window.says("Trace saved to").await?;
    let exported = std::fs::read_to_string(exported)?;
    for (place, text) in [("report", &report), ("export", &exported), ("arguments", &arguments())] {
        assert!(!text.contains(PASSWORD_PART) && !text.contains(VAULT), "a secret in the {place}: {text}");
    }
    assert!(report.contains("127.0.0.1") && exported.contains("\"mqtt\""), "{report}\n{exported}");
    window.close().await?;

    // After a restart it is locked, and asked for when a connection needs it. Nobody is asked where to keep secrets.
    let window = Window::open_in(&session, &data, "vault-passphrase", &[]).await?;
    window.click("With a login").await?;
    window.click("Connect").await?;
    window.until("asked", ASKS).await?;
    window.says("needs a secret that is stored in the vault").await?;
    window.fill("Passphrase", "not this one").await?;
    window.press("Enter").await?;
    window.says("This is not the passphrase of the vault").await?;
    window.shots("4-unlock-wrong").await?;
    small(&window, "4-unlock-wrong").await?;
    window.fill("Passphrase", VAULT).await?;
    window.press("Enter").await?;
    window.until("connected", CONNECTED).await?;

    // It locks itself after a minute without use; the connection that stands, stands.
    window.engine("set_vault_auto_lock", json!({ "minutes": 1 })).await?;
    window.press("Control+,").await?;
    let began = Instant::now();
    let locked = "return /Locked/.test(document.body.innerText)";
    while window.until("locked by itself", locked).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(120), "it does not lock itself");
    }
    window.shots("5-locked-by-itself").await?;
    window.press("Escape").await?;
    window.until("still connected", CONNECTED).await?;
    disconnect(&window, &id).await?;
    window.click("Connect").await?;
    window.fill("Passphrase", VAULT).await?;
    window.press("Enter").await?;
    window.until("connected", CONNECTED).await?;
    window.close().await?;
    nowhere_in(&data, VAULT);
    nowhere_in(&data, PASSWORD_PART);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_on_a_token_is_chosen_in_the_editor_and_its_pin_asked_for() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let (broker, tokens) = (demanding(&pki), SoftHsm::make(dir.path(), "ALL"));
    tokens.token("Plant north");
    tokens.import("Plant north", "press-42", "a1", &pki.client.key);
    tokens.certificate("Plant north", "press-42", "a1", &pki.client.cert);
    std::fs::remove_file(&pki.client.key)?;
    let data = dir.path().join("data");
    let session = Session::with_keyring(Policy::Open);
    let environment = [(SoftHsm::VARIABLE, tokens.config.as_path())];
    let window = Window::open_in(&session, &data, "token", &environment).await?;
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!("On a token");
    draft["endpoint"] = json!({ "websocket": true, "tls": true, "host": "localhost", "port": broker.wss.to_string(), "path": "/mqtt" });
    draft["settings"]["trust"]["mode"] = json!("ca_only");
    draft["settings"]["trust"]["ca_files"] = json!([pki.ca.display().to_string()]);
    let id = draft["id"].clone();
    window.engine("save_profile", json!({ "draft": draft, "folder": null, "secrets": [] })).await?;

    window.click("On a token").await?;
    window.press("Control+e").await?;
    window.click("Client certificate").await?;
    window.js("document.querySelector('[role=radiogroup][aria-label=\"Private key is\"]').scrollIntoView({ block: 'center' }); return true").await?;
    let radio = "[role=radiogroup][aria-label='Private key is'] [role=radio]:last-child";
    window.find(radio).await?.click().await?;
    window.fill("PKCS#11 library", SoftHsm::module()).await?;
    window.click("Show tokens and keys").await?;
    window.says("press-42").await?;
    window.shots("1-listed").await?;
    small(&window, "1-listed").await?;
    window.click("press-42").await?;
    window
        .until("chosen", "return document.querySelector('input[aria-label=Key]').value === 'press-42'")
        .await?;
    window.click("Save and connect").await?;

    // Nobody knows the PIN yet: it is asked for, a wrong one is tried once, and the right one is kept.
    window.says("Enter the PIN of the token").await?;
    window.shots("2-asked").await?;
    window.fill("PIN of the token", "0000").await?;
    window.press("Enter").await?;
    window.until("refused", "return /refuses the PIN/.test(document.body.innerText)").await?;
    window.shots("3-refused").await?;
    small(&window, "3-refused").await?;
    window.click("Enter…").await?;
    window.fill("PIN of the token", TOKEN_PIN).await?;
    window.press("Enter").await?;
    window.until("connected", CONNECTED).await?;
    let traces = window.engine("traces", json!({ "id": id })).await?;
    assert!(traces[0].to_string().contains("CN=planta-client"), "{traces:#}");
    assert!(!traces.to_string().contains(TOKEN_PIN));
    window.shots("4-connected").await?;
    window.close().await?;
    nowhere_in(&data, TOKEN_PIN);
    Ok(())
}

/// Every question of the vault in Chinese at the smallest size.
#[tokio::test(flavor = "multi_thread")]
async fn the_vaults_questions_fit_the_smallest_window_in_chinese() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let session = Session::without_keyring(Policy::Open);
    let window = Window::open_in(&session, &dir.path().join("data"), "vault-zh", &[]).await?;
    window.speak("简体中文").await?;
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!("线路 4");
    draft["endpoint"]["host"] = json!("127.0.0.1");
    draft["settings"]["login"] = json!({ "enabled": true, "username": USER });
    let password = json!([{ "field": { "kind": "password" }, "value": PASSWORD, "encoding": "utf8" }]);
    window.engine("save_profile", json!({ "draft": draft, "folder": null, "secrets": password })).await?;
    window.until("asked", ASKS).await?;
    small(&window, "1-no-keyring").await?;
    window.press("Escape").await?;
    window.until("closed", ASKS_NOT).await?;
    window.press("Control+,").await?;
    window.find(".ltable").await?;
    settings(&window, "2-settings-no-keyring").await?;
    window.engine("choose_vault", json!({ "keep": "passphrase", "passphrase": VAULT })).await?;
    settings(&window, "3-settings-passphrase").await?;
    window.engine("lock_vault", json!({})).await?;
    settings(&window, "4-settings-locked").await?;
    window.press("Escape").await?;
    window.click("线路 4").await?;
    window.until("its messages", "return document.querySelector('[role=grid]') !== null").await?;
    window.press("Control+Shift+Enter").await?;
    window.until("asked", ASKS).await?;
    small(&window, "5-unlock").await?;
    window.press("Escape").await?;
    window.until("closed", ASKS_NOT).await?;
    window.close().await
}
