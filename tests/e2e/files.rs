//! Files that come into the window by drag and drop, and files that are saved from it by the native dialog.

use std::path::Path;

use anyhow::Result;
use base64::Engine as _;
use serde_json::{Value, json};

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
use crate::dialog;
use crate::drag::Dragged;
use crate::saved::{CONNECTED, der};
use crate::window::Window;

async fn saved(window: &Window, name: &str, endpoint: Value, ca: Option<&Path>) -> Result<Value> {
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!(name);
    for (part, value) in endpoint.as_object().into_iter().flatten() {
        draft["endpoint"][part] = value.clone();
    }
    if let Some(ca) = ca {
        draft["settings"]["trust"]["mode"] = json!("ca_only");
        draft["settings"]["trust"]["ca_files"] = json!([ca]);
    }
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await
}

fn field(label: &str) -> String {
    format!("document.querySelector('input[aria-label=\"{label}\"]')")
}

async fn reads(window: &Window, label: &str, text: &Path) -> Result<()> {
    let script = format!("return {}?.value === {}", field(label), json!(text));
    window.until(label, &script).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_dropped_go_where_they_belong() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let options = MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() };
    let broker = Mosquitto::start(&pki, &options);
    let window = Window::open(&dir.path().join("data"), "dropped", &[]).await?;
    let endpoint = json!({"tls": true, "host": "localhost", "port": broker.mqtts.to_string()});
    saved(&window, "Line 4", endpoint, None).await?;
    window.click("Line 4").await?;
    window.press("Control+e").await?;
    window.find("#section-transport").await?;

    // Anywhere on the editor: each goes where it belongs.
    let dragged = Dragged::enter(&[&pki.client.key, &pki.ca, &pki.client.cert])?;
    let middle = window.place("document.querySelector('.ed-head')", 0.5, 0.5).await?;
    dragged.over(middle.0, middle.1).await?;
    window.find(".editor[data-drop=over]").await?;
    window.shots("1-editor").await?;
    dragged.drop().await?;
    reads(&window, "Certificate", &pki.client.cert).await?;
    reads(&window, "Private key", &pki.client.key).await?;
    reads(&window, "CA file", &pki.ca).await?;
    window.says("Private key matches this certificate").await?;
    assert_eq!(window.js("return document.querySelector('[data-drop]')").await?, Value::Null);
    window.shots("2-placed").await?;

    // On a field: into that field.
    window.js(&format!("{}.scrollIntoView({{block: 'center'}}); return true", field("Certificate"))).await?;
    let dragged = Dragged::enter(&[&pki.foreign_client.cert])?;
    let at = window.place(&field("Certificate"), 0.5, 0.5).await?;
    dragged.over(at.0, at.1).await?;
    window
        .until(
            "the field is marked",
            &format!("return {}.closest('[data-drop=over]') !== null", field("Certificate")),
        )
        .await?;
    window.shots("3-field").await?;
    dragged.drop().await?;
    reads(&window, "Certificate", &pki.foreign_client.cert).await?;
    window.says("does not belong to the certificate").await?;

    // Taken away again, and what is no file: nothing happens, and nothing stays marked.
    let dragged = Dragged::enter(&[&pki.client.cert])?;
    dragged.over(at.0, at.1).await?;
    window.find("[data-drop=over]").await?;
    dragged.leave()?;
    window.until("no marks", "return document.querySelector('[data-drop]') === null").await?;
    let dragged = Dragged::enter_with(vec!["https://broker.example/ca.pem".into()])?;
    dragged.over(at.0, at.1).await?;
    dragged.drop().await?;
    window.until("no marks", "return document.querySelector('[data-drop]') === null").await?;
    reads(&window, "Certificate", &pki.foreign_client.cert).await?;

    let dragged = Dragged::enter(&[&pki.client.cert])?;
    dragged.over(at.0, at.1).await?;
    dragged.drop().await?;
    reads(&window, "Certificate", &pki.client.cert).await?;
    window.click("Save and connect").await?;
    window.until("connected", CONNECTED).await?;

    // A payload onto the composer, over what was being typed.
    let payload = dir.path().join("payload äß 100%.bin");
    let bytes: Vec<u8> = (0..=255).collect();
    std::fs::write(&payload, &bytes)?;
    window.fill("Topic", "plant/firmware").await?;
    window.find("[aria-label=Payload][contenteditable=true]").await?.click().await?;
    window.write("{\"typed\":1}").await?;
    let dragged = Dragged::enter(&[&payload])?;
    let at = window.place("document.querySelector('.composer')", 0.3, 0.6).await?;
    dragged.over(at.0, at.1).await?;
    window.find(".composer[data-drop=over]").await?;
    window.shots("4-composer").await?;
    dragged.drop().await?;
    window.says(&payload.display().to_string()).await?;
    window.shots("5-payload").await?;
    window.click("1").await?;
    window.click("Publish").await?;
    window.says("PUBACK in").await?;
    assert_eq!(last_payload(&window).await?, bytes);

    // What was typed is still there.
    window.click("Payload format").await?;
    window.click("JSON").await?;
    window.says("{\"typed\":1}").await?;
    window.close().await
}

/// The payload of the row that was stored last.
async fn last_payload(window: &Window) -> Result<Vec<u8>> {
    // The answer of the broker may be there before the row.
    window.find("[role=grid] [role=row] .i-arrow-up").await?;
    let connection = window.engine("connections", json!({})).await?[0].clone();
    let asked =
        json!({"id": connection["id"], "seq": connection["counters"]["stored"], "offset": 0, "limit": 1024});
    Ok(serde_json::from_value(window.engine("message_payload", asked).await?)?)
}

/// A folder in which nobody can write, not even root.
const UNWRITABLE: &str = "/sys";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_is_in_the_file_and_what_cannot_be_saved_is_said() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let window = Window::open(&dir.path().join("data"), "saved", &[]).await?;
    let endpoint = json!({"tls": true, "host": "localhost", "port": broker.mqtts.to_string()});
    let profile = saved(&window, "Line 4", endpoint, Some(&pki.ca)).await?;
    window.click("Line 4").await?;
    window.click("Connect").await?;
    window.until("connected", CONNECTED).await?;
    let out = dir.path().join("saved here");
    std::fs::create_dir(&out)?;
    let place = |name: &str| out.join(name).display().to_string();

    // A payload, to the byte; over a file that is there; not at all; and where nobody can write.
    let bytes: Vec<u8> = (0..=255).rev().collect();
    let payload =
        json!({"text": base64::engine::general_purpose::STANDARD.encode(&bytes), "encoding": "base64"});
    let properties = json!({"user_properties": []});
    let request = json!({"topic": "plant/frame", "payload": payload, "qos": 1, "retain": false, "properties": properties});
    window.engine("publish", json!({"id": profile["id"], "request": request})).await?;
    window
        .until("its row", "return document.querySelector('[role=row][aria-rowindex=\"2\"]') !== null")
        .await?;
    window.find("[role=grid] [role=row][aria-rowindex='2']").await?.click().await?;
    window.click("Save…").await?;
    dialog::choose("Save payload", &place("frame.bin")).await?;
    window.says("256 B saved to").await?;
    window.shots("1-payload").await?;
    assert_eq!(std::fs::read(out.join("frame.bin"))?, bytes);

    std::fs::write(out.join("frame.bin"), "before")?;
    window.click("Save…").await?;
    dialog::cancel("Save payload").await?;
    assert_eq!(std::fs::read(out.join("frame.bin"))?, b"before");
    window.click("Save…").await?;
    dialog::choose("Save payload", &place("frame.bin")).await?;
    window.until("it is replaced", "return [...document.querySelectorAll('.toast')].length > 0").await?;
    assert_eq!(std::fs::read(out.join("frame.bin"))?, bytes);

    window.click("Save…").await?;
    dialog::choose("Save payload", &format!("{UNWRITABLE}/frame.bin")).await?;
    window.says("cannot be written").await?;
    window.shots("2-unwritable").await?;

    // The trace as JSON, and the server's certificates as PEM.
    window.click("Trace").await?;
    window.says("Connected in").await?;
    window.click("Export…").await?;
    dialog::cancel("Export the trace").await?;
    window.click("Export…").await?;
    dialog::choose("Export the trace", &place("trace.json")).await?;
    window.says("Trace saved to").await?;
    let trace: Value = serde_json::from_slice(&std::fs::read(out.join("trace.json"))?)?;
    let kept = window.engine("traces", json!({"id": profile["id"]})).await?;
    assert_eq!(trace, kept[0]);
    window.click("Export…").await?;
    dialog::choose("Export the trace", &format!("{UNWRITABLE}/trace.json")).await?;
    window.says("trace.json cannot be written").await?;
    window.shots("3-trace").await?;

    window.click("Save as PEM…").await?;
    dialog::choose("Save the server's certificates", &place("server.pem")).await?;
    window.says("Certificates saved to").await?;
    let [written, original] = [out.join("server.pem"), pki.server.cert.clone()].map(|file| der(&file));
    assert_eq!(written?[0], original?[0]);
    window.click("Save as PEM…").await?;
    dialog::choose("Save the server's certificates", &format!("{UNWRITABLE}/server.pem")).await?;
    window.says("server.pem cannot be written").await?;
    let mut names: Vec<_> =
        std::fs::read_dir(&out)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    names.sort();
    assert_eq!(names, ["frame.bin", "server.pem", "trace.json"], "nothing else was left there");
    window.close().await
}
