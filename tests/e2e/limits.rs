//! How much is kept, in the real window: what limits delete is counted and said, whichever limit it is.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use heliograph_engine::history::History;
use serde_json::json;

use crate::brokers::free_port;
use crate::interrupted::counter;
use crate::kept::{connected, never_connected, publish, rows, store};
use crate::keyboard::OVERFLOWS;
use crate::saved::CONNECTED;
use crate::window::Window;

fn foot(words: &str) -> String {
    format!("return document.querySelector('.foot').innerText.replace(/\\s+/g, ' ').includes('{words}')")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_limits_delete_is_counted_said_and_logged() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let subscription = json!([{"filter": "plant/#", "enabled": true, "qos": 1}]);
    let (window, broker, id) = connected(dir.path(), "limits-deleted", subscription).await?;
    window.close().await?;
    let (data, log) = (dir.path().join("data"), dir.path().join("log"));
    let window = Window::open_logged(&data, "limits-deleted", &log).await?;
    window.click("Line 5").await?;
    window.click("Connect").await?;
    window.until("connected", CONNECTED).await?;
    for n in 0..30 {
        publish(&window, &id, "plant/oven", &format!("degrees {n}"), false).await?;
    }
    // Sent and received, connected twice, disconnected once.
    rows(&window, 63).await?;
    window.until("nothing is said of limits", &format!("return !({})", &foot("by limits")[7..])).await?;

    // The limit of each connection, in the settings.
    window.press("Control+,").await?;
    window.fill("Messages", "40").await?;
    window.click("Apply limits").await?;
    window.says("Delete what is beyond the new limits?").await?;
    window.shots("0-asked-en").await?;
    window.click("Cancel").await?;
    window.says("63 stored").await?;
    window.click("Apply limits").await?;
    window.click_css(".dialog-foot .btn--danger-solid").await?;
    window.says("40 stored, 23 deleted by limits").await?;
    window.shots("1-settings-en").await?;
    window.press("Escape").await?;
    rows(&window, 40).await?;
    window.until("the foot says it", &foot("40 stored 23 deleted by limits")).await?;
    window.shots("2-each-en").await?;

    // The connection's own; and it goes on while messages arrive.
    let mut draft = window.engine("profile", json!({"id": id})).await?;
    draft["settings"]["retention"] = json!({"max_bytes": null, "max_rows": 10, "max_age_s": null});
    draft["endpoint"] = json!({"websocket": false, "tls": false, "host": "localhost", "port": broker.mqtt.to_string(), "path": ""});
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;
    window.until("the foot says it", &foot("10 stored 53 deleted by limits")).await?;
    for n in 30..35 {
        publish(&window, &id, "plant/oven", &format!("degrees {n}"), false).await?;
    }
    window.until("the foot counts on", &foot("10 stored 63 deleted by limits")).await?;

    // That of all together, which goes by bytes. Whatever it is, nothing is missing in the sum.
    window.engine("set_keeping", json!({"keeping": {"each": {"max_bytes": null, "max_rows": null, "max_age_s": null}, "max_bytes_in_all": 20_000}})).await?;
    draft["settings"]["retention"] = json!(null);
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;
    for n in 35..70 {
        let noise = crate::damaged::noise(n, 2_000);
        publish(&window, &id, "plant/oven", &format!("degrees {n} {noise}"), false).await?;
    }
    window.until("some go", &format!("return {COUNTED} > 63")).await?;
    window.until("the sum", &format!("return {COUNTED} + {STORED} === 143")).await?;
    ensure!(counter(&window, &id, "stored").await? < 80, "it has bitten");

    window.speak("简体中文").await?;
    window.resize(900, 600).await?;
    window.until("in Chinese", &foot("条按限制删除")).await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("3-zh-900x600").await?;
    window.press("Control+,").await?;
    window.says("，按限制删除 ").await?;
    window.js("document.querySelector('.ltable').scrollIntoView({ block: 'center' })").await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("4-settings-zh-900x600").await?;
    window.fill("消息数", "5").await?;
    window.click("应用限制").await?;
    window.says("删除超出新限制的消息？").await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("5-asked-zh-900x600").await?;
    window.press("Escape").await?;
    window.until("nothing is asked", "return document.querySelector('[role=alertdialog]') === null").await?;
    window.press("Escape").await?;
    let gone = counter(&window, &id, "let_go").await?;
    window.close().await?;
    assert_eq!(logged(&log, id.as_str().context("an id")?)?, gone, "the log says of all of them");
    Ok(())
}

/// By keyboard alone: the age of what is kept, applied with Enter; and the local broker, started from one of its ports.
#[tokio::test(flavor = "multi_thread")]
async fn settings_are_changed_by_keyboard_alone_and_what_is_too_old_goes() -> Result<()> {
    const DAY: i64 = 86_400 * 1_000_000;
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let window = Window::open(&data, "settings-keys", &[]).await?;
    never_connected(&window, "Line 3").await?;
    let id = never_connected(&window, "Line 4").await?;
    window.close().await?;
    let history = History::open(&data.join("messages.db"))?;
    let sink = history.sink(id);
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
    for (n, days) in [40, 30, 3, 2, 0, 0].into_iter().enumerate() {
        store(&*sink, now - days * DAY, "plant/oven".into(), format!("degrees {n}")).await;
    }
    history.close().await?;

    let window = Window::open(&data, "settings-keys", &[]).await?;
    window.resize(900, 600).await?;
    // What is stored of a connection that nobody has looked at is said too.
    window.says("Line 3").await?;
    window.press("Control+,").await?;
    window.says("6 stored").await?;
    window.tab_to("Age").await?;
    window.until("the section that is read", &in_view("Data")).await?;
    window.write("10").await?;
    window.says("6 stored").await?;
    apply(&window).await?;
    window.says("4 stored, 2 deleted by limits").await?;
    window.press("Control+a").await?;
    window.write("1").await?;
    apply(&window).await?;
    window.says("2 stored, 4 deleted by limits").await?;
    // More than that lets nothing go: nothing is asked.
    window.press("Control+a").await?;
    window.write("100").await?;
    window.press("Enter").await?;
    window.until("it is applied", APPLIED).await?;
    window.shots("1-age").await?;

    for scheme in ["mqtt", "mqtts", "ws", "wss"] {
        window.tab_to(&format!("Port of {scheme}")).await?;
        window.press("Control+a").await?;
        window.write(&free_port().to_string()).await?;
    }
    window.until("the section that is read", &in_view("Local broker")).await?;
    window.press("Enter").await?;
    window.says("Local broker is running").await?;
    window.shots("2-broker").await?;
    window.tab_to("Stop").await?;
    window.press("Enter").await?;
    window.says("Local broker is off").await?;
    window.press("Escape").await?;
    window.press("Control+2").await?;
    rows(&window, 2).await?;

    // The connection's own limits, where they are tighter; who says no loses nothing, and the form stays.
    window.press("Control+e").await?;
    window.tab_to("Own limits for this connection").await?;
    window.press("Space").await?;
    window.tab_to("Messages").await?;
    window.write("1").await?;
    window.press("Control+s").await?;
    window.says("Delete what is beyond the new limits?").await?;
    window.shots("3-own").await?;
    window.press("Escape").await?;
    window.press("Control+s").await?;
    window.until("Cancel has the focus", "return document.activeElement.innerText === 'Cancel'").await?;
    window.press("Tab").await?;
    window.press("Enter").await?;
    rows(&window, 1).await?;
    window.close().await
}

/// Nothing is left to be applied.
const APPLIED: &str = "return document.querySelector('#settings-data [type=submit]').ariaDisabled === 'true'";

/// Enter, and the answer to what is asked then. The focus is where it was.
async fn apply(window: &Window) -> Result<()> {
    window.press("Enter").await?;
    window.until("Cancel has the focus", "return document.activeElement.innerText === 'Cancel'").await?;
    window.press("Tab").await?;
    window.press("Enter").await?;
    window.until("it is applied", APPLIED).await?;
    window.until("the focus", "return document.activeElement.ariaLabel === 'Age'").await.map(drop)
}

/// Whether the list of sections marks this one as the one in view.
fn in_view(section: &str) -> String {
    format!("return document.querySelector('nav [aria-current=true]')?.innerText.trim() === '{section}'")
}

/// What the foot says is stored, and was deleted.
const STORED: &str =
    "Number(document.querySelector('.foot').innerText.replace(/,/g, '').match(/(\\d+)\\s+stored/)?.[1])";
const COUNTED: &str = "Number(document.querySelector('.foot').innerText.replace(/,/g, '').match(/(\\d+)\\s+deleted by limits/)?.[1])";

/// How many rows the lines of the log say were let go of.
fn logged(log: &Path, id: &str) -> Result<u64> {
    let text = std::fs::read_to_string(log)?;
    let lines = text.lines().filter(|line| line.contains("let go of messages") && line.contains(id));
    let rows = lines.filter_map(|line| line.split_once(" rows=")?.1.split(' ').next()?.parse::<u64>().ok());
    Ok(rows.sum())
}
