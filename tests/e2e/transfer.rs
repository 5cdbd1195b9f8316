//! Connections from other clients in the real window: an MQTTX export with a password, a pasted command line, an export
//! that is encrypted and read again; by mouse and by keyboard, at 900x600 and in Chinese.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::brokers::{Mosquitto, MosquittoOptions, PASSWORD, PASSWORD_PART, Pki, USER};
use crate::dialog;
use crate::saved::CONNECTED;
use crate::vault::small;
use crate::window::Window;

const VAULT: &str = "correct horse";
const EXPORT: &str = "battery staple";

/// What MQTTX writes.
fn mqttx(dir: &Path, port: u16) -> Result<String> {
    let path = dir.join("mqttx.json");
    let content = json!([{
        "clientId": "mqttx_e2e", "name": "Plant north", "clean": true, "protocol": "mqtt", "host": "localhost",
        "port": port, "keepalive": 60, "connectTimeout": 10, "reconnect": true, "reconnectPeriod": 4000,
        "username": USER, "password": PASSWORD, "path": "/mqtt", "ssl": false, "certType": "",
        "mqttVersion": "5.0", "clientIdWithTime": true, "ca": "", "cert": "", "key": "",
        "messages": [{"topic": "a", "payload": "b"}],
        "subscriptions": [{"topic": "plant/#", "qos": 1, "color": "#00FF00", "disabled": false}],
        "will": {"lastWillTopic": "gone", "lastWillPayload": "bye", "lastWillQos": 0, "lastWillRetain": false},
        "properties": {"authenticationMethod": "SCRAM-SHA-256"}
    }, {
        "clientId": "c", "name": "Nowhere", "host": "no host", "port": 1883, "ssl": false, "mqttVersion": "3.1.1",
        "keepalive": 60
    }, {
        "clientId": "mqttx_south", "name": "Plant south", "clean": true, "protocol": "wss", "host": "south.example",
        "port": 8084, "path": "/mqtt", "ssl": true, "certType": "server", "keepalive": 60, "connectTimeout": 10,
        "reconnect": true, "reconnectPeriod": 4000, "username": "", "password": "", "mqttVersion": "5.0",
        "rejectUnauthorized": true, "messages": [], "subscriptions": []
    }]);
    std::fs::write(&path, content.to_string())?;
    Ok(path.display().to_string())
}

/// Every file below the folder that holds the text.
fn holding(folder: &Path, text: &str, found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            holding(&path, text, found)?;
        } else if path.is_file()
            && std::fs::read(&path)?.windows(text.len()).any(|part| part == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    Ok(())
}

/// Ctrl+Q waits for what has to be answered first.
async fn answered(window: &Window) -> Result<()> {
    window.until("no dialog", "return document.querySelector('.dialog-part') === null").await.map(|_| ())
}

/// Clicks what the dialog is for, once it stands still: a dialog whose content changes moves its buttons.
async fn primary(window: &Window) -> Result<()> {
    const BUTTON: &str = ".dialog-part .btn--primary:not(.is-disabled)";
    let still = "const [css, done] = arguments; let last = '';\
        const look = () => {\
            const box = document.querySelector(css)?.getBoundingClientRect();\
            const now = box ? `${box.x} ${box.y}` : '';\
            if (now !== '' && now === last) return done(true);\
            last = now; requestAnimationFrame(look); };\
        requestAnimationFrame(() => requestAnimationFrame(look));";
    window.later(still, vec![json!(BUTTON)]).await?;
    window.click_css(BUTTON).await
}

async fn paste(window: &Window, css: &str, text: &str) -> Result<()> {
    window.find(css).await?;
    let script = format!(
        "const data = new DataTransfer(); data.setData('text/plain', {}); data.setData('text', {});\
         document.querySelector({}).dispatchEvent(new ClipboardEvent('paste', {{ clipboardData: data, bubbles: true, cancelable: true }}));\
         return true",
        json!(text),
        json!(text),
        json!(css)
    );
    window.js(&script).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_mqttx_comes_in_its_password_only_into_the_vault_and_connects() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions { password: true, ..MosquittoOptions::default() });
    let file = mqttx(dir.path(), broker.mqtt)?;
    let window = Window::open(&data, "transfer", &[]).await?;
    window.engine("choose_vault", json!({ "keep": "passphrase", "passphrase": VAULT })).await?;

    window.resize(900, 600).await?;
    window.shots("0-first-run-small").await?;
    window.resize(1440, 900).await?;
    window.click("Import connections…").await?;
    window.says("Choose file…").await?;
    window.shots("1-import").await?;
    window.click("Choose file…").await?;
    dialog::choose("Import connections", &file).await?;
    window.says("Plant north").await?;
    window.says("clientIdWithTime (true): Heliograph has nothing like it").await?;
    window.says("not imported: 1 left behind").await?;
    window.says("cannot come in").await?;
    ensure!(
        window.engine("library_tree", json!({})).await?["profiles"] == json!([]),
        "nothing is written yet"
    );
    window.shots("2-rows").await?;
    small(&window, "2-rows").await?;
    // One that could come in is left out.
    window.click("Import Plant south").await?;
    window.says("Import connection").await?;
    primary(&window).await?;
    window.says("still holds 1 secret in the open").await?;
    window.says("passphrase vault").await?;
    window.shots("3-done").await?;
    primary(&window).await?;
    answered(&window).await?;
    window
        .until("it is selected", "return document.querySelector('h1.name')?.innerText === 'Plant north'")
        .await?;

    let tree = window.engine("library_tree", json!({})).await?;
    let id = tree["profiles"][0]["id"].clone();
    let stored = window.engine("secrets_set", json!({ "id": id })).await?;
    ensure!(stored == json!([{ "field": { "kind": "password" }, "place": "passphrase" }]), "{stored}");
    window.press("Control+Shift+Enter").await?;
    window.until("connected", CONNECTED).await?;
    window.says("plant/#").await?;
    window.shots("4-connected").await?;

    // By keyboard alone: everything out again, sealed.
    window.press("Control+k").await?;
    window.write("Export conn").await?;
    window.press("Enter").await?;
    window.says("With secrets, encrypted with a passphrase").await?;
    window.shots("5-export").await?;
    small(&window, "5-export").await?;
    window.press("Space").await?;
    window.find("input[aria-label='New passphrase']").await?;
    window.press("Tab").await?;
    window.write(EXPORT).await?;
    window.press("Tab").await?;
    window.press("Tab").await?;
    window.write(EXPORT).await?;
    window.shots("5-export-sealed").await?;
    small(&window, "5-export-sealed").await?;
    window.press("Enter").await?;
    let sealed = dir.path().join("sealed.json").display().to_string();
    dialog::choose("Save export", &sealed).await?;
    window.says("1 connection exported").await?;
    let content = std::fs::read_to_string(&sealed)?;
    ensure!(!content.contains("Plant") && !content.contains(PASSWORD_PART), "sealed");
    answered(&window).await?;
    window.close().await?;

    let mut found = Vec::new();
    holding(&data, PASSWORD_PART, &mut found)?;
    ensure!(found.is_empty(), "the password is in {found:?}");

    // On another computer, in Chinese.
    let other = dir.path().join("other");
    let window = Window::open(&other, "transfer", &[]).await?;
    window.engine("choose_vault", json!({ "keep": "passphrase", "passphrase": VAULT })).await?;
    window.press("Control+,").await?;
    window.click("简体中文").await?;
    window.says("导入与导出").await?;
    window.click("导入连接…").await?;
    window.resize(900, 600).await?;
    window.shots("6-import-zh").await?;
    window.fill("命令行或导出内容", "nonsense").await?;
    window.click("显示导入内容").await?;
    window.says("无法识别的导出内容").await?;
    window.click("选择文件…").await?;
    dialog::choose("导入连接", &sealed).await?;
    window.says("需用口令打开").await?;
    window.fill("导出文件的口令", "wrong").await?;
    window.press("Enter").await?;
    window.says("不是此导出文件的口令").await?;
    window.shots("6-passphrase-zh").await?;
    window.fill("导出文件的口令", EXPORT).await?;
    window.press("Enter").await?;
    window.says("Plant north").await?;
    window.shots("6-rows-zh").await?;
    primary(&window).await?;
    window.says("口令保险库").await?;
    primary(&window).await?;
    answered(&window).await?;
    window.press("Control+Shift+Enter").await?;
    window.until("connected", "return /^已连接/m.test(document.body.innerText)").await?;
    window.shots("7-connected-zh").await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pasted_command_line_becomes_a_connection_with_its_transport_certificate_and_subscription()
-> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(
        &pki,
        &MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() },
    );
    let window = Window::open(&dir.path().join("data"), "transfer", &[]).await?;
    let line = |port: u16| {
        format!(
            "$ mosquitto_sub -h localhost -p {port} --cafile {} \\\n    --cert {} --key {} -t 'plant/#' -q 1 -v",
            pki.ca.display(),
            pki.client.cert.display(),
            pki.client.key.display()
        )
    };
    // The URL field of the first run.
    paste(&window, "input.url", &line(broker.mqtts)).await?;
    window.says(&format!("mqtts://localhost:{}", broker.mqtts)).await?;
    window.says("Subscribes to plant/#").await?;
    window.shots("8-command-line").await?;
    primary(&window).await?;
    window
        .until("it is selected", "return document.querySelector('h1.name')?.innerText === 'localhost'")
        .await?;
    let tree = window.engine("library_tree", json!({})).await?;
    let profile = window.engine("profile", json!({ "id": tree["profiles"][0]["id"] })).await?;
    let settings = &profile["settings"];
    ensure!(profile["endpoint"]["tls"] == true && profile["endpoint"]["websocket"] == false, "{profile}");
    ensure!(
        settings["client_certificate"]["cert_file"] == json!(pki.client.cert.display().to_string()),
        "{settings}"
    );
    ensure!(settings["trust"]["mode"] == "ca_only" && settings["subscriptions"][0]["qos"] == 1, "{settings}");
    window.press("Control+Shift+Enter").await?;
    window.until("connected", CONNECTED).await?;
    window.press("Control+Shift+Enter").await?;
    window.until("disconnected", "return !/^Connected \\d/m.test(document.body.innerText)").await?;

    // The endpoint bar of a connection that is there: another one comes beside it.
    paste(
        &window,
        ".conn-head .url",
        "mosquitto_sub -h 127.0.0.1 -p 1 -u planta -P 'canary of the line' -t a",
    )
    .await?;
    window.says("mqtt://127.0.0.1:1").await?;
    ensure!(
        !window.js("return document.body.innerHTML.includes('canary of')").await?.as_bool().unwrap_or(true),
        "shown"
    );
    primary(&window).await?;
    window.says("history of your shell").await?;
    primary(&window).await?;
    answered(&window).await?;
    let tree = window.engine("library_tree", json!({})).await?;
    let names: Vec<_> =
        tree["profiles"].as_array().into_iter().flatten().map(|entry| entry["name"].clone()).collect();
    ensure!(names == [Value::from("localhost"), Value::from("127.0.0.1")], "{names:?}");
    window.close().await
}
