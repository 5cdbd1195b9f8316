//! What is kept and what is not, in the real window: pinned and retained messages under limits, subscriptions that are
//! live only, and payloads of 100 MiB that are shown, saved and compared.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use heliograph_engine::message::{Direction, Item, Message, MessageSink, UnixMicros};
use heliograph_engine::profile::{ProfileId, Qos};
use serde_json::{Value, json};
use tokio::process::{Child, ChildStdin, Command};

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
use crate::dialog::choose;
use crate::keyboard::OVERFLOWS;
use crate::saved::CONNECTED;
use crate::window::Window;

/// A window with one connection that is connected, and its id.
pub async fn connected(dir: &Path, shots: &str, subscriptions: Value) -> Result<(Window, Mosquitto, Value)> {
    let pki = Pki::make(dir);
    let broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let window = Window::open(&dir.join("data"), shots, &[]).await?;
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!("Line 5");
    draft["endpoint"] = json!({"websocket": false, "tls": false, "host": "localhost", "port": broker.mqtt.to_string(), "path": ""});
    draft["settings"]["subscriptions"] = subscriptions;
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;
    window.click("Line 5").await?;
    window.click("Connect").await?;
    window.until("connected", CONNECTED).await?;
    Ok((window, broker, draft["id"].clone()))
}

/// The id of a saved connection that was never connected.
pub async fn never_connected(window: &Window, name: &str) -> Result<ProfileId> {
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!(name);
    draft["endpoint"]["host"] = json!("broker.example");
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;
    Ok(ProfileId(draft["id"].as_str().context("an id")?.parse()?))
}

/// A `mosquitto_pub` of another client, which publishes each line that is written to it.
pub fn publisher(broker: &Mosquitto, topic: &str, qos: u8) -> Result<(Child, ChildStdin)> {
    let mut child = Command::new("mosquitto_pub")
        .args(["-p", &broker.mqtt.to_string(), "-t", topic, "-q", &qos.to_string(), "-l"])
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("mosquitto_pub")?;
    let lines = child.stdin.take().context("its input")?;
    Ok((child, lines))
}

/// Stores a received message, once there is room.
pub async fn store(sink: &dyn MessageSink, time: UnixMicros, topic: String, payload: String) {
    let mut item = Item::Message(Message {
        time,
        direction: Direction::In,
        topic,
        payload: payload.into(),
        qos: Qos::AtLeastOnce,
        retain: false,
        dup: false,
        properties: None,
    });
    while let Err(back) = sink.try_accept(item) {
        item = back;
        sink.room().await;
    }
}

pub async fn publish(window: &Window, id: &Value, topic: &str, text: &str, retain: bool) -> Result<()> {
    let payload = json!({"text": text, "encoding": "utf8"});
    let request = json!({"topic": topic, "qos": 1, "retain": retain, "payload": payload, "properties": {}});
    window.engine("publish", json!({"id": id, "request": request})).await.map(|_| ())
}

/// Selects the row that says this, as a person does.
pub async fn select(window: &Window, text: &str) -> Result<()> {
    let wanted = json!(text);
    let row = format!(
        "[...document.querySelectorAll('[role=grid] .gr')].findLast((row) => row.innerText.includes({wanted}))"
    );
    let place = window.place(&row, 0.3, 0.5).await?;
    window.drag(place, &[]).await?;
    window.drop().await?;
    let selected = format!("return ({row})?.getAttribute('aria-selected') === 'true'");
    window.until(&format!("{text} is selected"), &selected).await.map(|_| ())
}

/// Waits until as many rows are in the list.
pub async fn rows(window: &Window, count: usize) -> Result<()> {
    let script = format!(
        "return document.querySelector('.stream [role=grid]')?.getAttribute('aria-rowcount') === '{count}'"
    );
    window.until(&format!("{count} rows"), &script).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn pinned_and_retained_messages_stay_when_others_go() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let subscription = json!([{"filter": "plant/#", "enabled": true, "qos": 1, "retain_as_published": true}]);
    let (window, _broker, id) = connected(dir.path(), "kept", subscription).await?;
    for n in 0..20 {
        publish(&window, &id, "plant/oven", &format!("degrees {n}"), n == 11).await?;
    }
    window.says("degrees 19").await?;
    rows(&window, 41).await?;
    select(&window, "degrees 12").await?;
    window.press("p").await?;
    window.until("pinned", "return document.querySelectorAll('.stream .pinned').length === 1").await?;
    window
        .until(
            "said in the inspector",
            "return /Pinned/.test(document.querySelector('.inspector').innerText)",
        )
        .await?;
    select(&window, "degrees 10").await?;
    window.click_css(".inspector [aria-label^='Pin:']").await?;
    window.until("both", "return document.querySelectorAll('.stream .pinned').length === 2").await?;
    window.shots("1-pinned").await?;

    window.engine("set_keeping", json!({"keeping": {"each": {"max_bytes": null, "max_rows": 10, "max_age_s": null}, "max_bytes_in_all": null}})).await?;
    // The newest ten, two that are pinned and one that is retained.
    rows(&window, 13).await?;
    let there = "return (text => [10, 11, 12].every(n => text.includes('degrees ' + n)) && \
                 ![13, 14].some(n => text.includes('degrees ' + n)))\
                 ([...document.querySelectorAll('.stream .gr')].map(row => row.innerText).join('|'))";
    window.until("the three that are kept, and no others", there).await?;
    window
        .until(
            "the selected one is still selected",
            "return /degrees 10/.test(document.querySelector('.gr[aria-selected=true]')?.innerText)",
        )
        .await?;
    window.shots("2-limited").await?;

    window.click("More filters").await?;
    window.click("Pinned messages only").await?;
    rows(&window, 2).await?;
    window.resize(900, 600).await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("3-filter").await?;
    window.press("Escape").await?;
    select(&window, "degrees 12").await?;
    window.press("p").await?;
    rows(&window, 1).await?;
    window.click("More filters, 1 set").await?;
    window.click("Clear filter").await?;
    window.press("Escape").await?;

    window.find("[data-pane=filter] [aria-label=More]").await?.click().await?;
    window.click("Clear messages").await?;
    window.says("1 pinned message goes with them").await?;
    window.shots("4-delete-all").await?;
    window.click("Delete messages").await?;
    rows(&window, 0).await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_live_only_is_shown_and_not_stored() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let subscriptions = json!([{"filter": "plant/#", "enabled": true, "qos": 1}]);
    let (window, _broker, id) = connected(dir.path(), "live-only", subscriptions).await?;
    window.click("Subscription options").await?;
    window.fill("Topic filter", "noise/#").await?;
    window.click("Do not store").await?;
    window.shots("1-form").await?;
    window.click_css(".form [type=submit]").await?;
    window.until("subscribed", "return [...document.querySelectorAll('.sub')].some((sub) => /noise/.test(sub.innerText) && /live/.test(sub.innerText))").await?;
    publish(&window, &id, "plant/1", "to be stored", false).await?;
    for n in 0..12 {
        publish(&window, &id, "noise/1", &format!("canary-{n}"), false).await?;
    }
    window.until("counted", "return /12\\s+live only/.test(document.body.innerText)").await?;
    // What we sent is stored as ever; what came back of the noise is not.
    rows(&window, 15).await?;
    window.click("12 live only").await?;
    rows(&window, 12).await?;
    window.fill("Filter messages", "canary-1").await?;
    rows(&window, 3).await?;
    select(&window, "canary-11").await?;
    window
        .until("inspected", "return /canary-11/.test(document.querySelector('.inspector .well').innerText)")
        .await?;
    window.shots("2-live-only").await?;
    window.resize(900, 600).await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("3-small").await?;
    window.click("Show what is stored").await?;
    window.click("Clear text").await?;
    rows(&window, 15).await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_of_any_size_are_shown_saved_and_compared() -> Result<()> {
    const SIZE: usize = 100 << 20;
    let dir = tempfile::tempdir()?;
    let subscriptions = json!([{"filter": "plant/#", "enabled": true, "qos": 0}]);
    let (window, broker, id) = connected(dir.path(), "compare", subscriptions).await?;
    publish(&window, &id, "plant/oven", r#"{"temp_c":21,"ok":true,"unit":"C"}"#, false).await?;
    publish(&window, &id, "plant/oven", r#"{"temp_c":22,"ok":true,"unit":"C","fan":1}"#, false).await?;
    window.says("\"fan\"").await?;
    select(&window, "\"fan\"").await?;
    window.press("d").await?;
    window.says("Compare messages").await?;
    window.until("its lines", "return /temp_c\": 21/.test(document.querySelector('#compare-panel').innerText) && /fan/.test(document.querySelector('#compare-panel').innerText)").await?;
    window.shots("1-lines").await?;
    window.click("Bytes").await?;
    window
        .until("its bytes", "return document.querySelectorAll('#compare-panel .differs').length > 0")
        .await?;
    window.shots("2-bytes").await?;
    window.press("Escape").await?;

    // A line is a hundred bytes; the second differs in one byte far behind what is ever shown, and in its end.
    let line = format!("{}\n", "0123456789".repeat(10).split_at(99).0);
    let mut payload = line.as_bytes().repeat(SIZE / 100 + 1);
    payload.truncate(SIZE);
    let file = dir.path().join("payload");
    for change in [false, true] {
        if change {
            payload[77_777_777] = b'#';
            payload.extend(b"the end");
        }
        std::fs::write(&file, &payload)?;
        let status = Command::new("mosquitto_pub")
            .args(["-h", "localhost", "-p", &broker.mqtt.to_string(), "-t", "plant/image", "-f"])
            .arg(&file)
            .status();
        ensure!(status.await?.success(), "mosquitto_pub");
    }
    let both = "return [...document.querySelectorAll('.stream .gr')].filter((row) => /plant\\/image|image/.test(row.innerText) && /105 MB/.test(row.innerText)).length === 2";
    window.until("both have arrived", both).await?;
    select(&window, "image").await?;
    window.says("Showing the first 1").await?;
    window.shots("3-first-part").await?;
    let saved = dir.path().join("saved");
    window.click("Save").await?;
    choose("Save payload", saved.to_str().context("a path")?).await?;
    window.says("saved to").await?;
    ensure!(std::fs::read(&saved)? == payload, "the payload is saved as it came");
    window.press("Escape").await?;

    select(&window, "image").await?;
    window.press("d").await?;
    window.says("They differ in 2 places, 8 B in all").await?;
    window.until("the first difference is shown", "return [...document.querySelectorAll('#compare-panel .is-here')].some((row) => /04a2cb7/.test(row.innerText))").await?;
    window.shots("4-large").await?;
    window.click("Next difference").await?;
    window.until("the end", "return [...document.querySelectorAll('#compare-panel .is-here')].some((row) => /the end/.test(row.innerText))").await?;
    window.resize(900, 600).await?;
    window.shots("5-small").await?;
    window.press("Escape").await?;
    window.close().await
}
