//! What a broker refuses, in the window: subscriptions and publications against mosquitto's plug-in for rights.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
use crate::saved::CONNECTED;
use crate::window::Window;

/// The text of a subscription's row, once it says this.
fn row_says(filter: &str, text: &str) -> String {
    format!(
        "return [...document.querySelectorAll('li.sub')]\
           .some((row) => row.innerText.replaceAll('\\n', '').includes('{filter}') && row.innerText.includes('{text}'))"
    )
}

/// An event of the stream that says all of this.
fn event_says(parts: &[&str]) -> String {
    format!(
        "return [...document.querySelectorAll('[role=row].is-bad')]\
           .some((row) => {}.every((part) => row.innerText.includes(part)))",
        json!(parts)
    )
}

async fn connected(window: &Window, name: &str, version: &str, port: u16) -> Result<Value> {
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!(name);
    draft["endpoint"]["host"] = json!("127.0.0.1");
    draft["endpoint"]["port"] = json!(port.to_string());
    draft["settings"]["session"]["version"] = json!(version);
    let saved = window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;
    window.click(name).await?;
    window.click("Connect").await?;
    window.until("connected", CONNECTED).await?;
    Ok(saved)
}

async fn subscribe(window: &Window, filter: &str) -> Result<()> {
    window.fill("Topic filter to subscribe to", filter).await?;
    window.press("Enter").await
}

/// mosquitto's plug-in for rights; its file of access rules lets every subscription pass.
fn plugin() -> Result<PathBuf> {
    let found = std::fs::read_dir("/usr/lib")?
        .map(|folder| Ok(folder?.path().join("mosquitto_dynamic_security.so")))
        .collect::<Result<Vec<_>>>()?;
    found.into_iter().find(|file| file.exists()).context("the dynamic security plug-in of mosquitto")
}

/// Nobody may subscribe to these filters, nor publish to what they match.
fn forbid(rules: &Path, filters: &[&str]) -> Result<()> {
    let kinds = ["subscribePattern", "publishClientSend"];
    let acls: Vec<_> = filters
        .iter()
        .flat_map(|topic| kinds.map(|kind| json!({"acltype": kind, "topic": topic, "allow": false})))
        .collect();
    let all = ["publishClientSend", "publishClientReceive", "subscribe", "unsubscribe"];
    let rest: serde_json::Map<_, _> = all.iter().map(|&kind| (kind.to_owned(), json!(true))).collect();
    let config = json!({
        "defaultACLAccess": rest, "clients": [], "anonymousGroup": "anybody",
        "groups": [{"groupname": "anybody", "roles": [{"rolename": "limited"}]}],
        "roles": [{"rolename": "limited", "acls": acls}],
    });
    Ok(std::fs::write(rules, config.to_string())?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_subscription_and_a_refused_publication_say_which_and_why() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let rules = dir.path().join("rules.json");
    forbid(&rules, &["secret/#"])?;
    // Without a bound, mosquitto 2.0.11 closes the connection after it refused a publication.
    let extra = format!(
        "max_queued_messages 1000\nplugin {}\nplugin_opt_config_file {}\n",
        plugin()?.display(),
        rules.display()
    );
    let options = MosquittoOptions { extra, ..MosquittoOptions::default() };
    let mut broker = Mosquitto::start(&pki, &options);
    let window = Window::open(&dir.path().join("data"), "refusals", &[]).await?;

    connected(&window, "Five", "5", broker.mqtt).await?;
    subscribe(&window, "open/#").await?;
    window.until("the grant", &row_says("open/#", "QoS 0")).await?;
    subscribe(&window, "secret/#").await?;
    window.until("the refusal", &row_says("secret/#", "Not authorized (0x87)")).await?;
    window.until("its event", &event_says(&["secret/#", "Not authorized", "0x87"])).await?;
    window.fill("Topic", "secret/lamp").await?;
    window.click("1").await?;
    window.click("Publish").await?;
    window.says("Refused: Not authorized (0x87)").await?;
    window.until("its event", &event_says(&["secret/lamp", "Not authorized", "0x87"])).await?;
    window.shots("1-mqtt-5").await?;
    assert_eq!(
        window
            .js("return document.querySelector('[role=grid]').innerText.includes('Connection lost')")
            .await?,
        json!(false)
    );

    // Asked again by a click: it is still refused, and said again.
    let events = "return document.querySelectorAll('[role=row].is-bad').length";
    let before = window.js(events).await?.as_u64().unwrap_or_default();
    window.find("li.sub .retry").await?.click().await?;
    window.until("one event more", &format!("{events} > {before}")).await?;

    // Allowed by a broker that is started again.
    forbid(&rules, &[])?;
    broker.restart();
    window.until("granted", &row_says("secret/#", "QoS 0")).await?;
    window.shots("2-granted").await?;
    forbid(&rules, &["secret/#"])?;
    let other = Mosquitto::start(&pki, &options);
    connected(&window, "Three", "3.1.1", other.mqtt).await?;
    subscribe(&window, "secret/#").await?;
    window.until("the refusal", &row_says("secret/#", "Refused without a reason (0x80)")).await?;
    window.until("its event", &event_says(&["secret/#", "without a reason", "0x80"])).await?;
    window.shots("3-mqtt-3").await?;
    window.resize(900, 600).await?;
    window.shots("4-smallest").await?;
    window.close().await
}
