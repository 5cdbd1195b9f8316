//! Messages into files and back, and published again over a real mosquitto: byte for byte, while others arrive, in
//! little memory, and with disks that are full, read-only or gone.

#[path = "session/fixtures.rs"]
mod fixtures;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use fixtures::{Client, Mosquitto, subscription};
use heliograph_engine::Error;
use heliograph_engine::error::ErrorCode;
use heliograph_engine::history::{ExportOrder, Exported, History, RetentionRules, RowFilter};
use heliograph_engine::message::{
    Direction, EventFacts, EventKind, Item, Message, MessageProperties, MessageSink,
};
use heliograph_engine::profile::{MqttVersion, ProfileId, Qos, Retention, UserProperty};
use heliograph_engine::recording::{Progress, RecordingFormat, line};
use heliograph_engine::replay::{ReplayControl, ReplayOptions, Replayed, replay};
use heliograph_engine::secret::{Secret, SecretField};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

struct Place {
    folder: TempDir,
    history: History,
    profile: ProfileId,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let history = History::open(&folder.path().join("messages.db")).expect("opened");
        Self { folder, history, profile: ProfileId::random() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn put(&self, item: Item) {
        put(&*self.history.sink(self.profile), item).await;
    }

    async fn export(
        &self,
        filter: RowFilter,
        format: RecordingFormat,
        path: &Path,
    ) -> Result<Exported, Error> {
        let order = ExportOrder { profile: self.profile, filter, format };
        self.history.export(order, path, Arc::default(), CancellationToken::new()).await
    }

    async fn exported(&self) -> Vec<u8> {
        let path = self.file("all.ndjson");
        self.export(RowFilter::default(), RecordingFormat::Ndjson, &path).await.expect("exported");
        std::fs::read(path).expect("read")
    }
}

async fn put(sink: &dyn MessageSink, mut item: Item) {
    while let Err(back) = sink.try_accept(item) {
        item = back;
        sink.room().await;
    }
}

fn message(time: i64, topic: &str, payload: impl Into<Bytes>) -> Message {
    Message {
        time,
        direction: Direction::In,
        topic: topic.to_owned(),
        payload: payload.into(),
        qos: Qos::AtMostOnce,
        retain: false,
        dup: false,
        properties: None,
    }
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let payload = prop_oneof![
        8 => proptest::collection::vec(any::<u8>(), 0..40),
        8 => ".{0,20}".prop_map(String::into_bytes),
        1 => (any::<u8>(), 16_000_usize..40_000).prop_map(|(byte, size)| vec![byte; size]),
        1 => ".".prop_map(|text| text.repeat(9_000).into_bytes()),
    ];
    let flags = (0_u8..3, any::<bool>(), any::<bool>(), any::<bool>());
    let one = (0_i64..9_000_000, "[a-c/]{1,3}", flags, payload, proptest::option::of(".{1,5}"));
    proptest::collection::vec(one, 1..60).prop_map(|all| {
        let mut now = 1_700_000_000_000_000;
        let message = |(gap, topic, (qos, retain, dup, out), payload, name): (i64, String, _, Vec<u8>, _)| {
            now += gap;
            let name: Option<String> = name;
            Message {
                direction: if out { Direction::Out } else { Direction::In },
                qos: Qos::try_from(qos).expect("a QoS"),
                retain,
                dup,
                properties: MessageProperties {
                    user_properties: name
                        .map(|name| vec![UserProperty { value: name.clone(), name }])
                        .unwrap_or_default(),
                    ..MessageProperties::default()
                }
                .of_message(),
                ..message(now, &topic, payload)
            }
        };
        all.into_iter().map(message).collect()
    })
}

#[test]
fn an_export_imported_and_exported_again_is_the_same_to_the_byte() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let config = Config { failure_persistence: None, ..Config::with_cases(24) };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&messages(), |messages| {
        runtime.block_on(async {
            let (from, to) = (Place::new(), Place::new());
            let mut printed = Vec::new();
            for message in &messages {
                from.put(Item::Message(message.clone())).await;
                printed.extend(line(message));
                printed.push(b'\n');
            }
            let first = from.exported().await;
            prop_assert_eq!(&first, &printed, "what helio prints");
            let file = from.file("all.ndjson");
            let progress = Arc::<Progress>::default();
            let imported = to
                .history
                .import(to.profile, &file, Arc::clone(&progress), CancellationToken::new())
                .await
                .expect("imported");
            prop_assert_eq!((imported.messages, imported.earlier), (messages.len() as u64, 0));
            prop_assert_eq!(progress.share(), (first.len() as u64, first.len() as u64));
            prop_assert!(to.exported().await == first, "the same again");
            Ok(())
        })
    });
    assert!(result.is_ok(), "{result:?}");
}

#[tokio::test]
async fn a_filter_decides_and_events_are_counted() {
    let place = Place::new();
    place
        .put(Item::Event {
            time: 1,
            kind: EventKind::Connected,
            facts: Box::new(EventFacts::Goodbye { polite: true }),
        })
        .await;
    for n in 0..3_000 {
        let topic = if n % 3 == 0 { "a" } else { "b" };
        place.put(Item::Message(message(n, topic, n.to_string()))).await;
    }
    place
        .put(Item::Event {
            time: 1,
            kind: EventKind::Lost,
            facts: Box::new(EventFacts::Goodbye { polite: true }),
        })
        .await;
    let file = place.file("a.csv");
    let topics = RowFilter { topics: vec!["a".into()], ..RowFilter::default() };
    let exported = place.export(topics, RecordingFormat::Csv, &file).await.expect("exported");
    assert_eq!(exported, Exported { messages: 1_000, events: 0, damaged: 0 });
    let written = std::fs::read_to_string(&file).expect("text");
    let rows: Vec<_> = written.split_terminator("\r\n").collect();
    assert_eq!(rows.len(), 1_001);
    assert!(rows[0].starts_with("time,direction,topic"), "{}", rows[0]);
    assert_eq!(rows[1_000], "1970-01-01T00:00:00.002997Z,in,\"a\",0,false,false,utf8,\"2997\",\"\"");
    let everything = place.export(RowFilter::default(), RecordingFormat::Ndjson, &file).await.expect("again");
    assert_eq!(everything, Exported { messages: 3_000, events: 2, damaged: 0 });

    let wrong = RowFilter { text: "(".into(), regex: true, ..RowFilter::default() };
    let error = place.export(wrong, RecordingFormat::Csv, &file).await.expect_err("refused");
    assert_eq!(error.code, ErrorCode::InvalidInput);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_export_is_whole_while_messages_arrive_and_old_ones_have_to_go() {
    const ALL: i64 = 60_000;
    let place = Place::new();
    for n in 0..20_000 {
        place.put(Item::Message(message(n, "t", n.to_string()))).await;
    }
    place.history.flush().await.expect("stored");
    let sink = place.history.sink(place.profile);
    let sender = tokio::spawn(async move {
        for n in 20_000..ALL {
            put(&*sink, Item::Message(message(n, "t", n.to_string()))).await;
        }
    });
    let exported = place.exported().await;
    // Only then may anything go.
    let few = Retention { max_rows: Some(1_000), ..Retention::default() };
    place.history.set_retention(RetentionRules { each: few, ..RetentionRules::default() });
    sender.await.expect("sent");
    let numbers: Vec<i64> = exported
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice::<serde_json::Value>(line).expect("JSON")["payload"].clone())
        .map(|payload| payload.as_str().expect("text").parse().expect("a number"))
        .collect();
    assert!(numbers.len() >= 20_000, "{}", numbers.len());
    assert!(numbers.iter().copied().eq(0..numbers.len() as i64), "each once, in order");
    place.history.flush().await.expect("stored");
    let mut changes = place.history.changes();
    while place.history.stored(place.profile) > 1_000 {
        changes.changed().await.expect("the history lives");
    }
}

#[tokio::test]
async fn what_is_cancelled_leaves_nothing_behind() {
    let place = Place::new();
    place.put(Item::Message(message(1, "t", "x"))).await;
    let out = tempfile::tempdir().expect("a folder");
    let file = out.path().join("messages.ndjson");
    std::fs::write(&file, "as it was").expect("written");
    let order = || ExportOrder {
        profile: place.profile,
        filter: RowFilter::default(),
        format: RecordingFormat::Ndjson,
    };
    let cancel = CancellationToken::new();
    cancel.cancel();
    let error = place.history.export(order(), &file, Arc::default(), cancel).await.expect_err("cancelled");
    assert_eq!(error.code, ErrorCode::Cancelled);
    assert_eq!(std::fs::read_to_string(&file).expect("read"), "as it was");
    assert_eq!(std::fs::read_dir(out.path()).expect("listed").count(), 1);
}

#[tokio::test]
async fn a_payload_of_100_mib_needs_no_room_in_memory() {
    const SIZE: usize = 100 << 20;
    const ROOM: usize = 16 << 20;
    let place = Place::new();
    let mut payload = vec![b'x'; SIZE];
    place.put(Item::Message(message(1, "text", payload.clone()))).await;
    place.history.flush().await.expect("stored");
    payload[SIZE - 1] = 0xff;
    place.put(Item::Message(message(2, "bytes", payload))).await;
    place.history.flush().await.expect("stored");
    let file = place.file("big.ndjson");
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let exported =
        place.export(RowFilter::default(), RecordingFormat::Ndjson, &file).await.expect("exported");
    let needed = MEMORY.peak_usage().saturating_sub(before);
    assert_eq!(exported.messages, 2);
    assert!(needed < ROOM, "{} KiB were needed", needed >> 10);
    let size = std::fs::metadata(&file).expect("there").len() as usize;
    assert!(size > SIZE + SIZE.div_ceil(3) * 4, "{size}");
}

/// What a file needs on its way in or out does not grow with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_any_length_need_the_same_memory() {
    let mut needed = Vec::new();
    for count in [60_000, 240_000] {
        let place = Place::new();
        let file = place.file("long.ndjson");
        let mut lines = std::io::BufWriter::new(std::fs::File::create(&file).expect("created"));
        for n in 0..count {
            let message = message(n, "plant/press", format!("{n:010} {}", "x".repeat(200)));
            lines.write_all(&[line(&message), b"\n".to_vec()].concat()).expect("written");
        }
        lines.into_inner().expect("written");
        let peak = || {
            let before = MEMORY.current_usage();
            MEMORY.reset_peak_usage();
            move || MEMORY.peak_usage().saturating_sub(before)
        };
        let importing = peak();
        let imported = place.history.import(place.profile, &file, Arc::default(), CancellationToken::new());
        assert_eq!(imported.await.expect("imported").messages, count.unsigned_abs());
        let importing = importing();
        let again = place.file("again.ndjson");
        let exporting = peak();
        let exported = place.export(RowFilter::default(), RecordingFormat::Ndjson, &again).await;
        assert_eq!(exported.expect("exported").messages, count.unsigned_abs());
        needed.push((importing, exporting()));
        assert!(std::fs::read(&file).expect("read") == std::fs::read(&again).expect("read"));
    }
    let [short, long] = needed[..] else { unreachable!() };
    println!(
        "import and export: {short:?} bytes for a short file, {long:?} for one of four times its length"
    );
    // What waits for the disk has a bound of its own.
    assert!(long.0 < 64 << 20 && long.0 < short.0 + (16 << 20), "import: {short:?}, {long:?}");
    assert!(long.1 < short.1 + (2 << 20), "export: {short:?}, {long:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_has_what_arrives_until_it_is_stopped() {
    let place = Place::new();
    place.put(Item::Message(message(1, "t", "before"))).await;
    let (file, progress, stop) =
        (place.file("r.ndjson"), Arc::<Progress>::default(), CancellationToken::new());
    let recording = place.history.record(place.profile, &file).await.expect("begun");
    let recording = tokio::spawn(recording.run(Arc::clone(&progress), stop.clone()));
    let sent: Vec<_> = (0..5_000).map(|n| message(2 + n, "t", n.to_string())).collect();
    for message in &sent {
        place.put(Item::Message(message.clone())).await;
    }
    // It is written as it comes, not at the end.
    while progress.messages() == 0 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    let exported = recording.await.expect("no panic").expect("recorded");
    assert_eq!(exported.messages, 5_000);
    let lines: Vec<u8> = sent.iter().flat_map(|message| [line(message), b"\n".to_vec()].concat()).collect();
    assert!(std::fs::read(&file).expect("read") == lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_whose_file_is_gone_or_full_says_so_and_the_messages_stay() {
    let place = Place::new();
    for (path, words) in
        [(place.file("gone.ndjson"), "not there any more"), ("/dev/full".into(), "no room left")]
    {
        let recording = place.history.record(place.profile, &path).await.expect("begun");
        let recording = tokio::spawn(recording.run(Arc::default(), CancellationToken::new()));
        if path.starts_with(place.folder.path()) {
            std::fs::remove_file(&path).expect("removed");
        }
        while !recording.is_finished() {
            place.put(Item::Message(message(1, "t", "x"))).await;
            place.history.flush().await.expect("stored");
        }
        let error = recording.await.expect("no panic").expect_err("it ends");
        assert_eq!(error.code, ErrorCode::File);
        assert!(error.message.contains(words), "{error}");
    }
    assert!(place.history.stored(place.profile) >= 2);
}

/// What is in a file is said, and nothing of it is half: also of large messages, of which little has room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_on_a_disk_that_gets_full_has_as_many_whole_messages_as_it_says() {
    for size in [200, 40_000] {
        let Some(disk) = Disk::of("1m") else { return };
        let place = Place::new();
        let (path, progress) = (disk.0.path().join("r.ndjson"), Arc::<Progress>::default());
        let recording = place.history.record(place.profile, &path).await.expect("begun");
        for n in 0..3_000_000 / size {
            let payload = format!("{n} {}", "x".repeat(size as usize));
            place.put(Item::Message(message(n, "t", payload))).await;
        }
        place.history.flush().await.expect("stored");
        let error = recording.run(Arc::clone(&progress), CancellationToken::new()).await.expect_err("full");
        assert_eq!(error.details["reason"], "full", "{error}");
        let written = std::fs::read_to_string(&path).expect("read");
        let numbers = written.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).expect("a whole line");
            let payload = line["payload"].as_str().expect("text").to_owned();
            payload.split(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("its number")
        });
        assert!(numbers.eq(0..progress.messages()), "{} are said to be there", progress.messages());
        assert!(written.ends_with('\n') && written.len() > 500_000, "{} bytes", written.len());
    }
}

#[tokio::test]
async fn a_disk_that_is_full_read_only_or_gone_is_named() {
    let place = Place::new();
    for n in 0..4_000 {
        place.put(Item::Message(message(n, "t", "x".repeat(500)))).await;
    }
    let export = |path: PathBuf| {
        let place = &place;
        async move { place.export(RowFilter::default(), RecordingFormat::Ndjson, &path).await }
    };
    let error = export(place.file("no folder/messages.ndjson")).await.expect_err("nowhere");
    assert!(error.message.contains("its folder is not there"), "{error}");
    let Some(disk) = Disk::of("1m") else { return };
    let file = disk.0.path().join("messages.ndjson");
    std::fs::write(&file, "as it was").expect("written");
    let error = export(file.clone()).await.expect_err("full");
    assert_eq!(error.code, ErrorCode::File);
    assert!(error.message.contains("no room left"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).expect("read"), "as it was");
    assert_eq!(std::fs::read_dir(disk.0.path()).expect("listed").count(), 1, "no part is left");
    disk.read_only();
    let error = export(file).await.expect_err("read-only");
    assert!(error.message.contains("read-only"), "{error}");
}

/// A small disk of its own; there is none where this may not mount one.
struct Disk(TempDir);

impl Disk {
    fn of(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder.path());
        if !mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            eprintln!("no file system can be mounted here: not tried");
            return None;
        }
        Some(Self(folder))
    }

    fn read_only(&self) {
        let mounted = Command::new("mount").args(["-o", "remount,ro"]).arg(self.0.path()).status();
        assert!(mounted.expect("mount").success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn lines_that_are_no_messages_are_named_and_the_rest_comes_in() {
    let place = Place::new();
    let file = place.file("mixed.ndjson");
    let good = |time| String::from_utf8(line(&message(time, "t", "x"))).expect("text");
    std::fs::write(&file, format!("{}\nnot one\n{}\n{}", good(5), good(4), good(6))).expect("written");
    let import = |cancel| place.history.import(place.profile, &file, Arc::default(), cancel);
    let imported = import(CancellationToken::new()).await.expect("imported");
    assert_eq!((imported.messages, imported.earlier, imported.unreadable), (3, 1, 1));
    assert_eq!(imported.problems[0].line, 2);
    let cancel = CancellationToken::new();
    cancel.cancel();
    assert_eq!(import(cancel).await.expect_err("cancelled").code, ErrorCode::Cancelled);
    let nowhere = place.file("nowhere");
    let error = place
        .history
        .import(place.profile, &nowhere, Arc::default(), CancellationToken::new())
        .await
        .expect_err("no file");
    assert_eq!(error.code, ErrorCode::File);
}

// ------------------------------------------------------------------------------------------- replay

fn recording(folder: &TempDir, messages: &[Message]) -> PathBuf {
    let path = folder.path().join("recording.ndjson");
    let lines: Vec<u8> =
        messages.iter().flat_map(|message| [line(message), b"\n".to_vec()].concat()).collect();
    std::fs::write(&path, lines).expect("written");
    path
}

async fn play(client: &Client, path: &Path, options: ReplayOptions) -> Replayed {
    let control = ReplayControl::default();
    replay(client.handle.clone(), path, options, Arc::default(), control).await.expect("played")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_is_played_at_its_distances_and_twice_as_fast() {
    let broker = Mosquitto::start("").await;
    let folder = tempfile::tempdir().expect("a folder");
    let at = |ms: i64, payload: &str| message(1_700_000_000_000_000 + ms * 1_000, "a/b", payload.to_owned());
    let path = recording(&folder, &[at(0, "1"), at(300, "2"), at(320, "3"), at(700, "4")]);
    for (speed, distances) in [(1.0, [300, 20, 380]), (2.0, [150, 10, 190])] {
        let mut listener = Client::connected(broker.config(MqttVersion::V5, "listener")).await;
        listener.handle.subscribe(subscription("copy/#", Qos::ExactlyOnce)).await.expect("subscribed");
        let player = Client::connected(broker.config(MqttVersion::V5, "player")).await;
        let options =
            ReplayOptions { speed: Some(speed), topic_prefix: "copy/".into(), ..ReplayOptions::default() };
        let replayed = play(&player, &path, options).await;
        assert_eq!((replayed.published, replayed.refused, replayed.lost), (4, 0, 0));
        let mut times = Vec::new();
        for payload in ["1", "2", "3", "4"] {
            let message = listener.message().await;
            assert_eq!((message.topic.as_str(), &message.payload[..]), ("copy/a/b", payload.as_bytes()));
            times.push(message.time);
        }
        // By when they were handed over: the machine may be late with one, never early.
        let sent: Vec<_> = player.sink.messages(Direction::Out).iter().map(|message| message.time).collect();
        let mut due = 0;
        for (time, distance) in sent[1..].iter().zip(distances) {
            due += distance * 1_000;
            assert!(*time - sent[0] >= due - 3_000, "{sent:?}");
        }
        assert!(times[3] - times[0] < (due * 3).max(3_000_000), "not at another speed: {times:?}");
        player.handle.disconnect(0).await;
        listener.handle.disconnect(0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_change_what_is_sent_and_how_often() {
    let broker = Mosquitto::start("").await;
    let folder = tempfile::tempdir().expect("a folder");
    let sent = Message { direction: Direction::Out, ..message(2, "out", "sent") };
    let mut received = message(1, "in", "received");
    received.properties = MessageProperties {
        correlation_data_hex: Some("00ff".into()),
        user_properties: vec![fixtures::pair("k", "v")],
        ..MessageProperties::default()
    }
    .of_message();
    let path = recording(&folder, &[received, sent]);
    let client = Client::connected(broker.config(MqttVersion::V5, "options")).await;
    let options = ReplayOptions {
        speed: None,
        qos: Some(Qos::ExactlyOnce),
        retain: Some(true),
        direction: Some(Direction::In),
        times: 500,
        ..ReplayOptions::default()
    };
    let replayed = play(&client, &path, options).await;
    assert_eq!(replayed.published, 500);
    let all = client.sink.messages(Direction::Out);
    assert_eq!(all.len(), 500);
    let first = &all[0];
    assert_eq!((first.topic.as_str(), first.qos, first.retain), ("in", Qos::ExactlyOnce, true));
    assert_eq!(first.properties().correlation_data_hex.as_deref(), Some("00ff"));
    assert_eq!(first.properties().user_properties.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_refuses_is_named_by_its_line() {
    let broker = Mosquitto::with_login("topic readwrite ok/#", "me", b"open sesame").await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut path =
        recording(&folder, &[message(1, "ok/1", "x"), message(2, "no/1", "x"), message(3, "ok/2", "x")]);
    let mut text = std::fs::read_to_string(&path).expect("read");
    text += "{}\n";
    std::fs::write(&path, text).expect("written");
    let mut config = broker.config(MqttVersion::V5, "refused");
    config.profile.settings.login.enabled = true;
    config.profile.settings.login.username = "me".into();
    config.secrets.put(SecretField::Password, Some(Secret::new("open sesame")));
    let client = Client::connected(config).await;
    let options = ReplayOptions { speed: None, qos: Some(Qos::AtLeastOnce), ..ReplayOptions::default() };
    let replayed = play(&client, &path, options.clone()).await;
    assert_eq!((replayed.published, replayed.refused, replayed.unreadable), (2, 1, 1));
    let lines: Vec<_> = replayed.problems.iter().map(|problem| problem.line).collect();
    assert!(lines.contains(&2) && lines.contains(&4), "{lines:?}");
    assert!(
        replayed.problems.iter().any(|problem| problem.message.contains("no/1: Not authorized")),
        "{replayed:?}"
    );

    path = folder.path().join("empty.ndjson");
    std::fs::write(&path, "").expect("written");
    let control = ReplayControl::default();
    let error =
        replay(client.handle.clone(), &path, options, Arc::default(), control).await.expect_err("empty");
    assert!(error.message.contains("it is empty"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_stopped_and_ends_with_its_connection() {
    let broker = Mosquitto::start("").await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = recording(&folder, &[message(0, "t", "1"), message(3_600_000_000, "t", "in an hour")]);
    for stopped in [true, false] {
        let mut client = Client::connected(broker.config(MqttVersion::V5, "stopped")).await;
        client.handle.subscribe(subscription("t", Qos::AtMostOnce)).await.expect("subscribed");
        let control = ReplayControl::default();
        let options = ReplayOptions { times: 0, ..ReplayOptions::default() };
        let (handle, steered, file) = (client.handle.clone(), control.clone(), path.clone());
        let playing =
            tokio::spawn(async move { replay(handle, &file, options, Arc::default(), steered).await });
        assert_eq!(&client.message().await.payload[..], b"1");
        if stopped {
            control.stop.cancel();
            let replayed = playing.await.expect("no panic").expect("played");
            assert_eq!(replayed.published, 1);
            assert_eq!(replayed.error.map(|error| error.code), Some(ErrorCode::Cancelled));
            client.handle.disconnect(0).await;
        } else {
            client.handle.disconnect(0).await;
            let options = ReplayOptions { speed: None, ..ReplayOptions::default() };
            let replayed = play(&client, &path, options).await;
            assert_eq!(replayed.error.map(|error| error.code), Some(ErrorCode::NotConnected));
            playing.abort();
        }
    }
}
