//! Connections that are lost, attempts that are compared, and what a port speaks, in the real window.

use anyhow::Result;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
use crate::keyboard::OVERFLOWS;
use crate::saved::CONNECTED;
use crate::window::Window;

/// A connection over mqtts that trusts the broker's CA, not yet saved.
async fn draft(window: &Window, broker: &Mosquitto, pki: &Pki) -> Result<Value> {
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!("Line 4");
    draft["endpoint"] = json!({"websocket": false, "tls": true, "host": "localhost", "port": broker.mqtts.to_string(), "path": ""});
    draft["settings"]["trust"]["mode"] = json!("ca_only");
    draft["settings"]["trust"]["ca_files"] = json!([pki.ca]);
    Ok(draft)
}

async fn fits(window: &Window) -> Result<()> {
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_says_so_everywhere_and_its_attempts_can_be_compared() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let mut broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let window = Window::open(&dir.path().join("data"), "losses", &[]).await?;
    let mut draft = draft(&window, &broker, &pki).await?;
    // Long enough to read the countdown.
    draft["settings"]["timing"]["reconnect_initial_s"] = json!(60);
    draft["settings"]["timing"]["reconnect_max_s"] = json!(60);
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;
    window.click("Line 4").await?;
    window.click("Connect").await?;
    window.until("connected", CONNECTED).await?;

    broker.stop();
    window.until("the countdown", "return /Reconnecting in \\d+ s/.test(document.body.innerText)").await?;
    window
        .until("the event", "return /Connection lost/.test(document.querySelector('[role=grid]').innerText)")
        .await?;
    window.shots("1-lost").await?;
    window.click("Trace").await?;
    window.says("Lost after").await?;
    window.shots("2-its-trace").await?;

    window.click("Now").await?;
    window.until("a second attempt", "return /Failed after/.test(document.body.innerText)").await?;
    window.until("the countdown", "return /Reconnecting in \\d+ s/.test(document.body.innerText)").await?;
    let attempts = window.engine("traces", json!({"id": draft["id"]})).await?;
    let attempts: Vec<_> =
        attempts.as_array().into_iter().flatten().map(|trace| trace["attempt"].clone()).collect();
    assert_eq!(attempts, [json!(2), json!(1)], "one more attempt, when it was asked for");
    window.shots("3-tried-again").await?;
    window.click("Stop").await?;
    window
        .until("no countdown", "return !/Reconnecting/.test(document.querySelector('.conn-head').innerText)")
        .await?;
    window.shots("4-stopped").await?;
    let events = "return document.querySelector('.conn-head').innerText";
    let told = window.js(events).await?;
    assert!(
        told.as_str().is_some_and(|text| text.contains("Failed at TCP") && text.contains("Try again")),
        "{told}"
    );

    broker.restart();
    window.click("Try again").await?;
    window.until("connected", CONNECTED).await?;
    window.click("Trace").await?;
    window.says("Connected in").await?;
    window.click("Compare with…").await?;
    let other = "return [...document.querySelectorAll('[role=option]')].map((e) => e.innerText.trim())";
    let others: Value = window.js(other).await?;
    let failed = others.as_array().into_iter().flatten().filter_map(Value::as_str);
    let failed =
        failed.clone().find(|text| text.contains("Failed")).unwrap_or("no failed attempt").to_owned();
    window.click(&failed).await?;
    window.says("Two attempts compared").await?;
    window.shots("5-compared").await?;
    window.resize(900, 600).await?;
    fits(&window).await?;
    window.shots("6-compared-smallest").await?;
    window.speak("简体中文").await?;
    window.click("比较").await?;
    window.find("[role=option]:nth-child(2)").await?.click().await?;
    window.find(".compare table").await?;
    window.shots("7-compared-zh").await?;
    fits(&window).await?;
    window.close().await
}

/// Words of sentences that the engine says in English.
const ENGLISH: &str = "
    const said = [...document.querySelectorAll('[role=grid] .ev, .kv dd, .inspector .said')].map((e) => e.innerText);
    return said.filter((text) => /\\b(the|closed|connection|gave|nothing|with|refused|roots|certificates?)\\b/i.test(text))
      .join('; ')";

#[tokio::test(flavor = "multi_thread")]
async fn events_and_facts_speak_the_windows_language() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let mut broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let window = Window::open(&dir.path().join("data"), "events", &[]).await?;
    let mut draft = draft(&window, &broker, &pki).await?;
    draft["settings"]["client_certificate"] =
        json!({"enabled": true, "cert_file": pki.client.cert, "key_file": pki.client.key});
    draft["settings"]["timing"]["reconnect"] = json!(false);
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;
    window.click("Line 4").await?;
    window.click("Connect").await?;
    window.until("connected", CONNECTED).await?;
    window.speak("简体中文").await?;
    window.press("Control+Shift+t").await?;
    window.find(".kv dd").await?;
    window.shots("1-trace-zh").await?;
    assert_eq!(window.js(ENGLISH).await?, json!(""));
    // The keys that brought the trace do not lay a tooltip over its heading.
    let later = "setTimeout(() => arguments[arguments.length - 1](document.querySelector('.tip')?.innerText ?? ''), 900)";
    assert_eq!(window.later(later, vec![]).await?, json!(""));

    broker.stop();
    window.until("lost", "return /连接中断/.test(document.body.innerText)").await?;
    window.click("消息").await?;
    window
        .until(
            "its event",
            "return /(关闭|结束)了连接/.test(document.querySelector('[role=grid]')?.innerText ?? '')",
        )
        .await?;
    assert_eq!(window.js(ENGLISH).await?, json!(""));
    window.shots("2-lost-zh").await?;
    // A failed attempt brings its trace by itself.
    window.click("重试").await?;
    window
        .until("refused", "return /被拒绝/.test(document.querySelector('.tr-log')?.innerText ?? '')")
        .await?;
    assert_eq!(window.js(ENGLISH).await?, json!(""));
    window.shots("3-failed-zh").await?;
    fits(&window).await?;
    window.close().await
}

/// A broker that stops in the middle of a PUBLISH of 5,000 bytes and answers nothing any more.
async fn stops_half_way() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = vec![0; 1024];
                let _ = stream.read(&mut heard).await;
                // CONNACK, then the head of the packet with topic and half of the payload.
                let head = [0x20, 3, 0, 0, 0, 0x30, 0x88, 0x27, 0, 1, b'a', 0];
                let _ = stream.write_all(&[&head[..], &[b'x'; 2_500]].concat()).await;
                while matches!(stream.read(&mut heard).await, Ok(1..)) {}
            });
        }
    });
    Ok(port)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_in_the_middle_of_a_packet_says_how_much_came_and_what_would_help() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let window = Window::open(&dir.path().join("data"), "half-a-packet", &[]).await?;
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!("Slow line");
    draft["endpoint"]["host"] = json!("127.0.0.1");
    draft["endpoint"]["port"] = json!(stops_half_way().await?.to_string());
    draft["settings"]["session"]["keep_alive_s"] = json!(1);
    draft["settings"]["timing"]["reconnect"] = json!(false);
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;
    window.click("Slow line").await?;
    window.click("Connect").await?;
    window
        .until("lost", "return /Connection lost/.test(document.querySelector('[role=grid]').innerText)")
        .await?;
    window.click("Trace").await?;
    window.says("stopped in the middle of a packet of 5,003 bytes").await?;
    window.says("2,507 bytes of it came at once").await?;
    window.says("Set the keep alive to 60 s").await?;
    window.shots("1-named").await?;
    window.speak("简体中文").await?;
    window.says("报文传到一半时停止了").await?;
    window.resize(900, 600).await?;
    window.shots("2-named-zh-smallest").await?;
    fits(&window).await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_port_speaks_fits_the_smallest_window_in_both_languages() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let options = MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() };
    let broker = Mosquitto::start(&pki, &options);
    let open = Mosquitto::start(&pki, &MosquittoOptions::default());
    let window = Window::open(&dir.path().join("data"), "probe", &[]).await?;
    window.resize(900, 600).await?;
    for (tag, probe) in [("en", "What does this port speak?"), ("zh", "此端口使用什么协议？")] {
        if tag == "zh" {
            window.speak("简体中文").await?;
        }
        for (name, port) in
            [("wss", open.wss), ("certificate", broker.mqtts), ("closed", crate::brokers::free_port())]
        {
            window.press("Control+n").await?;
            window
                .until("the URL to have the focus", "return document.activeElement.tagName === 'INPUT'")
                .await?;
            window.write(&format!("mqtt://localhost:{port}")).await?;
            window.press("Enter").await?;
            window.find(&format!("[aria-label='{probe}']")).await?.click().await?;
            window.until("the answers", "return document.querySelector('[role=dialog] [data-answer]') !== null && document.querySelector('[role=dialog] .spin') === null").await?;
            window.shots(&format!("{name}-{tag}")).await?;
            fits(&window).await?;
            let end = "const b = document.querySelector('[role=dialog]').getBoundingClientRect(); return b.bottom <= innerHeight && b.top >= 0";
            assert_eq!(window.js(end).await?, json!(true), "the dialog is inside the window");
            window.press("Escape").await?;
            window
                .until("the dialog is gone", "return document.querySelector('[role=dialog]') === null")
                .await?;
            window.press("Escape").await?;
        }
    }
    window.close().await
}
