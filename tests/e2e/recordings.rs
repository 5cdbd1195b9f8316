//! Messages into files and back, by hand in the real window, with the system's own file chooser.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
use crate::dialog::choose;
use crate::window::{PATIENCE, Window};

fn lines(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

async fn more(window: &Window, entry: &str) -> Result<()> {
    window.find("[data-pane=filter] [aria-label=More]").await?.click().await?;
    window.click(entry).await
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_exported_recorded_imported_and_replayed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let window = Window::open(&dir.path().join("data"), "recordings", &[]).await?;
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!("Line 3");
    draft["endpoint"]["host"] = json!("localhost");
    draft["endpoint"]["port"] = json!(broker.mqtt.to_string());
    draft["endpoint"]["tls"] = json!(false);
    draft["endpoint"]["websocket"] = json!(false);
    let subscription = json!({"filter": "plant/#", "enabled": true, "qos": 1, "no_local": false,
        "retain_as_published": false, "retain_handling": 0, "label": "", "color": 0});
    draft["settings"]["subscriptions"] = json!([subscription]);
    let saved = window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;
    let id = saved["id"].clone();
    window.click("Line 3").await?;
    window.engine("connect", json!({"id": id})).await?;
    window.until("connected", "return /plant/.test(document.body.innerText) && !!document.querySelector('[role=grid] [role=row]')").await?;
    let publish = async |topic: &str, text: &str| {
        let request = json!({"topic": topic, "payload": {"text": text, "encoding": "utf8"}, "qos": 1});
        window.engine("publish", json!({"id": id, "request": request})).await
    };
    for n in 0..5 {
        publish("plant/1", &format!("first {n}")).await?;
        publish("plant/2", &format!("second {n}")).await?;
    }
    window.says("second 4").await?;

    // What a filter lets through.
    window.fill("Filter messages", "first").await?;
    window.says("match").await?;
    more(&window, "Export").await?;
    window.says("helio sub --json").await?;
    window.shots("1-export").await?;
    window.click("Choose a file").await?;
    let exported = dir.path().join("exported.ndjson");
    choose("Export messages", exported.to_str().context("a path")?).await?;
    window.says("10 messages exported").await?;
    let written = lines(&exported)?;
    assert_eq!(written.len(), 10, "received and sent");
    assert!(written.iter().all(|line| line["topic"] == "plant/1"), "{written:#?}");
    window.click("Clear text").await?;

    // What arrives from now on.
    more(&window, "Record to a file").await?;
    let recorded = dir.path().join("recorded.ndjson");
    choose("Record messages", recorded.to_str().context("a path")?).await?;
    window.says("Recording to recorded.ndjson").await?;
    publish("plant/3", "while recording").await?;
    window.resize(900, 600).await?;
    window.until("it is counted", "return /2\\s+messages/.test(document.body.innerText)").await?;
    window.shots("2-recording").await?;
    window.click("Stop").await?;
    window.says("2 messages recorded").await?;
    // The list became higher by that, and follows on.
    window.says("Newest at the bottom").await?;
    publish("plant/3", "after it").await?;
    let written = lines(&recorded)?;
    assert!(
        written.len() == 2 && written.iter().all(|line| line["payload"] == "while recording"),
        "{written:#?}"
    );

    // Published again.
    more(&window, "Replay a file").await?;
    choose("Replay messages", exported.to_str().context("a path")?).await?;
    window.fill("Topic prefix", "plant/copy/").await?;
    window.shots("3-replay").await?;
    window.click("Start").await?;
    window.says("10 messages of exported.ndjson published").await?;
    window.says("plant/copy/").await?;

    // Into a connection of its own.
    more(&window, "Import").await?;
    choose("Import messages", exported.to_str().context("a path")?).await?;
    window.says("10 messages imported").await?;
    window.until("its rows", "return [...document.querySelectorAll('[role=grid] [role=row]')].filter((row) => /first \\d/.test(row.innerText)).length === 10").await?;
    window.shots("4-imported").await?;

    // A recording that is under way ends with the window, whole. The window is so narrow that names are short.
    window.click("L3").await?;
    window.says("plant/copy/").await?;
    more(&window, "Record to a file").await?;
    let last = dir.path().join("last.ndjson");
    choose("Record messages", last.to_str().context("a path")?).await?;
    window.says("Recording to last.ndjson").await?;
    publish("plant/4", "the last one").await?;
    window.close().await?;
    let begun = Instant::now();
    while lines(&last).map_or(0, |lines| lines.len()) < 2 && begun.elapsed() < PATIENCE {
        sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(lines(&last)?.len(), 2, "sent and received");
    Ok(())
}
