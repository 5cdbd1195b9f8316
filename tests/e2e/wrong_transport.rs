//! A wrong transport in the real window: the trace names it, the port is asked what it speaks, the answer is
//! filled into the draft and tried, the presented certificate is pinned after its card was seen, and the saved
//! connection is what it was until the person saves.

use anyhow::Result;
use serde_json::json;

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
use crate::saved::CONNECTED;
use crate::window::Window;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_transport_is_found_out_and_put_right() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let window = Window::open(&dir.path().join("data"), "wrong-transport", &[]).await?;
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!("Boiler house");
    draft["endpoint"]["host"] = json!("localhost");
    draft["endpoint"]["port"] = json!(broker.wss.to_string());
    let save = json!({ "draft": draft, "folder": null, "secrets": [] });
    let saved = window.engine("save_profile", save).await?;
    let id = json!({ "id": saved["id"] });

    window.click("Boiler house").await?;
    window.click("Connect").await?;
    window.find("section.cause").await?;
    window.shots("failure").await?;

    window.click("Find out").await?;
    window.find("[data-answer=accepted]").await?;
    window.shots("probe").await?;
    window.click("Fill in").await?;

    // The transport is right now, and the trace says what is next: nobody vouches for the certificate.
    window.says("Pin this server's key").await?;
    window.shots("untrusted").await?;
    window
        .js("[...document.querySelectorAll('.fix')].find(f => f.innerText.includes('Pin this server'))\
             .querySelector('button').click(); return true")
        .await?;
    window.find("[role=dialog] article.cert").await?;
    window.shots("pin").await?;
    window.click("Pin and try again").await?;
    window.says("Connected in").await?;
    window.shots("connected").await?;

    assert_eq!(window.engine("profile", id.clone()).await?, saved, "nothing was saved");
    window.click("Save and connect").await?;
    window.until("connected", CONNECTED).await?;
    let changed = window.engine("profile", id).await?;
    assert_eq!(
        (&changed["endpoint"]["websocket"], &changed["endpoint"]["tls"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(changed["settings"]["trust"]["mode"], json!("pinned"));
    window.close().await
}
