//! Keys and certificates wherever they can be, by keyboard alone: settings of MQTT Explorer with a key in them come in,
//! the library lists keys in the vault and on tokens, and exports say what they hold; at 900x600 and in Chinese.

use std::path::Path;

use anyhow::{Result, ensure};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::brokers::{Mosquitto, MosquittoOptions, Pki, SoftHsm};
use crate::dialog;
use crate::keyboard::OVERFLOWS;
use crate::private_session::{Policy, Session};
use crate::saved::CONNECTED;
use crate::vault::{settings, small};
use crate::window::Window;

const VAULT: &str = "correct horse";
const NEXT_VAULT: &str = "stable battery";
const PASSWORD: &str = "canary of the settings";

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

/// Finds a command in the palette, once no dialog is in its way and the palette has the focus.
async fn command(window: &Window, name: &str) -> Result<()> {
    window.until("no dialog", "return document.querySelector('.dialog-part') === null").await?;
    window.press("Control+k").await?;
    let focus = "return document.activeElement.matches('.dialog-part input')";
    window.until("the palette", focus).await?;
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

/// A window with a vault, and connections whose keys are on a token, on one that is not there, and, once it came in, in
/// the vault.
struct Bench {
    window: Window,
    pki: Pki,
    dir: tempfile::TempDir,
    /// The settings of another client.
    file: String,
    _broker: Mosquitto,
    _session: Session,
}

impl Bench {
    async fn open(pictures: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let pki = Pki::make(dir.path());
        let options = MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() };
        let broker = Mosquitto::start(&pki, &options);
        let tokens = SoftHsm::make(dir.path(), "ALL");
        tokens.token("Plant north");
        tokens.import("Plant north", "press-42", "a1", &pki.client.key);
        tokens.certificate("Plant north", "press-42", "a1", &pki.client.cert);
        let file = explorer(dir.path(), &pki, broker.wss)?;
        let session = Session::without_keyring(Policy::Open);
        let environment = [(SoftHsm::VARIABLE, tokens.config.as_path())];
        let window = Window::open_in(&session, &dir.path().join("data"), pictures, &environment).await?;
        window.engine("choose_vault", json!({ "keep": "passphrase", "passphrase": VAULT })).await?;
        on_token(&window, "On a token", "Plant%20north").await?;
        on_token(&window, "On no token", "Gone").await?;
        Ok(Self { window, pki, dir, file, _broker: broker, _session: session })
    }

    /// The same, with the settings of another client in.
    async fn filled(pictures: &str) -> Result<Self> {
        let bench = Self::open(pictures).await?;
        let input = json!({ "from": "file", "path": bench.file });
        let plan =
            bench.window.engine("preview_import", json!({ "input": input, "passphrase": null })).await?;
        bench.window.engine("apply_import", json!({ "plan": plan["plan"], "rows": [0] })).await?;
        bench.window.says("Press line").await?;
        Ok(bench)
    }

    /// Closes the window: neither the password nor the key is in any file of the data folder, nor in `others`.
    async fn close(self, others: &[&Path]) -> Result<()> {
        self.window.close().await?;
        let key = std::fs::read_to_string(&self.pki.client.key)?;
        let body: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(&body)?;
        let forms = [PASSWORD.as_bytes(), &body.as_bytes()[40..80], &der[der.len() - 40..der.len() - 8]];
        nowhere(&self.dir.path().join("data"), &forms)?;
        others.iter().try_for_each(|path| nowhere(path, &forms))
    }
}

/// In: the key goes into the vault, and what cannot come in is told by row.
#[tokio::test(flavor = "multi_thread")]
async fn settings_with_a_key_in_them_come_in_by_keyboard_alone() -> Result<()> {
    let bench = Bench::open("secrets-in").await?;
    let window = &bench.window;
    command(window, "Import conn").await?;
    window.says("Choose file…").await?;
    window.tab_to("Choose file…").await?;
    window.press("Enter").await?;
    dialog::choose("Import connections", &bench.file).await?;
    window.says("Into the vault: Password, Private key").await?;
    window.says("quantum (true): not understood").await?;
    window.says("“no host” is not a host name: it has a space in it").await?;
    window.shots("1-rows").await?;
    small(window, "1-rows").await?;
    let next = "return document.activeElement.innerText.trim().startsWith('Import')";
    window.until("the focus on what is next", next).await?;
    window.press("Enter").await?;
    window.says("still holds 2 secrets in the open").await?;
    window.shots("2-done").await?;
    window.tab_to("Close").await?;
    window.press("Enter").await?;
    window
        .until("it is selected", "return document.querySelector('h1.name')?.innerText === 'Press line'")
        .await?;
    window.press("Control+Shift+Enter").await?;
    window.until("connected", CONNECTED).await?;
    bench.close(&[]).await
}

/// One key in the vault, one on a token, one on a token that is not there; the first goes out under a passphrase.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_wherever_they_are_and_go_out_by_keyboard_alone() -> Result<()> {
    let bench = Bench::filled("secrets-library").await?;
    let window = &bench.window;
    window.press("Control+Shift+k").await?;
    window.says("key in the vault").await?;
    window.says("key on a token").await?;
    window.says("The token Gone is not there").await?;
    library(window, "1-library").await?;
    let out = bench.dir.path().join("press.p12");
    window.tab_to("Export…").await?;
    window.press("Enter").await?;
    window
        .until("asked", "return document.querySelector('.dialog-part input') === document.activeElement")
        .await?;
    window.write("battery staple").await?;
    window.press("Tab").await?;
    window.press("Tab").await?;
    window.write("battery stable").await?;
    window.says("The two are not the same").await?;
    window.shots("2-key-dialog").await?;
    small(window, "2-key-dialog").await?;
    window.press("Control+a").await?;
    window.write("battery staple").await?;
    window.press("Enter").await?;
    dialog::choose("Export planta-client", &out.display().to_string()).await?;
    window.says("press.p12").await?;
    ensure!(out.exists(), "exported");
    bench.close(&[&out]).await
}

/// Without secrets it is said whose key is not in the file.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_says_whose_key_is_not_in_it() -> Result<()> {
    let bench = Bench::filled("secrets-out").await?;
    let window = &bench.window;
    command(window, "Export conn").await?;
    window.says("With secrets, encrypted with a passphrase").await?;
    window.shots("1-export").await?;
    small(window, "1-export").await?;
    window.tab_to("Export…").await?;
    window.press("Enter").await?;
    let plain = bench.dir.path().join("plain.json");
    dialog::choose("Save export", &plain.display().to_string()).await?;
    window.says("are in the vault, and not in the file: Press line").await?;
    window.shots("2-exported").await?;
    window.press("Control+,").await?;
    window.says("Lock now").await?;
    settings(window, "3-settings").await?;
    bench.close(&[&plain]).await
}

/// All of it in Chinese, at the smallest size.
#[tokio::test(flavor = "multi_thread")]
async fn keys_and_what_cannot_come_in_are_told_in_chinese() -> Result<()> {
    let bench = Bench::filled("secrets-zh").await?;
    let window = &bench.window;
    window.press("Control+,").await?;
    window.click("简体中文").await?;
    window.says("口令保险库").await?;
    settings(window, "1-settings").await?;
    window.press("Escape").await?;
    window.press("Control+Shift+k").await?;
    window.says("私钥在保险库中").await?;
    window.says("找不到令牌").await?;
    library(window, "2-library").await?;
    window.press("Escape").await?;
    command(window, "导入连接").await?;
    window.says("选择文件…").await?;
    window.tab_to("选择文件…").await?;
    window.press("Enter").await?;
    dialog::choose("导入连接", &bench.file).await?;
    window.says("“no host”不是主机名：其中有空格").await?;
    window.shots("3-rows").await?;
    small(window, "3-rows").await?;
    window.press("Escape").await?;
    command(window, "导出连接").await?;
    window.click_css(".dialog-part [role=checkbox]").await?;
    window.find(".dialog-part input[type=password]").await?;
    window.shots("4-export").await?;
    small(window, "4-export").await?;
    window.press("Escape").await?;
    bench.close(&[]).await
}

/// An export of ours that somebody edited: what is understood comes in, the rest is told in Chinese with what to do. By
/// keyboard alone, at the smallest size; and so is what the certificate library refuses.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_export_comes_in_row_by_row_and_refusals_speak_chinese_by_keyboard_alone() -> Result<()> {
    let bench = Bench::open("secrets-edited").await?;
    let window = &bench.window;
    let endpoint = |host: &str, tls: Value| json!({ "websocket": false, "tls": tls, "host": host, "port": "8883", "path": "" });
    let connection = |name: &str, endpoint: Value, settings: Value| json!({ "id": uuid(name), "name": name, "endpoint": endpoint, "settings": settings });
    let edited = json!({
        "format": "heliograph-connections", "version": 1, "colour": "red",
        "profiles": [
            connection("Press north", endpoint("localhost", json!(true)), json!({
                "session": { "keep_alive_s": 70_000, "client_id": "press-4" },
                "trust": { "mode": "everybody", "ca_files": ["/ca.pem", 7] },
                "websocket": { "headers": [{ "name": "X-Token", "value": PASSWORD, "secret": "yes" }] },
                "shade": 1,
            })),
            connection("Press south", endpoint("localhost", json!("yes")), json!({})),
            connection("Press west", endpoint("no host", json!(true)), json!({})),
        ],
    });
    let file = bench.dir.path().join("edited.json").display().to_string();
    std::fs::write(&file, edited.to_string())?;
    window.press("Control+,").await?;
    window.click("简体中文").await?;
    window.says("导入与导出").await?;
    window.resize(900, 600).await?;

    // The passphrase of the vault is another one: the present one first, a wrong one is told.
    window.tab_to("更改口令…").await?;
    window.press("Enter").await?;
    let asked = "return document.activeElement.matches('.dialog-part input[type=password]')";
    window.until("the focus on the present passphrase", asked).await?;
    window.write("not this one").await?;
    for _ in 0..2 {
        window.press("Tab").await?;
        window.press("Tab").await?;
        window.write(NEXT_VAULT).await?;
    }
    window.press("Enter").await?;
    window.says("口令不正确").await?;
    window.shots("0-passphrase-small").await?;
    ensure!(window.js(OVERFLOWS).await? == json!(""), "the question is cut");
    let present =
        "return document.activeElement === document.querySelector('.dialog-part input[type=password]')";
    for _ in 0..12 {
        if window.js(present).await? == json!(true) {
            break;
        }
        window.press("Tab").await?;
    }
    window.press("Control+a").await?;
    window.write(VAULT).await?;
    window.press("Enter").await?;
    window.says("口令已更改").await?;
    window.engine("lock_vault", json!({})).await?;
    let old = window.engine("unlock_vault", json!({ "passphrase": VAULT })).await;
    ensure!(old.is_err(), "the old passphrase opens it: {old:?}");
    window.engine("unlock_vault", json!({ "passphrase": NEXT_VAULT })).await?;
    window.press("Escape").await?;

    command(window, "导入连接").await?;
    window.says("选择文件…").await?;
    window.tab_to("选择文件…").await?;
    window.press("Enter").await?;
    dialog::choose("导入连接", &file).await?;
    for said in [
        "settings.session.keep_alive_s (70000)：值不适用，导入为 60",
        "settings.trust.mode (everybody)：值不适用，导入为 system",
        "settings.trust.ca_files[1] (7)：值不适用，已略过",
        "settings.websocket.headers[0].secret：值不适用，导入为 true",
        "settings.shade：无法理解，已略过",
        "endpoint.tls (yes) 缺失或值不适用",
        "“no host”不是主机名",
        "colour：无法理解",
    ] {
        window.says(said).await?;
    }
    ensure!(
        !window.js("return document.body.innerText").await?.to_string().contains(PASSWORD),
        "a secret is shown"
    );
    window.shots("1-rows-small").await?;
    ensure!(window.js(OVERFLOWS).await? == json!(""), "the rows are cut");
    let next = "return document.activeElement.innerText.trim() === '导入连接'";
    window.until("the focus on what is next", next).await?;
    window.press("Enter").await?;
    window.says("保险库").await?;
    window.shots("2-done-small").await?;
    window.press("Escape").await?;
    let tree = window.engine("library_tree", json!({})).await?;
    let all = tree["profiles"].as_array().into_iter().flatten();
    let id = all.clone().find(|entry| entry["name"] == "Press north").map(|entry| entry["id"].clone());
    ensure!(
        !all.clone().any(|entry| entry["name"] == "Press south" || entry["name"] == "Press west"),
        "{tree}"
    );
    let profile = window.engine("profile", json!({ "id": id })).await?;
    let settings = &profile["settings"];
    ensure!(
        settings["session"]["client_id"] == "press-4" && settings["session"]["keep_alive_s"] == 60,
        "{settings}"
    );
    ensure!(
        settings["websocket"]["headers"][0] == json!({ "name": "X-Token", "value": "", "secret": true }),
        "{settings}"
    );

    // The library, its files and what it refuses.
    window.press("Control+Shift+k").await?;
    window.says("找不到令牌").await?;
    window.shots("3-library-small").await?;
    window.tab_to("粘贴…").await?;
    window.press("Enter").await?;
    window.until("the text field", "return document.querySelector('.dialog-part textarea') !== null").await?;
    let typing = "return document.activeElement.matches('.dialog-part textarea')";
    for _ in 0..6 {
        if window.js(typing).await? == json!(true) {
            break;
        }
        window.press("Tab").await?;
    }
    window.until("the focus in the text field", typing).await?;
    window.write("nothing of the kind").await?;
    window.press("Tab").await?;
    window.tab_to("添加").await?;
    window.press("Enter").await?;
    // Said in the dialog, to those who do not see it too, and the text is kept.
    let said = "const dialog = document.querySelector('.dialog-part');\
                return dialog?.querySelector('[role=alert]')?.innerText.includes('文本中没有证书')\
                  && dialog.querySelector('textarea').value === 'nothing of the kind'";
    window.until("the refusal in the dialog", said).await?;
    window.shots("4-refused-small").await?;
    ensure!(window.js(OVERFLOWS).await? == json!(""), "the refusal is cut");
    window.press("Escape").await?;
    bench.close(&[]).await
}

/// An id made of a name.
fn uuid(name: &str) -> String {
    let digits: String = name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>() + &"0".repeat(32);
    [&digits[..8], &digits[8..12], "4000", "8000", &digits[12..24]].join("-")
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
