//! A wrong transport in the real window: the trace names it, the port is asked what it speaks, the answer is
//! filled into the draft and tried, the presented certificate is pinned after its card was seen, and the saved
//! connection is what it was until the person saves.

#[path = "brokers/mod.rs"]
mod brokers;
#[path = "e2e/window.rs"]
mod window;

use anyhow::Result;
use brokers::{Mosquitto, MosquittoOptions, Pki};
use heliograph_engine::endpoint::EndpointParts;
use heliograph_engine::engine::Engine;
use heliograph_engine::profile::TrustMode;
use window::Window;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_transport_is_found_out_and_put_right() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let data = tempfile::tempdir()?;
    let engine = Engine::open(data.path())?;
    let mut draft = engine.new_draft();
    "Boiler house".clone_into(&mut draft.name);
    draft.endpoint =
        EndpointParts { host: "localhost".into(), port: broker.wss.to_string(), ..EndpointParts::default() };
    let saved = engine.save_profile(draft, None, &[])?;
    engine.set_value("settings", &serde_json::json!({ "language": "en", "theme": "dark" }))?;
    engine.close().await;
    drop(engine);

    let window = Window::open(data.path(), "wrong-transport", &[]).await?;
    let connect =
        format!("window.__TAURI_INTERNALS__.invoke('connect', {{ id: '{}' }}); return true", saved.id);
    window.js(&connect).await?;
    window.find("section.cause").await?;
    window.shots("failure").await?;

    click(&window, "Find out").await?;
    window.find("[data-answer=accepted]").await?;
    window.shots("probe").await?;
    click(&window, "Fill in").await?;

    // The transport is right now, and the trace says what is next: nobody vouches for the certificate.
    window
        .until("the next failure", "return document.body.innerText.includes('Pin this certificate')")
        .await?;
    window.shots("untrusted").await?;
    window
        .js("[...document.querySelectorAll('.fix')].find(f => f.innerText.includes('Pin this certificate'))\
             .querySelector('button').click(); return true")
        .await?;
    window.find("[role=dialog] article.cert").await?;
    window.shots("pin").await?;
    click(&window, "Pin and try again").await?;
    window.until("a connection", "return document.body.innerText.includes('Connected in')").await?;
    window.shots("connected").await?;

    let ask = format!("return window.__TAURI_INTERNALS__.invoke('profile', {{ id: '{}' }})", saved.id);
    assert_eq!(window.js(&ask).await?, serde_json::to_value(&saved)?, "nothing was saved");
    click(&window, "Save").await?;
    let changed = format!(
        "return window.__TAURI_INTERNALS__.invoke('profile', {{ id: '{}' }}).then(p => p.endpoint.tls && p)",
        saved.id
    );
    let changed = window.until("the saved draft", &changed).await?;
    assert_eq!(changed["endpoint"]["websocket"], true);
    assert_eq!(changed["settings"]["trust"]["mode"], serde_json::to_value(TrustMode::Pinned)?);
    window.close().await
}

/// Clicks the button that says this, once it is there.
async fn click(window: &Window, text: &str) -> Result<()> {
    let script = format!(
        "const b = [...document.querySelectorAll('button')].find(b => b.innerText.trim().split('\\n')[0] === '{text}' \
         && b.getAttribute('aria-disabled') !== 'true'); if (b) b.click(); return Boolean(b)"
    );
    window.until(text, &script).await.map(drop)
}
