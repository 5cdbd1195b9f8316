//! Finding messages again in the real window: filters behind the funnel, saved ones, a jump in time; and how much is
//! kept.

use anyhow::Result;
use heliograph_engine::history::History;
use serde_json::json;

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
use crate::kept::{never_connected, rows, store};
use crate::keyboard::OVERFLOWS;
use crate::window::Window;

const CONNECTED: &str = "return /^Connected \\d/m.test(document.body.innerText)";

#[tokio::test(flavor = "multi_thread")]
async fn a_long_search_says_how_far_it_is_and_can_be_stopped() -> Result<()> {
    const STORED: i64 = 400_000;
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let window = Window::open(&data, "long-search", &[]).await?;
    let id = never_connected(&window, "Line 4").await?;
    window.close().await?;
    let history = History::open(&data.join("messages.db"))?;
    let sink = history.sink(id);
    for n in 1..=STORED {
        let payload = format!(r#"{{"temp_c":{n},"unit":"C","tags":["a","b"]}}"#);
        store(&*sink, 1_790_000_000_000_000 + n, "plant/oven".into(), payload).await;
    }
    history.close().await?;

    let window = Window::open(&data, "long-search", &[]).await?;
    window.click("Line 4").await?;
    rows(&window, STORED.try_into()?).await?;
    window.click("More filters").await?;
    // The oldest row alone, so that all have to be looked at.
    window.fill("JSON", "$.temp_c < 2").await?;
    let foot = |words: &str| format!("return /{words}/.test(document.querySelector('.foot').innerText)");
    window.until("how far it is", &foot(r"\d+ % searched")).await?;
    window.press("Escape").await?;
    window.click("Stop").await?;
    window.until("stopped", &foot(r"Stopped at \d+ %")).await?;
    window.says("so far").await?;
    let stopped = "return document.querySelector('.foot').innerText";
    let at = window.js(stopped).await?;
    window.resize(900, 600).await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("1-stopped").await?;
    assert_eq!(window.js(stopped).await?, at, "it stands still");
    window.click("Go on searching").await?;
    rows(&window, 1).await?;
    window.until("done", &format!("return !{}", &foot("searched|Stopped")[7..])).await?;
    window.shots("2-found").await?;
    window.close().await
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

    // A property, a size and what JSON says, together; kept under a name, and applied to what arrives.
    let publish = async |degrees: u32, line: &str, padding: usize| {
        let text = json!({"temp_c": degrees, "padding": "x".repeat(padding)}).to_string();
        let request = json!({
            "topic": "plant/oven/4", "qos": 1, "retain": false,
            "payload": {"text": text, "encoding": "utf8"},
            "properties": {"user_properties": [{"name": "line", "value": line}]},
        });
        window.engine("publish", json!({"id": draft["id"], "request": request})).await
    };
    let met = async |degrees| publish(degrees, "4", 500).await;
    met(300).await?;
    publish(300, "5", 500).await?;
    publish(300, "4", 0).await?;
    publish(100, "4", 500).await?;
    rows(&window, 69).await?;
    window.fill("Property", "line=4").await?;
    window.fill("Size, at least", "400").await?;
    window.fill("JSON", "$.temp_c > 200").await?;
    rows(&window, 2).await?;
    window.fill("Name of this filter", "line 4, big and hot").await?;
    window.press("Enter").await?;
    window.click("Clear filter").await?;
    rows(&window, 69).await?;
    window.click("line 4, big and hot").await?;
    rows(&window, 2).await?;
    met(301).await?;
    publish(301, "5", 500).await?;
    rows(&window, 4).await?;
    window.shots("6-combined").await?;
    window.click("Clear filter").await?;
    rows(&window, 73).await?;
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
    window.says("73 stored").await?;
    window.shots("5-limits").await?;
    window.click("Apply limits").await?;
    window.until("no more than 20", "return /20 stored/.test(document.body.innerText)").await?;
    window.press("Escape").await?;
    rows(&window, 20).await?;
    window.close().await
}
