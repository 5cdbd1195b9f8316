//! What a person does with saved connections, and that closing the window in the middle of it loses nothing.

use anyhow::Result;
use serde_json::{Value, json};

use crate::window::Window;

/// Names from top to bottom, folders with a slash behind.
async fn listed(window: &Window) -> Result<Value> {
    window.js("return [...document.querySelectorAll('[role=treeitem]')].map((e) => e.getAttribute('aria-label') || e.innerText.split('\\n').find((t) => t.trim()))").await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_sorted_renamed_deleted_and_brought_back_by_keyboard() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let window = Window::open(&data, "library", &[]).await?;
    for name in ["Line 1", "Line 2", "Line 3"] {
        let mut draft = window.engine("new_draft", json!({})).await?;
        draft["name"] = json!(name);
        draft["endpoint"]["host"] = json!("localhost");
        window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;
    }
    window.says("Line 3").await?;

    window.click("Line 3").await?;
    window.press("Alt+Up").await?;
    window.until("Line 3 above Line 2", &order(&["Line 1", "Line 3", "Line 2"])).await?;
    window.press("F2").await?;
    window.press("Control+a").await?;
    window.write("press").await?;
    window.press("Enter").await?;
    window.until("the new name", &order(&["Line 1", "press", "Line 2"])).await?;
    window.press("Delete").await?;
    window.until("it is gone", &order(&["Line 1", "Line 2"])).await?;
    window.shots("1-deleted").await?;
    window.click("Undo").await?;
    window.until("it is back", &order(&["Line 1", "press", "Line 2"])).await?;

    window.click("New folder").await?;
    window.press("Control+a").await?;
    window.write("plant").await?;
    window.press("Enter").await?;
    window.says("plant").await?;
    window.shots("2-folder").await?;

    // Closed with a form half filled in.
    window.press("Control+n").await?;
    window.fill("Name", "Half done").await?;
    window.until("the draft is kept", "return /Unsaved changes/.test(document.body.innerText)").await?;
    window.close().await?;

    let window = Window::open(&data, "library", &[]).await?;
    assert!(listed(&window).await?.to_string().contains("press"), "{}", listed(&window).await?);
    window.press("Control+n").await?;
    window.click("Restore").await?;
    let name = "return document.querySelector('input[aria-label=Name]').value === 'Half done'";
    window.until("the form as it was left", name).await?;
    window.shots("3-restored").await?;
    window.close().await
}

fn order(names: &[&str]) -> String {
    let wanted = json!(names);
    format!(
        "const names = {wanted}; const all = [...document.querySelectorAll('[role=treeitem]')].map((e) => e.innerText);\
         return all.length >= names.length && names.every((name, at) => all[at].includes(name))\
           && !all.slice(names.length).some((text) => /Line|press/.test(text))"
    )
}
