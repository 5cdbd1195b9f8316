//! Finding messages again in the real window: filters behind the funnel, saved ones, a jump in time; and how much is
//! kept.

use anyhow::{Context, Result, ensure};
use heliograph_engine::history::History;
use heliograph_engine::message::{Direction, Item, Message, MessageProperties};
use heliograph_engine::profile::{Qos, UserProperty};
use serde_json::json;

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
use crate::dialog::choose;
use crate::kept::{never_connected, rows, select, store};
use crate::keyboard::OVERFLOWS;
use crate::saved::CONNECTED;
use crate::window::Window;

#[tokio::test(flavor = "multi_thread")]
async fn a_long_search_says_how_far_it_is_and_can_be_stopped() -> Result<()> {
    const STORED: i64 = 400_000;
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let window = Window::open(&data, "long-search", &[]).await?;
    let id = never_connected(&window, "Line 4").await?;
    window.close().await?;
    let history = History::open(&data.join("messages.db"))?;
    let sink = history.sink(id);
    for n in 1..=STORED {
        let payload = format!(r#"{{"temp_c":{n},"unit":"C","tags":["a","b"]}}"#);
        store(&*sink, 1_790_000_000_000_000 + n, "plant/oven".into(), payload).await;
    }
    history.close().await?;

    let window = Window::open(&data, "long-search", &[]).await?;
    window.click("Line 4").await?;
    rows(&window, STORED.try_into()?).await?;
    window.click("More filters").await?;
    // The oldest row alone, so that all have to be looked at.
    window.fill("JSON", "$.temp_c < 2").await?;
    let foot = |words: &str| format!("return /{words}/.test(document.querySelector('.foot').innerText)");
    window.until("how far it is", &foot(r"\d+ % searched")).await?;
    window.press("Escape").await?;
    window.click("Stop").await?;
    window.until("stopped", &foot(r"Stopped at \d+ %")).await?;
    window.says("so far").await?;
    let stopped = "return document.querySelector('.foot').innerText";
    let at = window.js(stopped).await?;
    window.resize(900, 600).await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("1-stopped").await?;
    assert_eq!(window.js(stopped).await?, at, "it stands still");
    window.click("Go on searching").await?;
    rows(&window, 1).await?;
    window.until("done", &format!("return !{}", &foot("searched|Stopped")[7..])).await?;
    window.shots("2-found").await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_by_what_they_say_and_when_they_came() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = Pki::make(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let window = Window::open(&dir.path().join("data"), "filters", &[]).await?;
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!("Line 4");
    draft["endpoint"] = json!({"websocket": false, "tls": false, "host": "localhost", "port": broker.mqtt.to_string(), "path": ""});
    draft["settings"]["subscriptions"] = json!([{"filter": "plant/#", "enabled": true, "qos": 1}]);
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await?;
    window.click("Line 4").await?;
    window.click("Connect").await?;
    window.until("connected", CONNECTED).await?;
    for degrees in 0..30 {
        let request = json!({
            "topic": format!("plant/oven/{}", degrees % 3),
            "qos": degrees % 2,
            "retain": degrees == 7,
            "payload": {"text": format!("{{\"temp_c\":{}}}", degrees * 10), "encoding": "utf8"},
            "properties": {},
        });
        window.engine("publish", json!({"id": draft["id"], "request": request})).await?;
    }
    // What was sent, what came back, and that it connected.
    rows(&window, 61).await?;

    window.click("More filters").await?;
    window.fill("JSON", "$.temp_c >").await?;
    window.says("Nothing stands behind >").await?;
    window.fill("JSON", "$.temp_c > 200").await?;
    rows(&window, 18).await?;
    window.click("QoS 1").await?;
    rows(&window, 10).await?;
    window.shots("1-panel").await?;
    window.fill("Name of this filter", "too hot").await?;
    window.press("Enter").await?;
    window.says("too hot").await?;
    window.press("Escape").await?;
    window.shots("2-filtered").await?;
    window.click("More filters, 2 set").await?;
    window.click("Clear filter").await?;
    rows(&window, 61).await?;
    window.click("too hot").await?;
    rows(&window, 10).await?;
    window.click("Clear filter").await?;

    // A property, a size and what JSON says, together; kept under a name, and applied to what arrives.
    let publish = async |degrees: u32, line: &str, padding: usize| {
        let text = json!({"temp_c": degrees, "padding": "x".repeat(padding)}).to_string();
        let request = json!({
            "topic": "plant/oven/4", "qos": 1, "retain": false,
            "payload": {"text": text, "encoding": "utf8"},
            "properties": {"user_properties": [{"name": "line", "value": line}]},
        });
        window.engine("publish", json!({"id": draft["id"], "request": request})).await
    };
    let met = async |degrees| publish(degrees, "4", 500).await;
    met(300).await?;
    publish(300, "5", 500).await?;
    publish(300, "4", 0).await?;
    publish(100, "4", 500).await?;
    rows(&window, 69).await?;
    window.fill("Property", "line=4").await?;
    window.fill("Size, at least", "400").await?;
    window.fill("JSON", "$.temp_c > 200").await?;
    rows(&window, 2).await?;
    window.fill("Name of this filter", "line 4, big and hot").await?;
    window.press("Enter").await?;
    window.click("Clear filter").await?;
    rows(&window, 69).await?;
    window.click("line 4, big and hot").await?;
    rows(&window, 2).await?;
    met(301).await?;
    publish(301, "5", 500).await?;
    rows(&window, 4).await?;
    window.shots("6-combined").await?;
    window.click("Clear filter").await?;
    rows(&window, 73).await?;
    window.fill("Go to time", "-1 d").await?;
    window.press("Enter").await?;
    window
        .until(
            "the first row",
            "return document.querySelector('[aria-selected=true][aria-rowindex=\"1\"]') !== null",
        )
        .await?;
    window.shots("3-first-row").await?;

    window.resize(900, 600).await?;
    window.click("More filters").await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("4-small").await?;
    window.press("Escape").await?;

    window.press("Control+,").await?;
    window.fill("Messages", "20").await?;
    // Nothing goes while a number is typed.
    window.says("73 stored").await?;
    window.shots("5-limits").await?;
    window.click("Apply limits").await?;
    window.click_css(".dialog-foot .btn--danger-solid").await?;
    window.until("no more than 20", "return /20 stored/.test(document.body.innerText)").await?;
    window.press("Escape").await?;
    rows(&window, 20).await?;
    window.close().await
}

/// What a person does, by what it is called in the window.
enum Do {
    Fill(&'static str, String),
    Click(&'static str),
    Only(&'static str),
}

impl Do {
    async fn it(&self, window: &Window) -> Result<()> {
        match self {
            Self::Fill(label, text) => window.fill(label, text).await,
            Self::Click(name) => window.click(name).await,
            Self::Only(text) => {
                select(window, text).await?;
                window.press("f").await
            }
        }
    }
}

/// Minutes after this, in microseconds.
const BEGUN: i64 = 1_789_999_980_000_000;
const MINUTE: i64 = 60_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_shows_what_it_should_alone_and_together_and_csv_has_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let window = Window::open(&data, "each-filter", &[]).await?;
    let id = never_connected(&window, "Line 4").await?;
    window.close().await?;
    let history = History::open(&data.join("messages.db"))?;
    let sink = history.sink(id);
    for n in 1..=12_i64 {
        let payload = match n {
            1..=6 => format!("Alpha {n}"),
            11 => r#"{"temp_c":75}"#.to_owned(),
            12 => format!("beta {n} {}", "x".repeat(600)),
            _ => format!("beta {n}"),
        };
        let line = UserProperty { name: "line".into(), value: (n % 2).to_string() };
        let properties = MessageProperties { user_properties: vec![line], ..MessageProperties::default() };
        let message = Message {
            time: BEGUN + n * MINUTE,
            direction: if n % 4 == 0 { Direction::Out } else { Direction::In },
            topic: if n % 3 == 0 { "plant/press" } else { "plant/oven" }.into(),
            payload: payload.into(),
            qos: Qos::try_from(u8::try_from(n % 3)?).map_err(anyhow::Error::msg)?,
            retain: n == 7,
            dup: false,
            properties: Some(Box::new(properties)),
        };
        ensure!(sink.try_accept(Item::Message(message)).is_ok(), "room for twelve");
    }
    history.close().await?;

    let window = Window::open(&data, "each-filter", &[]).await?;
    window.click("Line 4").await?;
    rows(&window, 12).await?;
    // As the window writes times, which are of the place where it is.
    let moment = async |minute: i64| -> Result<String> {
        let script = format!(
            "const at = new Date({}); const two = (n) => String(n).padStart(2, '0');\
             return `${{at.getFullYear()}}-${{two(at.getMonth() + 1)}}-${{two(at.getDate())}} ${{two(at.getHours())}}:${{two(at.getMinutes())}}`",
            (BEGUN + minute * MINUTE) / 1_000
        );
        Ok(window.js(&script).await?.as_str().context("a time")?.to_owned())
    };
    let text = |text: &str| Do::Fill("Filter messages", text.to_owned());
    use Do::{Click, Fill, Only};
    // What is done, how many rows are left, how it is undone.
    let in_the_bar = [
        (vec![text("alpha")], 6, vec![Click("Clear text")]),
        (vec![Click("Match case"), text("alpha")], 0, vec![Click("Clear text")]),
        (vec![text("Alpha")], 6, vec![Click("Clear text"), Click("Match case")]),
        (vec![text("/beta 1[02]/")], 2, vec![Click("Clear text")]),
        (vec![Click("Regular expression"), text("^Alpha [1-3]$")], 3, vec![Click("Regular expression")]),
        (vec![], 0, vec![Click("Clear text")]),
        (vec![Only("beta 9")], 4, vec![Click("Remove filter plant/press")]),
        (vec![Click("Received")], 9, vec![]),
        (vec![Click("Published")], 3, vec![]),
        (vec![text("alpha")], 1, vec![Click("Clear text"), Click("All")]),
    ];
    let in_the_panel = [
        (vec![Click("QoS 2")], 4),
        (vec![Click("Yes")], 1),
        (vec![Fill("From", moment(7).await?)], 6),
        (vec![Fill("To", moment(6).await?)], 6),
        (
            vec![
                Fill("From", moment(3).await?),
                Fill("To", moment(6).await?),
                Click("QoS 0"),
                Click("QoS 1"),
            ],
            3,
        ),
        (vec![Fill("Size, at least", "400".into())], 1),
        (vec![Fill("Size, at most", "100".into())], 11),
        (vec![Fill("Property", "line=1".into())], 6),
        (vec![Fill("JSON", "$.temp_c > 70".into())], 1),
    ];
    for (steps, left, undone) in &in_the_bar {
        for step in steps {
            step.it(&window).await?;
        }
        rows(&window, *left).await?;
        for step in undone {
            step.it(&window).await?;
        }
    }
    rows(&window, 12).await?;
    window.click("More filters").await?;
    for (steps, left) in &in_the_panel {
        for step in steps {
            step.it(&window).await?;
        }
        rows(&window, *left).await?;
        if *left == 3 {
            window.shots("1-panel").await?;
        }
        window.click("Clear filter").await?;
        rows(&window, 12).await?;
    }
    window.press("Escape").await?;

    // What a filter lets through goes into a table, too.
    window.click("Published").await?;
    rows(&window, 3).await?;
    window.find("[data-pane=filter] [aria-label=More]").await?.click().await?;
    window.click("Export").await?;
    window.click("CSV").await?;
    window.shots("2-csv").await?;
    window.click("Choose a file").await?;
    let file = dir.path().join("sent.csv");
    choose("Export messages", file.to_str().context("a path")?).await?;
    window.says("3 messages exported").await?;
    let written = std::fs::read_to_string(&file)?;
    let lines: Vec<_> = written.split_terminator("\r\n").collect();
    ensure!(lines.len() == 4 && lines[0].starts_with("time,direction,topic"), "{written}");
    for (line, n) in lines[1..].iter().zip([4, 8, 12]) {
        ensure!(line.contains(",out,") && line.contains(&format!(" {n}")), "{line}");
    }
    window.close().await
}
