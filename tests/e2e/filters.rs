//! Finding messages again in the real window: filters behind the funnel, saved ones, a jump in time; and how much is
//! kept.

use anyhow::Result;
use serde_json::json;

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
use crate::keyboard::OVERFLOWS;
use crate::window::Window;

const CONNECTED: &str = "return /^Connected \\d/m.test(document.body.innerText)";

/// Waits until as many rows are in the list.
async fn rows(window: &Window, count: usize) -> Result<()> {
    let script =
        format!("return document.querySelector('[role=grid]').getAttribute('aria-rowcount') === '{count}'");
    window.until(&format!("{count} rows"), &script).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_by_what_they_say_and_when_they_came() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let window = Window::open(&dir.path().join("data"), "filters", &[]).await?;
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!("Line 4");
    draft["endpoint"] = json!({"websocket": false, "tls": false, "host": "localhost", "port": broker.mqtt.to_string(), "path": ""});
    draft["settings"]["subscriptions"] = json!([{"filter": "plant/#", "enabled": true, "qos": 1}]);
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;
    window.click("Line 4").await?;
    window.click("Connect").await?;
    window.until("connected", CONNECTED).await?;
    for degrees in 0..30 {
        let request = json!({
            "topic": format!("plant/oven/{}", degrees % 3),
            "qos": degrees % 2,
            "retain": degrees == 7,
            "payload": {"text": format!("{{\"temp_c\":{}}}", degrees * 10), "encoding": "utf8"},
            "properties": {},
        });
        window.engine("publish", json!({"id": draft["id"], "request": request})).await?;
    }
    // What was sent, what came back, and that it connected.
    rows(&window, 61).await?;

    window.click("More filters").await?;
    window.fill("JSON", "$.temp_c >").await?;
    window.says("Nothing stands behind >").await?;
    window.fill("JSON", "$.temp_c > 200").await?;
    rows(&window, 18).await?;
    window.click("QoS 1").await?;
    rows(&window, 10).await?;
    window.shots("1-panel").await?;
    window.fill("Name of this filter", "too hot").await?;
    window.press("Enter").await?;
    window.says("too hot").await?;
    window.press("Escape").await?;
    window.shots("2-filtered").await?;
    window.click("More filters, 2 set").await?;
    window.click("Clear filter").await?;
    rows(&window, 61).await?;
    window.click("too hot").await?;
    rows(&window, 10).await?;
    window.click("Clear filter").await?;
    window.fill("Go to time", "-1 d").await?;
    window.press("Enter").await?;
    window
        .until(
            "the first row",
            "return document.querySelector('[aria-selected=true][aria-rowindex=\"1\"]') !== null",
        )
        .await?;
    window.shots("3-first-row").await?;

    window.resize(900, 600).await?;
    window.click("More filters").await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("4-small").await?;
    window.press("Escape").await?;

    window.press("Control+,").await?;
    window.fill("Messages", "20").await?;
    // Nothing goes while a number is typed.
    window.says("61 stored").await?;
    window.shots("5-limits").await?;
    window.click("Apply limits").await?;
    window.until("no more than 20", "return /20 stored/.test(document.body.innerText)").await?;
    window.press("Escape").await?;
    rows(&window, 20).await?;
    window.close().await
}
