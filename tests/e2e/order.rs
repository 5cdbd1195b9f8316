//! Connections and folders put in order by the mouse, and by keys.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::window::Window;

/// What the library holds: loose connections first, then each folder with what is in it.
async fn order(window: &Window) -> Result<Value> {
    let tree = window.engine("library_tree", json!({})).await?;
    let list = |name: &str| tree[name].as_array().cloned().unwrap_or_default();
    let within = |folder: &Value| -> Vec<Value> {
        list("profiles").iter().filter(|p| &p["folder"] == folder).map(|p| p["name"].clone()).collect()
    };
    let folders = list("folders");
    let named = folders.iter().map(|folder| json!([folder["name"], within(&folder["id"])]));
    Ok(std::iter::once(json!(["", within(&Value::Null)])).chain(named).collect())
}

/// Waits until the library and the sidebar say the same.
async fn becomes(window: &Window, wanted: Value) -> Result<()> {
    let lines: Vec<&Value> = wanted
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|group| std::iter::once(&group[0]).chain(group[1].as_array().into_iter().flatten()))
        .filter(|name| *name != "")
        .collect();
    let shown = format!(
        "const rows = [...document.querySelectorAll('[role=treeitem]')].map((e) => e.innerText.trim().split('\\n')[0]);\
         return JSON.stringify(rows) === JSON.stringify({})",
        json!(lines)
    );
    window.until(&wanted.to_string(), &shown).await.with_context(|| wanted.to_string())?;
    assert_eq!(order(window).await?, wanted);
    Ok(())
}

fn row(name: &str) -> String {
    format!("[...document.querySelectorAll('[role=treeitem]')].find((e) => e.innerText.includes('{name}'))")
}

/// Holds a row over another one, so far down it.
async fn hold(window: &Window, name: &str, over: &str, fraction: f64) -> Result<()> {
    let from = window.place(&row(name), 0.4, 0.5).await?;
    let to = window.place(&row(over), 0.4, fraction).await?;
    window.drag(from, &[(from.0, (from.1 + to.1) / 2.0), to]).await
}

async fn put(window: &Window, name: &str, over: &str, fraction: f64) -> Result<()> {
    hold(window, name, over, fraction).await?;
    window.drop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_and_folders_are_put_in_order_by_mouse_and_by_keys() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let window = Window::open(&data, "order", &[]).await?;
    for name in ["Press", "Robot", "Oven", "Scale"] {
        let mut draft = window.engine("new_draft", json!({})).await?;
        draft["name"] = json!(name);
        draft["endpoint"]["host"] = json!("localhost");
        window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;
    }
    for name in ["North", "South"] {
        window.engine("create_folder", json!({ "name": name })).await?;
    }
    becomes(&window, json!([["", ["Press", "Robot", "Oven", "Scale"]], ["North", []], ["South", []]]))
        .await?;

    // Between two others; the line says where.
    hold(&window, "Scale", "Press", 0.9).await?;
    window.find(".drop-after").await?;
    window.shots("1-between").await?;
    window.drop().await?;
    becomes(&window, json!([["", ["Press", "Scale", "Robot", "Oven"]], ["North", []], ["South", []]]))
        .await?;
    assert_eq!(window.js("return document.querySelector('.drop-after, .is-dragging')").await?, Value::Null);

    // Into a folder, before what is in it, and from folder to folder.
    hold(&window, "Robot", "North", 0.5).await?;
    window.find(".drop-inside").await?;
    window.shots("2-into").await?;
    window.drop().await?;
    becomes(&window, json!([["", ["Press", "Scale", "Oven"]], ["North", ["Robot"]], ["South", []]])).await?;
    put(&window, "Press", "Robot", 0.2).await?;
    becomes(&window, json!([["", ["Scale", "Oven"]], ["North", ["Press", "Robot"]], ["South", []]])).await?;
    put(&window, "Robot", "South", 0.6).await?;
    becomes(&window, json!([["", ["Scale", "Oven"]], ["North", ["Press"]], ["South", ["Robot"]]])).await?;

    // Let go with Escape, or beside the sidebar: nothing moves, and no row is opened by it.
    let selected =
        "return document.querySelector('[role=treeitem][aria-selected=true]')?.innerText ?? 'none'";
    let before = window.js(selected).await?;
    hold(&window, "Robot", "Scale", 0.2).await?;
    window.find(".drop-before").await?;
    window.press("Escape").await?;
    window.until("no line", "return document.querySelector('.drop-before') === null").await?;
    window.drop().await?;
    let robot = window.place(&row("Robot"), 0.4, 0.5).await?;
    window.drag(robot, &[(robot.0, robot.1 - 40.0), (900.0, 400.0)]).await?;
    window.drop().await?;
    becomes(&window, json!([["", ["Scale", "Oven"]], ["North", ["Press"]], ["South", ["Robot"]]])).await?;
    assert_eq!(window.js(selected).await?, before);

    // Out of every folder: above the first one, and below all.
    put(&window, "Robot", "North", 0.1).await?;
    becomes(&window, json!([["", ["Scale", "Oven", "Robot"]], ["North", ["Press"]], ["South", []]])).await?;
    let press = window.place(&row("Press"), 0.4, 0.5).await?;
    let below = window.place("document.querySelector('[role=tree]')", 0.4, 0.9).await?;
    window.drag(press, &[(press.0, press.1 + 20.0), below]).await?;
    window.find(".drop-out").await?;
    window.shots("3-out").await?;
    window.drop().await?;
    becomes(&window, json!([["", ["Scale", "Oven", "Robot", "Press"]], ["North", []], ["South", []]]))
        .await?;

    // Folders, with what is in them.
    put(&window, "Oven", "North", 0.5).await?;
    becomes(&window, json!([["", ["Scale", "Robot", "Press"]], ["North", ["Oven"]], ["South", []]])).await?;
    put(&window, "South", "North", 0.2).await?;
    becomes(&window, json!([["", ["Scale", "Robot", "Press"]], ["South", []], ["North", ["Oven"]]])).await?;
    put(&window, "South", "Oven", 0.5).await?;
    becomes(&window, json!([["", ["Scale", "Robot", "Press"]], ["North", ["Oven"]], ["South", []]])).await?;

    // The same by keys: the row that was moved has the focus, and steps from group to group.
    put(&window, "Scale", "Press", 0.9).await?;
    becomes(&window, json!([["", ["Robot", "Press", "Scale"]], ["North", ["Oven"]], ["South", []]])).await?;
    window.press("Alt+Down").await?;
    becomes(&window, json!([["", ["Robot", "Press"]], ["North", ["Scale", "Oven"]], ["South", []]])).await?;
    window.press("Alt+Down").await?;
    window.press("Alt+Down").await?;
    becomes(&window, json!([["", ["Robot", "Press"]], ["North", ["Oven"]], ["South", ["Scale"]]])).await?;
    window.press("Left").await?;
    window.press("Alt+Up").await?;
    let after = json!([["", ["Robot", "Press"]], ["South", ["Scale"]], ["North", ["Oven"]]]);
    becomes(&window, after.clone()).await?;
    assert!(window.focused().await?.contains("South"), "{}", window.focused().await?);
    window.close().await?;

    let window = Window::open(&data, "order", &[]).await?;
    becomes(&window, after).await?;
    window.close().await
}
