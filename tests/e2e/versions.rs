//! MQTT 3.1.1 in the window: what only MQTT 5 knows is out of reach and says why, and what was typed is kept.

use anyhow::Result;
use serde_json::{Value, json};

use crate::window::Window;

/// Fields of the editor that MQTT 3.1.1 does not know, with what they hold.
const ONLY_5: [(&str, &str); 9] = [
    ("Session expiry", "3600"),
    ("Receive maximum", "20"),
    ("Topic alias maximum", "11"),
    ("Delay", "30"),
    ("Content type", "text/plain"),
    ("Response topic", "plant/answers"),
    ("Message expiry", "61"),
    ("Correlation data", "c-1"),
    ("Value", "north"),
];

/// Of the fields with these values, those that are (not) disabled.
async fn which(window: &Window, disabled: bool) -> Result<Vec<String>> {
    let script = format!(
        "const wanted = {};\
         return wanted.filter(([, value]) => [...document.querySelectorAll('.ed-form input')]\
           .some((e) => e.value === value && e.disabled === {disabled})).map(([label]) => label)",
        json!(ONLY_5)
    );
    Ok(serde_json::from_value(window.js(&script).await?)?)
}

fn labels() -> Vec<String> {
    ONLY_5.iter().map(|(label, _)| (*label).to_owned()).collect()
}

/// Controls of a part of the window that can be used, by their names.
async fn usable(window: &Window, part: &str) -> Result<Vec<String>> {
    let script = format!(
        "return [...document.querySelectorAll('{part} :is(input, button)')]\
           .filter((e) => !e.disabled && e.getAttribute('aria-disabled') !== 'true')\
           .map((e) => e.getAttribute('aria-label') || e.innerText.split('\\n')[0])"
    );
    Ok(serde_json::from_value(window.js(&script).await?)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_mqtt_5_knows_is_kept_and_out_of_reach_under_3_1_1() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let window = Window::open(&dir.path().join("data"), "versions", &[]).await?;
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!("Line 4");
    draft["endpoint"]["host"] = json!("localhost");
    let session = &mut draft["settings"]["session"];
    session["session_expiry_s"] = json!(3600);
    session["receive_maximum"] = json!(20);
    session["topic_alias_maximum"] = json!(11);
    let will = &mut draft["settings"]["will"];
    will["enabled"] = json!(true);
    will["topic"] = json!("plant/gone");
    will["delay_s"] = json!(30);
    let properties = &mut will["properties"];
    properties["content_type"] = json!("text/plain");
    properties["response_topic"] = json!("plant/answers");
    properties["message_expiry_s"] = json!(61);
    properties["correlation_data"] = json!({"text": "c-1", "encoding": "utf8"});
    properties["user_properties"] = json!([{"name": "site", "value": "north"}]);
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;
    let id = json!({"id": draft["id"]});
    let saved = window.engine("profile", id.clone()).await?;

    window.click("Line 4").await?;
    window.press("Control+e").await?;
    window.find("#section-session").await?;
    assert_eq!(which(&window, false).await?, labels());
    window.click("3.1.1").await?;
    window
        .until(
            "the last of them is disabled",
            "return document.querySelector('#section-will .ltable input')?.disabled",
        )
        .await?;
    assert_eq!(which(&window, true).await?, labels());
    assert_eq!(which(&window, false).await?, Vec::<String>::new());
    let told = "return [...document.querySelectorAll('#section-session .f, #section-will .f')]\
        .filter((row) => row.querySelector('input:disabled, [aria-disabled=true], button:disabled') && !row.innerText.includes('MQTT 3.1.1'))\
        .map((row) => row.innerText)";
    assert_eq!(window.js(told).await?, json!([]), "rows that do not say why");
    for section in ["session", "will"] {
        let show = format!("document.querySelector('#section-{section}').scrollIntoView(); return true");
        window.js(&show).await?;
        window.shots(&format!("1-{section}")).await?;
    }
    // Saved as 3.1.1, closed, and chosen again.
    window.press("Control+s").await?;
    window.says("saved").await?;
    let changed = window.engine("profile", id.clone()).await?;
    assert_eq!(changed["settings"]["session"]["version"], json!("3.1.1"));

    // The composer and the options of a subscription.
    window.find("section.composer").await?;
    window.says("MQTT 3.1.1 has no properties").await?;
    assert_eq!(usable(&window, ".composer .props").await?, Vec::<String>::new());
    window.click("Subscription options").await?;
    window.find("[data-popover-content]").await?;
    let options = usable(&window, "[data-popover-content]").await?;
    for only in ["Not my own messages", "Keep retain flag", "Retained messages"] {
        assert!(!options.iter().any(|option| option.starts_with(only)), "{only} in {options:?}");
    }
    window.says("does not know these three").await?;
    window.shots("2-composer-and-subscription").await?;
    window.press("Escape").await?;

    window.press("Control+e").await?;
    window.find("#section-session").await?;
    window.click("5.0").await?;
    window
        .until(
            "the last of them is back",
            "return document.querySelector('#section-will .ltable input')?.disabled === false",
        )
        .await?;
    assert_eq!(which(&window, false).await?, labels());
    window.press("Control+s").await?;
    window
        .until(
            "properties can be set",
            "return document.querySelector('.composer .props input')?.disabled === false",
        )
        .await?;
    let mut again: Value = window.engine("profile", id).await?;
    again["updated_at"] = saved["updated_at"].clone();
    assert_eq!(again["settings"], saved["settings"]);
    window.close().await
}
