//! Comparing, pinning and what is live only by keyboard alone, in Chinese, in the smallest window.

use anyhow::Result;
use serde_json::json;

use crate::damaged::to_the_list;
use crate::kept::{connected, publish, rows};
use crate::keyboard::OVERFLOWS;
use crate::window::Window;

/// The row that is selected.
const SELECTED: &str = "document.querySelector('.stream .gr[aria-selected=true]')";

/// Goes up from the newest row to the one that says this.
async fn up_to(window: &Window, text: &str) -> Result<()> {
    to_the_list(window).await?;
    window.press("End").await?;
    let there = format!("return {SELECTED}?.innerText.includes({}) ?? false", json!(text));
    for _ in 0..40 {
        window.press("Up").await?;
        window.until("a row is selected", &format!("return {SELECTED} !== null")).await?;
        if window.js(&there).await? == json!(true) {
            return Ok(());
        }
    }
    anyhow::bail!("{text} is never reached")
}

/// Pictures in both themes, when nothing is cut off.
async fn seen(window: &Window, name: &str) -> Result<()> {
    assert_eq!(window.js(OVERFLOWS).await?, json!(""), "{name}");
    window.shots(name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_compared_pinned_and_shown_live_only_by_keyboard_in_chinese() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let subscriptions = json!([{"filter": "plant/#", "enabled": true, "qos": 1}]);
    let (window, _broker, id) = connected(dir.path(), "kept-by-keyboard", subscriptions).await?;
    window.resize(900, 600).await?;
    window.speak("简体中文").await?;
    for (n, fan) in [(21, ""), (22, r#","fan":1"#), (23, r#","fan":2"#)] {
        publish(&window, &id, "plant/oven", &format!(r#"{{"temp_c":{n}{fan}}}"#), false).await?;
    }
    rows(&window, 7).await?;

    // Pinned, and only what is pinned.
    up_to(&window, "\"temp_c\":22").await?;
    window.press("p").await?;
    window.until("pinned", "return document.querySelectorAll('.stream .pinned').length === 1").await?;
    window.tab_to_css(".criteria").await?;
    window.press("Enter").await?;
    window.says("仅固定的消息").await?;
    window.tab_to("仅固定的消息").await?;
    window.press("Space").await?;
    rows(&window, 1).await?;
    seen(&window, "1-pinned").await?;
    window.press("Space").await?;
    window.press("Escape").await?;
    rows(&window, 7).await?;
    assert_eq!(
        window.js("return document.activeElement.matches('.criteria')").await?,
        json!(true),
        "focus returns"
    );

    // Marked and compared with another, by line and by byte.
    up_to(&window, "\"temp_c\":23").await?;
    window.press("m").await?;
    window.says("已标记").await?;
    up_to(&window, "\"temp_c\":21").await?;
    window.press("d").await?;
    window.says("比较消息").await?;
    let panel =
        |test: &str| format!("return {test}.test(document.querySelector('#compare-panel')?.innerText)");
    window.until("its lines", &panel("/temp_c\": 21[^]*temp_c\": 23/")).await?;
    seen(&window, "2-lines").await?;
    window.tab_to_css("#compare-tab-lines").await?;
    window.press("Right").await?;
    window
        .until("its bytes", "return document.querySelectorAll('#compare-panel .differs').length > 0")
        .await?;
    window.press("n").await?;
    window
        .until("the next difference", "return document.querySelector('#compare-panel .is-here') !== null")
        .await?;
    seen(&window, "3-bytes").await?;
    window.press("n").await?;
    window.says("没有更多不同").await?;
    window.press("Shift+N").await?;
    window.tab_to_css("#compare-panel [role=grid]").await?;
    window.press("End").await?;
    window.press("Escape").await?;
    window.until("closed", "return document.querySelector('[role=dialog]') === null").await?;
    let in_list = "return document.activeElement.closest('.stream [role=grid]') !== null";
    window.until("the list has the focus again", in_list).await?;

    // A subscription that is live only.
    window.press("Control+Shift+s").await?;
    window.write("noise/#").await?;
    window.press("Tab").await?;
    assert_eq!(window.focused().await?, "订阅选项");
    window.press("Enter").await?;
    window.tab_to("不存储").await?;
    window.press("Space").await?;
    seen(&window, "4-form").await?;
    window.tab_to_css(".form [type=submit]").await?;
    window.press("Enter").await?;
    window.until("subscribed", "return [...document.querySelectorAll('.sub')].some((sub) => /noise/.test(sub.innerText) && /实时/.test(sub.innerText))").await?;
    for n in 0..3 {
        publish(&window, &id, "noise/1", &format!("canary-{n}"), false).await?;
    }
    window.until("counted", "return /3\\s+条仅实时/.test(document.body.innerText)").await?;
    window.tab_to_css(".live-only").await?;
    window.press("Enter").await?;
    rows(&window, 3).await?;
    up_to(&window, "canary-1").await?;
    // It cannot be pinned, and can be compared as any other.
    window.press("p").await?;
    window.press("d").await?;
    window.until("the lines of both, with the one that is marked", &panel("/temp_c[^]*canary-1/")).await?;
    seen(&window, "5-live-only").await?;
    window.press("Escape").await?;
    window.until("closed", "return document.querySelector('[role=dialog]') === null").await?;
    assert_eq!(window.js("return document.querySelectorAll('.stream .pinned').length").await?, json!(0));
    window.press("Enter").await?;
    window
        .until("inspected", "return /canary-1/.test(document.querySelector('.inspector .well')?.innerText)")
        .await?;
    seen(&window, "6-inspected").await?;
    window.close().await
}
