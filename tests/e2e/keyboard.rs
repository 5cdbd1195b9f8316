//! The same work by keyboard alone, and the window at its smallest, in both languages.

use std::process::Command;

use anyhow::Result;
use serde_json::json;

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
use crate::saved::CONNECTED;
use crate::window::Window;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_made_used_and_ended_by_keyboard_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let window = Window::open(&dir.path().join("data"), "keyboard", &[]).await?;
    window.resize(900, 600).await?;

    window.press("Control+n").await?;
    window.until("the URL to have the focus", "return document.activeElement.tagName === 'INPUT'").await?;
    window.write(&format!("ws://127.0.0.1:{}/mqtt", broker.ws)).await?;
    window.press("Enter").await?;
    window.press("Control+Enter").await?;
    window.until("connected", CONNECTED).await?;

    window.press("Control+Shift+s").await?;
    assert_eq!(window.focused().await?, "Topic filter to subscribe to");
    window.write("keys/#").await?;
    window.press("Enter").await?;
    window.press("Escape").await?;

    window.press("Control+p").await?;
    window.write("keys/one").await?;
    for _ in 0..4 {
        window.press("Tab").await?;
    }
    assert_eq!(window.focused().await?, "Payload");
    window.write("pressed").await?;
    window.press("Control+Enter").await?;
    window
        .until("the rows", "return document.querySelector('[role=grid]')?.getAttribute('aria-rowcount') >= 3")
        .await?;

    let mut panes = 0;
    while window.js("return document.activeElement.getAttribute('role')").await? != json!("grid") {
        window.press("F6").await?;
        panes += 1;
        assert!(panes < 10, "F6 never reaches the messages, last at {}", window.focused().await?);
    }
    window.press("Up").await?;
    window.press("Enter").await?;
    window
        .until("the inspector", "return /1 line|pressed/.test(document.querySelector('.side')?.innerText)")
        .await?;
    window.shots("inspector-900x600").await?;
    window.press("Control+c").await?;
    window.says("Copied").await?;
    assert_eq!(clipboard()?, "pressed");
    window.press("Escape").await?;
    window.until("the inspector is closed", "return document.querySelector('.side') === null").await?;

    window.press("Control+k").await?;
    window.until("the palette", "return document.activeElement.getAttribute('role') === 'combobox'").await?;
    window.write("trace").await?;
    window.press("Enter").await?;
    window.until("the trace", "return /Connected in/.test(document.body.innerText)").await?;
    window.until("the palette is gone", "return document.querySelector('[role=dialog]') === null").await?;
    window.press("Control+Shift+Enter").await?;
    window.until("disconnected", "return /^Disconnected/m.test(document.body.innerText)").await?;
    window.close().await
}

/// What another program would paste.
pub fn clipboard() -> Result<String> {
    let output = Command::new("xclip").args(["-selection", "clipboard", "-out"]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What does not fit: text cut off without an ellipsis, and controls outside the window.
pub const OVERFLOWS: &str = "
    const found = [];
    if (document.documentElement.scrollWidth > innerWidth) found.push('the page scrolls sideways');
    for (const e of document.querySelectorAll('button, input, [role=tab], h1, h2, label')) {
      const box = e.getBoundingClientRect();
      if (box.width === 0 || getComputedStyle(e).visibility === 'hidden') continue;
      const name = (e.getAttribute('aria-label') || e.innerText || e.tagName).slice(0, 40);
      if (box.right > innerWidth + 1 || box.left < -1) found.push(`${name} lies outside`);
      if (e.tagName === 'BUTTON' && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).textOverflow !== 'ellipsis'
          && getComputedStyle(e).overflow !== 'visible')
        found.push(`${name} is cut off`);
    }
    return found.join('; ');";

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_fits_the_smallest_window_in_both_languages() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let window = Window::open(&dir.path().join("data"), "smallest", &["--demo"]).await?;
    window
        .until("messages", "return document.querySelectorAll('[role=grid] [role=row]').length >= 10")
        .await?;
    window.resize(900, 600).await?;
    for (language, connected) in [("English", "Disconnect"), ("简体中文", "断开")] {
        window.press("Control+,").await?;
        window.click(language).await?;
        let mut cut = vec![];
        let tag = if language == "English" { "en" } else { "zh" };
        for (screen, keys) in [
            ("settings", None),
            ("messages", Some("Escape")),
            ("trace", Some("Control+Shift+t")),
            ("editor", Some("Control+e")),
        ] {
            if let Some(keys) = keys {
                window.press(keys).await?;
            }
            if screen == "messages" {
                window.find("#connection-tab-messages").await?.click().await?;
                window
                    .until(
                        "the connection",
                        &format!("return document.body.innerText.includes('{connected}')"),
                    )
                    .await?;
            }
            window.shots(&format!("{screen}-{tag}")).await?;
            let found = window.js(OVERFLOWS).await?;
            if found != json!("") {
                cut.push(format!("{screen}: {found}"));
            }
        }
        assert!(cut.is_empty(), "{language}: {cut:#?}");
        window.press("Escape").await?;
    }
    window.close().await
}
