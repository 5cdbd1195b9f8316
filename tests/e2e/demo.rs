//! The demo in the real window: what `./dev demo` shows where there is no display, and a test that it works.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::window::Window;

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_messages_over_wss_with_a_client_certificate() -> Result<()> {
    let data = tempfile::tempdir()?;
    let window = Window::open(data.path(), "demo", &["--demo"]).await?;
    window
        .until("messages", "return document.querySelectorAll('[role=grid] [role=row]').length >= 10")
        .await?;
    window.shots("messages").await?;

    let tree = window.js("return window.__TAURI_INTERNALS__.invoke('library_tree')").await?;
    let (id, url) = (&tree["profiles"][0]["id"], &tree["profiles"][0]["url"]);
    assert!(url.as_str().is_some_and(|url| url.starts_with("wss://")), "{url}");
    let asked = format!("return window.__TAURI_INTERNALS__.invoke('traces', {{ id: {id} }})");
    let traces = window.js(&asked).await.context("the traces")?;
    let trace = &traces[0];
    assert_eq!(trace["verdict"]["outcome"], json!("connected"), "{trace:#}");
    let stage = |name: &str| {
        trace["stages"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|s| s["stage"] == name)
            .cloned()
            .unwrap_or(Value::Null)
    };
    assert_eq!(stage("websocket")["outcome"], "ok");
    assert!(stage("tls")["detail"]["client_cert_sent"]["subject"].is_string(), "{:#}", stage("tls"));

    if let Some(out) = std::env::var_os("HELIOGRAPH_DEMO_OUT") {
        let out = std::path::PathBuf::from(out);
        std::fs::write(out.join("trace.json"), serde_json::to_vec_pretty(trace)?)?;
        let shots = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/e2e/demo");
        std::fs::copy(shots.join("messages-dark.png"), out.join("window.png"))?;
    }
    window.close().await
}
