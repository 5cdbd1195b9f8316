//! Keys and certificates wherever they can be, by keyboard alone: settings of MQTT Explorer with a key in them come in,
//! the library lists keys in the vault and on tokens, and exports say what they hold; at 900x600 and in Chinese.

use std::path::Path;

use anyhow::{Result, ensure};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::brokers::{Mosquitto, MosquittoOptions, Pki, SoftHsm};
use crate::dialog;
use crate::private_session::{Policy, Session};
use crate::vault::{settings, small};
use crate::window::Window;

const VAULT: &str = "correct horse";
const PASSWORD: &str = "canary of the settings";
const CONNECTED: &str = "return /^Connected \\d/m.test(document.body.innerText)";

/// What MQTT Explorer keeps: a connection with certificate and key, and one that cannot be.
fn explorer(dir: &Path, pki: &Pki, port: u16) -> Result<String> {
    let data = |path: &Path| -> Result<Value> {
        let text = base64::engine::general_purpose::STANDARD.encode(std::fs::read(path)?);
        Ok(json!({ "name": "file", "data": text }))
    };
    let path = dir.join("settings.json");
    let content = json!({ "ConnectionManager_connections": {
        "a": {
            "configVersion": 1, "type": "mqtt", "name": "Press line", "host": "localhost", "port": port, "protocol": "ws",
            "basePath": "mqtt", "encryption": true, "certValidation": true, "clientId": "press-42", "quantum": true,
            "username": "planta", "password": PASSWORD, "subscriptions": [{ "topic": "plant/#", "qos": 1 }],
            "selfSignedCertificate": data(&pki.ca)?, "clientCertificate": data(&pki.client.cert)?,
            "clientKey": data(&pki.client.key)?,
        },
        "b": { "type": "mqtt", "name": "Nowhere", "host": "no host", "port": 1883, "protocol": "mqtt" },
    } });
    std::fs::write(&path, content.to_string())?;
    Ok(path.display().to_string())
}

/// Presses Tab until what has the focus is called so.
async fn tab_to(window: &Window, name: &str) -> Result<()> {
    let mut passed = Vec::new();
    for _ in 0..60 {
        let focused = window.focused().await?;
        if focused.trim_start().starts_with(name) {
            return Ok(());
        }
        passed.push(focused);
        window.press("Tab").await?;
    }
    anyhow::bail!("Tab does not reach {name:?}, but {passed:?}")
}

async fn command(window: &Window, name: &str) -> Result<()> {
    window.press("Control+k").await?;
    window.write(name).await?;
    window.press("Enter").await
}

/// A connection whose key is on a token, without a file.
async fn on_token(window: &Window, name: &str, token: &str) -> Result<()> {
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!(name);
    draft["endpoint"] =
        json!({ "websocket": false, "tls": true, "host": "localhost", "port": "8883", "path": "" });
    let uri = format!("pkcs11:token={token};object=press-42?module-path={}", SoftHsm::module());
    draft["settings"]["client_certificate"] = json!({ "enabled": true, "cert_file": "", "key_file": uri });
    window.engine("save_profile", json!({ "draft": draft, "folder": null, "secrets": [] })).await?;
    Ok(())
}

/// The library with everything unfolded, at both sizes.
async fn library(window: &Window, name: &str) -> Result<()> {
    window.shots(name).await?;
    small(window, name).await?;
    window
        .js("document.querySelectorAll('article.entry:not(.is-open) .sum').forEach((b) => b.click()); return true")
        .await?;
    window.shots(&format!("{name}-unfolded")).await?;
    small(window, &format!("{name}-unfolded")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_in_are_listed_and_go_out_by_keyboard_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let options = MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() };
    let broker = Mosquitto::start(&pki, &options);
    let tokens = SoftHsm::make(dir.path(), "ALL");
    tokens.token("Plant north");
    tokens.import("Plant north", "press-42", "a1", &pki.client.key);
    tokens.certificate("Plant north", "press-42", "a1", &pki.client.cert);
    let file = explorer(dir.path(), &pki, broker.wss)?;
    let data = dir.path().join("data");
    let session = Session::without_keyring(Policy::Open);
    let environment = [(SoftHsm::VARIABLE, tokens.config.as_path())];
    let window = Window::open_in(&session, &data, "secrets", &environment).await?;
    window.engine("choose_vault", json!({ "keep": "passphrase", "passphrase": VAULT })).await?;
    on_token(&window, "On a token", "Plant%20north").await?;
    on_token(&window, "On no token", "Gone").await?;

    // In: the key goes into the vault, and what cannot come in is told by row.
    command(&window, "Import conn").await?;
    window.says("Choose file…").await?;
    tab_to(&window, "Choose file…").await?;
    window.press("Enter").await?;
    dialog::choose("Import connections", &file).await?;
    window.says("Into the vault: Password, Private key").await?;
    window.says("quantum (true): not understood").await?;
    window.says("“no host” is not a host name: it has a space in it").await?;
    window
        .until("the focus on what is next", "return document.activeElement.innerText.trim().startsWith('Import')")
        .await?;
    window.shots("1-rows").await?;
    small(&window, "1-rows").await?;
    window.press("Enter").await?;
    window.says("still holds 2 secrets in the open").await?;
    window.shots("2-done").await?;
    tab_to(&window, "Close").await?;
    window.press("Enter").await?;
    window
        .until("it is selected", "return document.querySelector('h1.name')?.innerText === 'Press line'")
        .await?;
    window.press("Control+Shift+Enter").await?;
    window.until("connected", CONNECTED).await?;
    window.press("Control+Shift+Enter").await?;

    // The library: one in the vault, one on a token, one on a token that is not there.
    window.press("Control+Shift+k").await?;
    window.says("key in the vault").await?;
    window.says("key on a token").await?;
    window.says("The token Gone is not there").await?;
    library(&window, "3-library").await?;
    let out = dir.path().join("press.p12");
    tab_to(&window, "Export…").await?;
    window.press("Enter").await?;
    window
        .until("asked", "return document.querySelector('.dialog-part input') === document.activeElement")
        .await?;
    window.write("battery staple").await?;
    window.press("Tab").await?;
    window.press("Tab").await?;
    window.write("battery stable").await?;
    window.says("The two are not the same").await?;
    window.shots("4-key-dialog").await?;
    small(&window, "4-key-dialog").await?;
    window.press("Control+a").await?;
    window.write("battery staple").await?;
    window.press("Enter").await?;
    dialog::choose("Export planta-client", &out.display().to_string()).await?;
    window.says("press.p12").await?;
    ensure!(out.exists(), "exported");
    window.press("Escape").await?;

    // Out, without secrets: whose key is not in the file is said.
    command(&window, "Export conn").await?;
    window.says("With secrets, encrypted with a passphrase").await?;
    window.shots("5-export").await?;
    small(&window, "5-export").await?;
    tab_to(&window, "Export…").await?;
    window.press("Enter").await?;
    let plain = dir.path().join("plain.json");
    dialog::choose("Save export", &plain.display().to_string()).await?;
    window.says("are in the vault, and not in the file: Press line").await?;
    window.shots("6-exported").await?;

    // In Chinese.
    window.press("Control+,").await?;
    settings(&window, "7-settings").await?;
    window.click("简体中文").await?;
    window.says("口令保险库").await?;
    settings(&window, "7-settings-zh").await?;
    window.press("Escape").await?;
    window.press("Control+Shift+k").await?;
    window.says("私钥在保险库中").await?;
    library(&window, "8-library-zh").await?;
    window.press("Escape").await?;
    command(&window, "导入连接").await?;
    window.says("选择文件…").await?;
    tab_to(&window, "选择文件…").await?;
    window.press("Enter").await?;
    dialog::choose("导入连接", &file).await?;
    window.says("“no host”不是主机名：其中有空格").await?;
    window.shots("9-rows-zh").await?;
    small(&window, "9-rows-zh").await?;
    window.press("Escape").await?;
    command(&window, "导出连接").await?;
    window
        .until(
            "asked",
            "return document.querySelector('.dialog-part [role=checkbox], .dialog-part input') !== null",
        )
        .await?;
    window.click_css(".dialog-part [role=checkbox]").await?;
    window.find("input[type=password]").await?;
    window.shots("10-export-zh").await?;
    small(&window, "10-export-zh").await?;
    window.press("Escape").await?;
    window.close().await?;

    // Neither the password nor the key is in any file but the vault.
    let key = std::fs::read_to_string(&pki.client.key)?;
    let body: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(&body)?;
    let forms = [PASSWORD.as_bytes(), &body.as_bytes()[40..80], &der[der.len() - 40..der.len() - 8]];
    for path in [data.as_path(), plain.as_path()] {
        nowhere(path, &forms)?;
    }
    Ok(())
}

fn nowhere(path: &Path, forms: &[&[u8]]) -> Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            nowhere(&entry?.path(), forms)?;
        }
    } else if path.is_file() {
        let content = std::fs::read(path)?;
        for form in forms {
            ensure!(
                !content.windows(form.len()).any(|part| part == *form),
                "{} holds a secret",
                path.display()
            );
        }
    }
    Ok(())
}
