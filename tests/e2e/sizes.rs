//! Every main screen from the smallest window to 4K: pictures, and nothing that lies outside.

use anyhow::Result;
use serde_json::json;

use crate::keyboard::OVERFLOWS;
use crate::window::Window;

/// Sentences that run wider than anybody reads.
const STRETCHED: &str = "
    return [...document.querySelectorAll('p, .hint, .callout > span')]
      .filter((e) => e.getBoundingClientRect().height > 0)
      .filter((e) => { const r = document.createRange(); r.selectNodeContents(e); return r.getBoundingClientRect().width > 960; })
      .map((e) => e.innerText.slice(0, 60)).join('; ')";

async fn every_screen(width: u32, height: u32) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let window = Window::open(&dir.path().join("data"), &format!("{width}x{height}"), &["--demo"]).await?;
    window.resize(width, height).await?;
    window
        .until("messages", "return document.querySelectorAll('[role=grid] [role=row]').length >= 10")
        .await?;
    let mut wrong = vec![];
    for screen in ["messages", "trace", "editor", "settings", "certificates", "palette"] {
        match screen {
            "messages" => {
                window.js("document.querySelector('[role=grid]').focus(); return true").await?;
                window.press("Up").await?;
                window.press("Enter").await?;
                window.find(".inspector .acts-row").await?;
                // A high window is not left to the connections alone.
                let share = "const lower = document.querySelector('section.lower');\
                             return lower === null || lower.clientHeight / innerHeight > 0.35";
                assert_eq!(window.js(share).await?, json!(true), "{width}x{height}: the subscriptions");
            }
            "trace" => window.press("Control+Shift+t").await?,
            "editor" => {
                window.press("Control+e").await?;
                window.find("#section-transport").await?;
            }
            "settings" => {
                window.press("Escape").await?;
                window.press("Control+,").await?;
                window.says("Theme").await?;
            }
            "certificates" => {
                window.press("Escape").await?;
                window.press("Control+Shift+k").await?;
                window.find("article.entry").await?;
            }
            _ => {
                window.press("Escape").await?;
                window.press("Control+k").await?;
                window.find("[role=dialog] [role=option]").await?;
            }
        }
        // A picture of 4K takes seconds.
        if width > 3000 {
            window.shot(screen).await?
        } else {
            window.shots(screen).await?
        }
        for check in [OVERFLOWS, STRETCHED] {
            let found = window.js(check).await?;
            if found != json!("") {
                wrong.push(format!("{screen}: {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{width}x{height}: {wrong:#?}");
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_at_900_by_600() -> Result<()> {
    every_screen(900, 600).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_at_1920_by_1080() -> Result<()> {
    every_screen(1920, 1080).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_at_4k() -> Result<()> {
    every_screen(3840, 2160).await
}
