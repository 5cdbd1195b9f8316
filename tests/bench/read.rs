//! Reading back what was stored: how soon the first rows are there, any other row, any time, and what a filter lets
//! through; what memory and the file take; how long deleting is noticed.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use heliograph_engine::Engine;
use heliograph_engine::engine::TransferState;
use heliograph_engine::history::RowFilter;
use heliograph_engine::profile::{MqttVersion, ProfileId};
use heliograph_engine::recording::RecordingFormat;

use crate::flood::Flood;
use crate::ingest::Reach;
use crate::machine::{FloodProcess, Stopwatch, load, print, thousands};

/// Rows that fill a tall window.
const SCREEN: u32 = 64;
/// Looks at each figure; the median and the worst are told.
const LOOKS: usize = 25;

/// What is stored and looked for.
struct Case {
    name: &'static str,
    telemetry: bool,
    /// A text that every payload has, a regular expression that many match, and a condition on JSON.
    text: &'static str,
    regex: &'static str,
    json: &'static str,
}

const CASES: [Case; 2] = [
    Case { name: "payloads nearly alike", telemetry: false, text: "xxxx", regex: r"x{40}$", json: "" },
    Case {
        name: "telemetry with noise",
        telemetry: true,
        text: "T-114",
        regex: r#""temperature_c":7[1-9]\.\d"#,
        json: "$.temperature_c > 71",
    },
];

/// Where memory is looked at, in messages.
const LOOKS_AT: [u64; 7] = [100_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000];

pub async fn read(messages: u64) {
    for case in &CASES {
        println!("  - {}, {} messages, load {}", case.name, thousands(messages as f64), load());
        read_back(messages, case).await;
    }
}

async fn read_back(messages: u64, case: &Case) {
    let folder = tempfile::tempdir().expect("a folder");
    let open = || {
        let keyring = heliograph_engine::vault::Keyring::none();
        Engine::open_with(folder.path(), keyring).expect("an engine")
    };
    let engine = open();
    let flood = if case.telemetry { Flood::telemetry(messages) } else { Flood::of(messages, 0) };
    let server = FloodProcess::start(flood, None);
    let reach = Reach::plain(server.port);
    let mut draft = engine.new_draft();
    draft.endpoint = reach.endpoint().into();
    draft.settings = reach.settings(MqttVersion::V5, 0);
    // What is measured is reading: nothing is to be deleted meanwhile.
    draft.settings.retention =
        Some(heliograph_engine::profile::Retention { max_bytes: None, ..Default::default() });
    let id = engine.save_profile(draft, None, Vec::new()).await.expect("saved").id;
    let idle = memory();
    let watch = Stopwatch::start();
    engine.connect(id).await.expect("connecting");
    let mut looks: Vec<(u64, u64)> = Vec::new();
    loop {
        let status = engine.connections().into_iter().find(|status| status.id == id).expect("known");
        let stored = status.counters.stored;
        if LOOKS_AT.get(looks.len()).is_some_and(|at| stored > *at) {
            looks.push((stored, memory()));
        }
        if stored > messages {
            break;
        }
        engine.events().await;
    }
    print("stored", watch.stop(messages), None);
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / f64::from(1 << 20));
    println!("  memory of the process: {} before, {} after", megabytes(idle), megabytes(memory()));
    for (stored, memory) in &looks {
        println!("    at {}: {}", thousands(*stored as f64), megabytes(*memory));
    }
    if let ([_, (from, first), ..], Some((to, last))) = (&looks[..], looks.last())
        && to > from
    {
        let slope = (*last as f64 - *first as f64) / (to - from) as f64;
        println!(
            "    {slope:+.2} bytes a message between {} and {}",
            thousands(*from as f64),
            thousands(*to as f64)
        );
    }
    println!("  file: {:.1} bytes a message", file_bytes(folder.path()) as f64 / messages as f64);
    engine.disconnect(id).await.expect("disconnected");
    engine.close().await;

    let engine = open();
    let began = Instant::now();
    let view = engine.open_view(id, RowFilter::default()).await.expect("a view");
    engine.tail(view.view, SCREEN, None).await.expect("rows");
    println!("  opened, to the first rows: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    let rows = view.count.rows;
    let mut times = Vec::new();
    for look in 0..LOOKS as u64 {
        let began = Instant::now();
        // Here and there, as somebody drags the scroll bar.
        engine.page(view.view, look * 7 % LOOKS as u64 * rows / LOOKS as u64, SCREEN).await.expect("rows");
        times.push(began.elapsed());
    }
    tell("a page anywhere", times);
    let first = engine.page(view.view, 0, 1).await.expect("a row").rows[0].time;
    let last = engine.tail(view.view, 1, None).await.expect("a row").rows[0].time;
    let mut times = Vec::new();
    for look in 0..LOOKS as i64 {
        let began = Instant::now();
        let at =
            engine.index_at(view.view, first + (last - first) * look / LOOKS as i64).await.expect("a place");
        engine.page(view.view, at, SCREEN).await.expect("rows");
        times.push(began.elapsed());
    }
    tell("a jump to any time", times);
    search(&engine, id, "a topic filter", RowFilter { topics: vec!["plant/line/7/+".into()], ..text("") })
        .await;
    search(&engine, id, "a text in every payload", text(case.text)).await;
    search(&engine, id, "a text that is nowhere", text("nowhere at all")).await;
    search(&engine, id, "a regular expression", RowFilter { regex: true, ..text(case.regex) }).await;
    if !case.json.is_empty() {
        search(&engine, id, "a condition on JSON", RowFilter { json: case.json.into(), ..text("") }).await;
    }
    search(
        &engine,
        id,
        "QoS 2, which none has",
        RowFilter { qos: vec![heliograph_engine::profile::Qos::ExactlyOnce], ..text("") },
    )
    .await;
    println!("  memory of the process: {} MB", memory() >> 20);
    out_and_in(&engine, id, messages).await;

    let before = file_bytes(folder.path());
    let began = Instant::now();
    engine.clear_history(id).await.expect("cleared");
    let cleared = began.elapsed();
    let mut slowest = Duration::ZERO;
    while file_bytes(folder.path()) > before / 4 && began.elapsed() < Duration::from_secs(120) {
        let look = Instant::now();
        engine.page(view.view, 0, SCREEN).await.expect("rows");
        slowest = slowest.max(look.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "  deleting all of it: {:.0} ms to done, {:.1} s until the file is small; the slowest page meanwhile {:.0} ms",
        cleared.as_secs_f64() * 1e3,
        began.elapsed().as_secs_f64(),
        slowest.as_secs_f64() * 1e3
    );
    engine.close().await;
}

/// Exporting all of it, and importing that.
async fn out_and_in(engine: &Engine, id: ProfileId, messages: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, format) in [("csv", RecordingFormat::Csv), ("ndjson", RecordingFormat::Ndjson)] {
        let file = folder.path().join(name);
        engine.export_messages(id, RowFilter::default(), format, &file).expect("begun");
        transferred(engine, &format!("exported as {name}"), messages).await;
    }
    engine.import_messages(id, &folder.path().join("ndjson")).await.expect("begun");
    transferred(engine, "imported again", messages).await;
}

/// Waits for a transfer, and says how fast it went and how much more memory the process took meanwhile, at most.
async fn transferred(engine: &Engine, name: &str, messages: u64) {
    let (watch, before) = (Stopwatch::start(), memory());
    let mut most = before;
    loop {
        most = most.max(memory());
        let transfers = engine.transfers();
        let done: Vec<_> =
            transfers.iter().filter(|transfer| transfer.state != TransferState::Running).collect();
        if let [transfer] = done[..] {
            assert_eq!((&transfer.state, transfer.counts.messages), (&TransferState::Done, messages));
            engine.events().await;
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    print(name, watch.stop(messages), None);
    println!("    {:.1} MB more at most", (most - before) as f64 / f64::from(1 << 20));
}

/// A filter: how soon there is something to see, and how soon all of it was searched.
async fn search(engine: &Engine, id: ProfileId, name: &str, filter: RowFilter) {
    let began = Instant::now();
    let view = engine.open_view(id, filter).await.expect("a view").view;
    let mut first = None;
    let count = loop {
        let page = engine.tail(view, SCREEN, None).await.expect("rows");
        if page.rows.len() == SCREEN as usize {
            first.get_or_insert_with(|| began.elapsed());
        }
        if page.count.searched == page.count.stored || page.count.limited {
            break page.count;
        }
        // As often as the window looks.
        tokio::time::sleep(Duration::from_millis(16)).await;
    };
    engine.close_view(view);
    let whole = began.elapsed();
    println!(
        "  {name:<28} first screen {:>7.1} ms, all {:>7.0} ms, {} rows match",
        first.unwrap_or(whole).as_secs_f64() * 1e3,
        whole.as_secs_f64() * 1e3,
        thousands(count.rows as f64)
    );
}

fn text(text: &str) -> RowFilter {
    RowFilter { text: text.into(), ..RowFilter::default() }
}

fn tell(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let millis = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    println!(
        "  {name}: median {:.1} ms, worst {:.1} ms",
        millis(times.get(times.len() / 2)),
        millis(times.last())
    );
}

/// Bytes of this process alone (proportional set size).
fn memory() -> u64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("Linux");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Bytes of the history on disk, with what waits beside it.
fn file_bytes(folder: &Path) -> u64 {
    let size = |name: &str| fs::metadata(folder.join(name)).map_or(0, |file| file.len());
    size("messages.db") + size("messages.db-wal")
}
