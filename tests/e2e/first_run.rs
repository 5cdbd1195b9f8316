//! From the first start to a message in the inspector, by mouse, over wss with a client certificate; and after a
//! restart everything is still there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
use crate::dialog;
use crate::saved::CONNECTED;
use crate::window::Window;

const TOPIC: &str = "plant/line4/temperature";
const PAYLOAD: &str = r#"{"celsius":21.5,"ok":true}"#;

#[tokio::test(flavor = "multi_thread")]
async fn first_run_to_a_message_in_the_inspector_and_still_there_after_a_restart() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(
        &pki,
        &MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() },
    );
    let data = dir.path().join("data");
    let url = format!("wss://localhost:{}/mqtt", broker.wss);

    let window = Window::open(&data, "first-run", &[]).await?;
    window.says("Connect to a broker").await?;
    window.shots("1-welcome").await?;

    window.click("Set up").await?;
    window.click("wss").await?;
    window.fill("Host", "localhost").await?;
    window.fill("Port", &broker.wss.to_string()).await?;
    window.fill("Path", "/mqtt").await?;
    window.fill("Name", "Line 4").await?;
    window.click("Client certificate").await?;
    window.fill("Private key", &pki.client.key.display().to_string()).await?;
    window.click("Choose").await?;
    dialog::choose("Certificate", &pki.client.cert.display().to_string()).await?;
    window.says("planta-client").await?;
    window.says("Private key matches this certificate").await?;
    window.click("Only certificates issued by CA files").await?;
    window.click("Add CA file").await?;
    dialog::choose("CA file", &pki.ca.display().to_string()).await?;
    window.says("CA files hold 1 certificate").await?;
    window.shots("2-editor").await?;

    let clicked = Instant::now();
    window.click("Save and connect").await?;
    window.until("connected", "return /^Connected/m.test(document.body.innerText)").await?;
    println!("click to CONNACK as seen through WebDriver: {:?}", clicked.elapsed());
    let shown = window.js("return document.querySelector('.url')?.innerText.replaceAll('\\n', '')").await?;
    assert_eq!(shown, json!(url), "the window shows the exact URL");

    window.fill("Topic filter to subscribe to", "plant/#").await?;
    window.press("Enter").await?;
    window.until("the grant", "return /QoS [012]/.test(document.body.innerText)").await?;
    window.shots("3-subscribed").await?;

    window.fill("Topic", TOPIC).await?;
    window.click("1").await?;
    window.find("[aria-label=Payload][contenteditable=true]").await?.click().await?;
    window.write(PAYLOAD).await?;
    window.click("Publish").await?;
    window.until("PUBACK", "return /PUBACK in/.test(document.body.innerText)").await?;
    window.until("both rows", &rows_with(TOPIC, 2)).await?;
    window.shots("4-published").await?;

    window.find("[role=grid] [role=row][aria-rowindex='3']").await?.click().await?;
    window
        .until("the payload in the inspector", "return /\"celsius\": 21\\.5/.test(document.body.innerText)")
        .await?;
    window.shots("5-inspector").await?;

    let trace = latest_trace(&window).await?;
    assert_eq!(trace["url"], json!(url));
    assert!(trace["stages"].to_string().contains("CN=planta-client"), "{trace:#}");
    window.click("Trace").await?;
    window.until("the trace", "return /Connected in/.test(document.body.innerText)").await?;
    window.shots("6-trace").await?;
    window.close().await?;

    let window = Window::open(&data, "first-run", &[]).await?;
    window.click("Messages").await?;
    window.until("the messages of before", &rows_with(TOPIC, 2)).await?;
    window.says("plant/#").await?;
    window.shots("7-restarted").await?;
    window.click("Connect").await?;
    window.until("connected again", CONNECTED).await?;
    let after = window.engine("connections", json!({})).await?;
    assert_eq!(after[0]["phase"]["phase"], json!("connected"), "{after:#}");
    window.close().await
}

fn rows_with(topic: &str, count: usize) -> String {
    format!(
        "return [...document.querySelectorAll('[role=grid] [role=row]')]\
           .filter((row) => row.innerText.replaceAll('\\n', '').includes('{topic}')).length >= {count}"
    )
}

async fn latest_trace(window: &Window) -> Result<Value> {
    let tree = window.engine("library_tree", json!({})).await?;
    let traces = window.engine("traces", json!({"id": tree["profiles"][0]["id"]})).await?;
    traces.get(0).cloned().context("a trace")
}

/// Starts the binary where there is no display.
fn without_display(args: &[&OsStr]) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heliograph"));
    Ok(command.args(args).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY").output()?)
}

#[test]
fn without_a_display_it_says_what_to_do_and_still_answers_questions() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let started = without_display(&["--data-dir".as_ref(), dir.path().as_os_str()])?;
    let said = String::from_utf8_lossy(&started.stderr);
    ensure!(started.status.code() == Some(1) && !said.contains("panicked"), "{said}");
    ensure!(said.contains("no display can be opened") && said.contains("helio"), "{said}");

    let asked = without_display(&["--version".as_ref()])?;
    let version = concat!("heliograph ", env!("CARGO_PKG_VERSION"), "\n");
    ensure!(asked.status.success() && asked.stdout == version.as_bytes(), "{asked:?}");
    // Not even text.
    let wrong = without_display(&[OsStr::from_bytes(b"--colo\xff")])?;
    let said = String::from_utf8_lossy(&wrong.stderr);
    ensure!(wrong.status.code() == Some(2) && said.contains("is not an option of heliograph"), "{said}");
    Ok(())
}
