//! Exports and imports that are cancelled while messages stream, and recordings that are replayed at other speeds, in the
//! real window with the system's own file chooser.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heliograph_engine::history::History;
use heliograph_engine::profile::ProfileId;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::brokers::Mosquitto;
use crate::dialog::choose;
use crate::kept::{connected, publisher, store};
use crate::keyboard::OVERFLOWS;
use crate::saved::CONNECTED;
use crate::window::{PATIENCE, Window};

/// So many that an export takes some seconds, and an import still longer than one looks at it.
const STORED: i64 = 400_000;
const RECORDED: i64 = 3 * STORED;

fn payload(n: i64) -> String {
    let noise = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        r#"{{"n":{n},"temp_c":{}.5,"unit":"C","state":"{noise:016x}","tags":["press","line 5"]}}"#,
        n % 90
    )
}

/// Messages that stream from another client, some hundred a second.
struct Streaming {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<u64>>,
}

impl Streaming {
    fn start(broker: &Mosquitto) -> Result<Self> {
        let (mut child, mut lines) = publisher(broker, "plant/flow", 1)?;
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut sent = 0;
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            while stopped.try_recv().is_err() {
                pace.tick().await;
                for _ in 0..10 {
                    sent += 1;
                    lines.write_all(format!("flow {sent}\n").as_bytes()).await?;
                }
            }
            drop(lines);
            ensure!(child.wait().await?.success(), "mosquitto_pub");
            Ok(sent)
        });
        Ok(Self { stop, task })
    }

    /// Ends it; how many messages the broker has taken.
    async fn end(self) -> Result<u64> {
        let _ = self.stop.send(());
        self.task.await?
    }
}

pub async fn counter(window: &Window, id: &Value, name: &str) -> Result<u64> {
    let all = window.engine("connections", json!({})).await?;
    let status = all.as_array().and_then(|all| all.iter().find(|status| status["id"] == *id));
    status.and_then(|status| status["counters"][name].as_u64()).context("its counters")
}

/// Waits until a counter of a connection has come so far.
pub async fn counted(window: &Window, id: &Value, name: &str, least: u64) -> Result<()> {
    let begun = tokio::time::Instant::now();
    loop {
        let now = counter(window, id, name).await?;
        if now >= least {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{name} is {now} and never {least}");
    }
}

async fn more(window: &Window, entry: &str) -> Result<()> {
    window
        .find("[data-pane=filter] [aria-label]:is([aria-label=More], [aria-label=更多])")
        .await?
        .click()
        .await?;
    window.click(entry).await
}

/// The bar of what is under way has moved, and is not at its end.
const UNDER_WAY: &str =
    "const bar = document.querySelector('.foot progress'); return !!bar && bar.value > 0.02 && bar.value < 1";
const NOTHING_UNDER_WAY: &str = "return !document.querySelector('.foot progress')";

fn names(folder: &Path) -> Result<Vec<String>> {
    let all = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    all.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_and_an_import_that_are_cancelled_while_messages_stream_leave_nothing_behind() -> Result<()>
{
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let subscription = json!([{"filter": "plant/#", "enabled": true, "qos": 1}]);
    let (window, broker, id) = connected(dir.path(), "cancelled", subscription).await?;
    window.close().await?;
    let history = History::open(&data.join("messages.db"))?;
    let sink = history.sink(ProfileId(id.as_str().context("an id")?.parse()?));
    for n in 0..STORED {
        store(&*sink, 1_790_000_000_000_000 + n * 1_000, format!("plant/press/{}", n % 40), payload(n)).await;
    }
    history.close().await?;

    let window = Window::open(&data, "cancelled", &[]).await?;
    window.click("Line 5").await?;
    window.click("Connect").await?;
    window.until("connected", CONNECTED).await?;
    let streaming = Streaming::start(&broker)?;
    counted(&window, &id, "received", 200).await?;

    // What is there before is there after, to the byte, and nothing else.
    let folder = dir.path().join("exports");
    std::fs::create_dir(&folder)?;
    let file = folder.join("all.ndjson");
    let path = file.to_str().context("a path")?;
    let words = [
        (
            "en",
            "English",
            None,
            "Export…",
            "Choose a file",
            "Exporting to all.ndjson",
            "Cancel",
            "The export was cancelled; no file was written.",
        ),
        (
            "zh",
            "简体中文",
            Some("what was there before\n"),
            "导出…",
            "选择文件",
            "正在导出到 all.ndjson",
            "取消",
            "导出已取消，未写入文件。",
        ),
    ];
    for (tag, language, before, entry, pick, doing, cancel, said) in words {
        window.speak(language).await?;
        if let Some(before) = before {
            std::fs::write(&file, before)?;
            window.resize(900, 600).await?;
        }
        more(&window, entry).await?;
        window.click(pick).await?;
        let title = if tag == "en" { "Export messages" } else { "导出消息" };
        choose(title, path).await?;
        window.until("it goes on", UNDER_WAY).await?;
        window.says(doing).await?;
        let received = counter(&window, &id, "received").await?;
        window.shot(&format!("1-exporting-{tag}")).await?;
        assert_eq!(window.js(OVERFLOWS).await?, json!(""));
        // What streams in meanwhile goes on to do so.
        counted(&window, &id, "received", received + 100).await?;
        window.until("still under way", UNDER_WAY).await?;
        window.click(cancel).await?;
        window.says(said).await?;
        window.until("it has ended", NOTHING_UNDER_WAY).await?;
        window.shots(&format!("2-export-cancelled-{tag}")).await?;
        match before {
            None => assert_eq!(names(&folder)?, [""; 0], "no part of it is left"),
            Some(before) => {
                assert_eq!(names(&folder)?, ["all.ndjson"], "no part of it is left");
                assert_eq!(std::fs::read_to_string(&file)?, before);
            }
        }
    }

    // A file of more is read, until it is cancelled too.
    let recording = dir.path().join("recording.ndjson");
    let mut lines = std::io::BufWriter::new(std::fs::File::create(&recording)?);
    for n in 0..RECORDED {
        let (hour, minute, second, milli) = (n / 3_600_000, n / 60_000 % 60, n / 1_000 % 60, n % 1_000);
        let payload = json!(payload(n));
        writeln!(
            lines,
            r#"{{"time":"2026-09-21T{hour:02}:{minute:02}:{second:02}.{milli:03}Z","topic":"plant/old","payload":{payload}}}"#
        )?;
    }
    lines.flush()?;
    let path = recording.to_str().context("a path")?;
    for (tag, language, entry, title, doing, cancel, said) in [
        (
            "zh",
            "简体中文",
            "导入…",
            "导入消息",
            "正在导入 recording.ndjson",
            "取消",
            "导入已取消，未导入任何内容。",
        ),
        (
            "en",
            "English",
            "Import…",
            "Import messages",
            "Importing recording.ndjson",
            "Cancel",
            "The import was cancelled; nothing was taken in.",
        ),
    ] {
        window.speak(language).await?;
        more(&window, entry).await?;
        choose(title, path).await?;
        window.until("it goes on", UNDER_WAY).await?;
        window.says(doing).await?;
        let received = counter(&window, &id, "received").await?;
        window.shot(&format!("3-importing-{tag}")).await?;
        assert_eq!(window.js(OVERFLOWS).await?, json!(""));
        counted(&window, &id, "received", received + 100).await?;
        window.until("still under way", UNDER_WAY).await?;
        window.click(cancel).await?;
        window.says(said).await?;
        // Back to where it was begun.
        window.says("plant/flow").await?;
        window.shots(&format!("4-import-cancelled-{tag}")).await?;
        let tree = window.engine("library_tree", json!({})).await?;
        let left: Vec<_> =
            tree["profiles"].as_array().context("profiles")?.iter().map(|entry| &entry["name"]).collect();
        assert_eq!(left, ["Line 5"], "the connection that was made for it is gone");
        window.resize(1440, 900).await?;
    }

    // Whatever was cancelled, everything that streamed is there.
    let sent = streaming.end().await?;
    counted(&window, &id, "received", sent).await?;
    assert_eq!(counter(&window, &id, "received").await?, sent);
    assert_eq!(counter(&window, &id, "dropped").await?, 0);
    window.close().await?;
    let file = rusqlite::Connection::open(data.join("messages.db"))?;
    let stored = "SELECT sum(last_seq - first_seq + 1) FROM profile";
    let rows: i64 = file.query_row(stored, [], |row| row.get(0))?;
    // The first connection, its end, and this one's.
    let events = rows - STORED - i64::try_from(sent)?;
    assert!((2..=4).contains(&events), "{rows} rows, {sent} streamed");
    Ok(())
}

/// A client that notes when each message comes from the broker.
struct Watch {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Watch {
    /// Subscribes, and returns when that is granted.
    async fn start(broker: &Mosquitto, filter: &str, messages: usize) -> Result<Self> {
        let mut child = Command::new("stdbuf")
            .args(["-oL", "mosquitto_sub", "-d", "-q", "1", "-F", "at %U %t %p"])
            .args(["-p", &broker.mqtt.to_string(), "-t", filter, "-C", &messages.to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("mosquitto_sub")?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        while let Some(line) = tokio::time::timeout(PATIENCE, lines.next_line()).await?? {
            if line.contains("SUBACK") {
                return Ok(Self { child, lines });
            }
        }
        Err(anyhow::anyhow!("it ended before it was subscribed"))
    }

    /// When each came, in seconds, its topic and its payload.
    async fn all(mut self) -> Result<Vec<(f64, String, String)>> {
        let mut all = Vec::new();
        while let Some(line) = tokio::time::timeout(2 * PATIENCE, self.lines.next_line()).await?? {
            let mut words = line.strip_prefix("at ").into_iter().flat_map(|line| line.splitn(3, ' '));
            if let (Some(at), Some(topic), Some(payload)) = (words.next(), words.next(), words.next()) {
                all.push((at.parse()?, topic.to_owned(), payload.to_owned()));
            }
        }
        ensure!(self.child.wait().await?.success(), "mosquitto_sub");
        Ok(all)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_replayed_at_any_speed_under_a_prefix_and_can_be_held() -> Result<()> {
    /// When the messages were recorded, in seconds.
    const RECORDED: [f64; 5] = [0.0, 3.0, 9.0, 10.0, 20.0];
    let dir = tempfile::tempdir()?;
    let subscription = json!([{"filter": "plant/#", "enabled": true, "qos": 1}]);
    let (window, broker, _) = connected(dir.path(), "replay", subscription).await?;
    let recording = dir.path().join("shift.ndjson");
    let lines = RECORDED.iter().enumerate().map(|(n, at)| {
        let time = format!("2026-01-01T06:00:{at:06.3}Z");
        json!({"time": time, "topic": format!("plant/{n}"), "qos": 1, "payload": format!("part {n}")})
            .to_string()
            + "\n"
    });
    std::fs::write(&recording, lines.collect::<String>())?;
    let path = recording.to_str().context("a path")?;

    for (speed, label) in [(10.0, "10×"), (100.0, "100×"), (2.0, "2×")] {
        let prefix = format!("again/{speed}/");
        let watch = Watch::start(&broker, "again/#", RECORDED.len()).await?;
        more(&window, "Replay a file").await?;
        choose("Replay messages", path).await?;
        window.fill("Topic prefix", &prefix).await?;
        window.click("Speed").await?;
        window.click(label).await?;
        if label == "10×" {
            window.shots("1-dialog-en").await?;
        }
        window.click("Start").await?;
        let came = watch.all().await?;
        let said: Vec<_> = came.iter().map(|(_, topic, payload)| format!("{topic} {payload}")).collect();
        let expected: Vec<_> = (0..RECORDED.len()).map(|n| format!("{prefix}plant/{n} part {n}")).collect();
        assert_eq!(said, expected);
        for ((at, ..), recorded) in came.iter().zip(RECORDED) {
            let (waited, wanted) = (at - came[0].0, recorded / speed);
            // The machine is busy, now with the first and now with another; at another speed the last is further off.
            assert!((waited - wanted).abs() < 1.0 + wanted / 10.0, "{label}: {waited} instead of {wanted} s");
        }
        window.says("5 messages of shift.ndjson published").await?;
    }

    // So slowly that it can be held, in Chinese, in the smallest window.
    window.speak("简体中文").await?;
    window.resize(900, 600).await?;
    more(&window, "重放文件").await?;
    choose("重放消息", path).await?;
    window.fill("主题前缀", "held/").await?;
    window.click("速度").await?;
    window.click("0.1×").await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("2-dialog-zh").await?;
    let watch = Watch::start(&broker, "held/#", 1).await?;
    window.click("开始").await?;
    assert_eq!(watch.all().await?.len(), 1, "the first comes at once");
    window.says("正在重放 shift.ndjson").await?;
    window.click("暂停").await?;
    window.says("已暂停：shift.ndjson").await?;
    window
        .until(
            "a fifth of it is published",
            "const bar = document.querySelector('.foot progress'); return bar.value > 0.1 && bar.value < 0.3",
        )
        .await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("3-held-zh").await?;
    window.click("继续").await?;
    window.says("正在重放 shift.ndjson").await?;
    window.click("停止").await?;
    window.until("it has ended", NOTHING_UNDER_WAY).await?;
    window.shots("4-stopped-zh").await?;
    window.close().await
}
