use std::collections::VecDeque;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::message::{Item, Message};
use crate::profile::UserProperty;

/// What the clock of a history says that is opened with bounds.
const NOW: UnixMicros = 1_000_000_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("folder") }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("messages.db")
    }

    fn open(&self) -> History {
        History::open(&self.path()).expect("opened")
    }

    fn open_bounded(&self, items: usize, bytes: usize) -> History {
        History::open_with(&self.path(), Bounds { items, bytes }, || NOW).expect("opened")
    }
}

fn message(time: UnixMicros, topic: &str, payload: impl Into<Bytes>) -> Message {
    Message {
        time,
        direction: Direction::In,
        topic: topic.to_owned(),
        payload: payload.into(),
        qos: Qos::AtLeastOnce,
        retain: false,
        dup: false,
        properties: None,
    }
}

fn item(time: UnixMicros, topic: &str, payload: impl Into<Bytes>) -> Item {
    Item::Message(message(time, topic, payload))
}

fn event(time: UnixMicros, kind: EventKind, text: &str) -> Item {
    let facts = EventFacts::Connection { url: text.to_owned(), client_id: "me".to_owned() };
    Item::Event { time, kind, facts: Box::new(facts) }
}

/// Bytes that nothing compresses.
fn noise(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    getrandom::fill(&mut bytes).expect("noise");
    bytes
}

async fn put(sink: &dyn MessageSink, mut item: Item) {
    while let Err(back) = sink.try_accept(item) {
        item = back;
        sink.room().await;
    }
}

/// Waits, without sleeping, until `condition` holds after some commit.
async fn until<F: Future<Output = bool>>(history: &History, mut condition: impl FnMut() -> F) {
    let mut changes = history.changes();
    let wait = async {
        while !condition().await {
            changes.changed().await.expect("the history lives");
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("in time");
}

async fn searched(history: &History, view: ViewId) -> ViewCount {
    until(history, || async {
        let count = history.page(view, 0, 0).await.expect("a page").count;
        count.searched == count.stored
    })
    .await;
    history.page(view, 0, 0).await.expect("a page").count
}

/// Previews of messages and texts of events in a view.
async fn shown(history: &History, view: ViewId) -> Vec<String> {
    let page = history.page(view, 0, PAGE_ROWS).await.expect("a page");
    let text = |row: &Row| match &row.content {
        RowContent::Message { preview, .. } => preview.clone(),
        RowContent::Damaged => "damaged".to_owned(),
        RowContent::Event { text, .. } => text.clone(),
    };
    page.rows.iter().map(text).collect()
}

async fn everything(history: &History, profile: ProfileId) -> ViewId {
    history.open_view(profile, RowFilter::default()).await.expect("a view").0
}

fn text(text: &str) -> RowFilter {
    RowFilter { text: text.to_owned(), ..RowFilter::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_out_of_order_with_four_sinks() {
    const EACH: u32 = 50_000;
    let place = Place::new();
    let history = place.open_bounded(10_000, 1 << 20);
    let profiles = [(); 4].map(|()| ProfileId::random());
    let senders = profiles.map(|profile| {
        let sink = history.sink(profile);
        tokio::spawn(async move {
            for n in 0..EACH {
                put(&*sink, item(i64::from(n), &format!("t/{}", n % 100), n.to_be_bytes().to_vec())).await;
            }
        })
    });
    for sender in senders {
        sender.await.expect("sent");
    }
    history.flush().await.expect("flushed");
    for profile in profiles {
        assert_eq!(history.stored(profile), u64::from(EACH));
        assert_eq!(history.dropped(profile), 0);
        let view = everything(&history, profile).await;
        let mut next = 0;
        while next < i64::from(EACH) {
            let page = history.page(view, next.unsigned_abs(), PAGE_ROWS).await.expect("a page");
            assert_eq!(page.count.rows, u64::from(EACH));
            for row in page.rows {
                assert_eq!((row.seq, row.time), (next + 1, next));
                next += 1;
            }
        }
        for n in [0, 99, 100, EACH - 1] {
            let bytes = history.payload(profile, i64::from(n) + 1, 0, 100).await.expect("a payload");
            assert_eq!(bytes, n.to_be_bytes());
        }
        let last = history.detail(profile, i64::from(EACH)).await.expect("a message");
        assert_eq!(last.previous_seq, Some(i64::from(EACH) - 100));
        assert_eq!(last.since_previous_micros, Some(100));
    }
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let place = Place::new();
    let profile = ProfileId::random();
    let mut full = message(20, "a/b", vec![0, 255, 1]);
    full.direction = Direction::Out;
    full.qos = Qos::ExactlyOnce;
    full.retain = true;
    full.dup = true;
    full.properties = MessageProperties {
        payload_format_utf8: Some(false),
        message_expiry_s: Some(7),
        content_type: Some("image/x".into()),
        correlation_data_hex: Some("00ff".into()),
        subscription_ids: vec![1, 2],
        user_properties: vec![
            UserProperty { name: "k".into(), value: "1".into() },
            UserProperty { name: "k".into(), value: "2".into() },
        ],
        ..MessageProperties::default()
    }
    .of_message();
    {
        let history = place.open();
        let sink = history.sink(profile);
        put(&*sink, event(10, EventKind::Connected, "to a broker")).await;
        put(&*sink, Item::Message(full.clone())).await;
        put(&*sink, item(30, "a/b", "")).await;
        history.close().await.expect("closed");
        assert!(sink.try_accept(item(31, "a/b", "late")).is_ok());
        assert_eq!(history.dropped(profile), 1, "what comes after the end is counted");
    }
    let history = place.open();
    assert_eq!(history.stored(profile), 3);
    put(&*history.sink(profile), item(40, "a/b", "x")).await;
    history.flush().await.expect("flushed");
    let page = history.page(everything(&history, profile).await, 0, 10).await.expect("a page");
    assert_eq!(page.rows.iter().map(|r| r.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(
        page.rows[0].content,
        RowContent::Event {
            event: EventKind::Connected,
            text: "to a broker as me".into(),
            facts: Some(EventFacts::Connection { url: "to a broker".into(), client_id: "me".into() }),
        }
    );
    assert_eq!(
        page.rows[1].content,
        RowContent::Message {
            direction: Direction::Out,
            topic: "a/b".into(),
            qos: Qos::ExactlyOnce,
            retain: true,
            dup: true,
            size: 3,
            preview: "00 ff 01".into(),
            preview_hex: true,
            content_type: Some("image/x".into()),
        }
    );
    assert_eq!(&history.detail(profile, 2).await.expect("a message").properties, full.properties());
    let last = history.detail(profile, 4).await.expect("a message");
    assert_eq!((last.previous_seq, last.since_previous_micros), (Some(3), Some(10)), "in the same direction");
    let missing = history.detail(profile, 5).await.expect_err("no such row");
    assert_eq!(missing.code, ErrorCode::NotFound);
    assert!(history.payload(ProfileId::random(), 1, 0, 1).await.is_err());
}

#[tokio::test]
async fn a_big_payload_is_kept_whole_and_read_in_parts() {
    let place = Place::new();
    let history = place.open_bounded(10, 1_000);
    let profile = ProfileId::random();
    let sink = history.sink(profile);
    let big = Bytes::from((0..32_u32 << 20).map(|n| (n >> 8 ^ n) as u8).collect::<Vec<_>>());
    assert!(sink.try_accept(item(1, "big", big.clone())).is_ok(), "one is always admitted");
    put(&*sink, item(2, "small", "after")).await;
    history.flush().await.expect("flushed");
    let page = history.page(everything(&history, profile).await, 0, 10).await.expect("a page");
    assert!(matches!(&page.rows[0].content, RowContent::Message { size: 33_554_432, .. }));
    let part = history.payload(profile, 1, 20_000_000, 70_000).await.expect("a part");
    assert_eq!(part, big[20_000_000..20_070_000]);
    assert_eq!(history.payload(profile, 1, big.len() as u64 - 1, 10).await.expect("the end").len(), 1);
    assert!(history.payload(profile, 1, 1 << 60, 10).await.expect("beyond").is_empty());
    let file = place.folder.path().join("payload.bin");
    assert_eq!(history.save_payload(profile, 1, &file).await.expect("saved"), big.len() as u64);
    assert!(std::fs::read(&file).expect("read") == big, "the file is the payload");
    let error = history.save_payload(profile, 1, place.folder.path()).await.expect_err("a folder");
    assert_eq!(error.code, ErrorCode::File);
}

#[tokio::test]
async fn filters_find_what_they_should() {
    let place = Place::new();
    let history = place.open();
    let profile = ProfileId::random();
    let sink = history.sink(profile);
    put(&*sink, event(1, EventKind::Lost, "The ÄRGER began")).await;
    put(&*sink, item(2, "home/kitchen", "Temperature 21")).await;
    put(&*sink, item(3, "home/Ärger", "-")).await;
    put(&*sink, item(4, "work/desk", "größer ärger")).await;
    let mut sent = message(5, "work/lamp", b"\xff\xfeTEMPERATURE\xff".to_vec());
    sent.direction = Direction::Out;
    put(&*sink, Item::Message(sent)).await;
    history.flush().await.expect("flushed");

    let topics = |topics: &[&str]| RowFilter {
        topics: topics.iter().map(|t| (*t).to_owned()).collect(),
        ..RowFilter::default()
    };
    for (filter, want) in [
        (text("temperature"), vec![2, 5]),
        (RowFilter { case_sensitive: true, ..text("Temperature") }, vec![2]),
        (text("ärger"), vec![1, 3, 4]),
        (text("HOME/"), vec![2, 3]),
        (text("a.b"), vec![]),
        (RowFilter { regex: true, ..text(r"\d\d$|^-$") }, vec![2, 3]),
        (topics(&["home/#"]), vec![2, 3]),
        (topics(&["+/desk", "work/lamp"]), vec![4, 5]),
        (RowFilter { topics: vec!["work/#".into()], ..text("ärger") }, vec![4]),
        (RowFilter { direction: Some(Direction::Out), ..RowFilter::default() }, vec![5]),
        (RowFilter { direction: Some(Direction::In), ..text("ärger") }, vec![3, 4]),
    ] {
        let (view, _) = history.open_view(profile, filter.clone()).await.expect("a view");
        let count = searched(&history, view).await;
        assert_eq!((count.rows, count.stored, count.limited), (want.len() as u64, 5, false));
        let rows = history.page(view, 0, 10).await.expect("a page").rows;
        assert_eq!(rows.iter().map(|r| r.seq).collect::<Vec<_>>(), want, "{filter:?}");
        for seq in 1..=6 {
            let index = history.index_of(view, seq).await.expect("looked up");
            assert_eq!(index, want.iter().position(|w| *w == seq).map(|i| i as u64));
        }
        history.close_view(view);
        assert_eq!(history.page(view, 0, 1).await.expect_err("closed").code, ErrorCode::NotFound);
    }

    let also = || RowFilter::default();
    for (filter, want) in [
        (RowFilter { qos: vec![Qos::AtLeastOnce], ..also() }, vec![2, 3, 4, 5]),
        (RowFilter { qos: vec![Qos::AtMostOnce, Qos::ExactlyOnce], ..also() }, vec![]),
        (RowFilter { retain: Some(true), ..also() }, vec![]),
        (RowFilter { retain: Some(false), ..also() }, vec![2, 3, 4, 5]),
        (RowFilter { since: Some(3), ..also() }, vec![3, 4, 5]),
        (RowFilter { until: Some(2), ..also() }, vec![1, 2]),
        (RowFilter { since: Some(2), until: Some(4), ..text("e") }, vec![2, 3, 4]),
        (RowFilter { min_size: Some(2), max_size: Some(14), ..also() }, vec![2, 5]),
        (RowFilter { property: "x".into(), ..also() }, vec![]),
        (RowFilter { json: "$ > 1".into(), ..also() }, vec![]),
    ] {
        let (view, _) = history.open_view(profile, filter.clone()).await.expect("a view");
        searched(&history, view).await;
        let rows = history.page(view, 0, 10).await.expect("a page").rows;
        assert_eq!(rows.iter().map(|r| r.seq).collect::<Vec<_>>(), want, "{filter:?}");
        for (time, seq) in [(0, 1), (3, 3), (6, 6)] {
            let index = history.index_at(view, time).await.expect("looked up");
            assert_eq!(index, want.iter().filter(|known| **known < seq).count() as u64, "{filter:?} {time}");
        }
    }

    for (filter, field) in [
        (RowFilter { json: "temp > 1".into(), ..also() }, "json"),
        (RowFilter { regex: true, ..text("(") }, "text"),
        (RowFilter { regex: true, ..text(r"(\w{900}){900}") }, "text"),
        (topics(&["a/#/b"]), "topics"),
    ] {
        let error = history.open_view(profile, filter).await.expect_err("refused");
        assert_eq!((error.code, error.details["field"].as_str()), (ErrorCode::InvalidInput, Some(field)));
    }
}

#[tokio::test]
async fn views_go_on_with_what_arrives() {
    let place = Place::new();
    let history = place.open();
    let profile = ProfileId::random();
    let (odd, count) = history.open_view(profile, text("odd")).await.expect("a view of nothing yet");
    assert_eq!(count, ViewCount { origin: 0, ..ViewCount::default() });
    let all = everything(&history, profile).await;
    let sink = history.sink(profile);
    for n in 1..=20_000 {
        put(&*sink, item(n, "n", if n % 2 == 1 { "odd" } else { "even" })).await;
    }
    history.flush().await.expect("flushed");
    assert_eq!(searched(&history, odd).await.rows, 10_000);
    assert_eq!(history.page(all, 19_998, 100).await.expect("a page").rows.len(), 2);
    assert!(history.page(all, 20_000, 100).await.expect("a page").rows.is_empty());
    put(&*sink, item(0, "n", "odd again")).await;
    history.flush().await.expect("flushed");
    let page = history.page(odd, 9_999, 10).await.expect("a page");
    assert_eq!(page.rows.iter().map(|r| r.seq).collect::<Vec<_>>(), [19_999, 20_001]);
    assert_eq!(history.index_of(odd, 20_001).await.expect("looked up"), Some(10_000));
    assert_eq!(history.index_of(all, 20_001).await.expect("looked up"), Some(20_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clearing_while_messages_arrive_keeps_what_comes_after() {
    let place = Place::new();
    let history = place.open();
    let profile = ProfileId::random();
    let other = ProfileId::random();
    put(&*history.sink(other), item(1, "t", "stays")).await;
    let view = everything(&history, profile).await;
    let found = history.open_view(profile, text("x")).await.expect("a view").0;
    let sink = history.sink(profile);
    let sender = tokio::spawn(async move {
        for n in 0..30_000 {
            put(&*sink, item(n, &format!("t/{n}"), "x")).await;
        }
    });
    let mut cleared = 0;
    for _ in 0..5 {
        until(&history, || async { history.stored(profile) > 1_000 || sender.is_finished() }).await;
        cleared += history.clear(profile).await.expect("cleared");
    }
    sender.await.expect("sent");
    history.flush().await.expect("flushed");
    assert_eq!(cleared + history.stored(profile), 30_000, "every row was cleared or is there");
    cleared += history.clear(profile).await.expect("cleared");
    assert_eq!(cleared, 30_000);
    put(&*history.sink(profile), item(7, "t", "x first")).await;
    history.flush().await.expect("flushed");
    assert_eq!(shown(&history, view).await, ["x first"]);
    assert_eq!(searched(&history, found).await.rows, 1);
    assert_eq!(shown(&history, found).await, ["x first"]);
    let row = history.page(view, 0, 1).await.expect("a page").rows.remove(0);
    assert_eq!(row.seq, 30_001, "numbers are never used twice");
    let detail = history.detail(profile, row.seq).await.expect("a message");
    assert_eq!(detail.previous_seq, None);
    assert!(history.detail(profile, 1).await.is_err());
    assert_eq!(history.stored(other), 1);
    history.close().await.expect("closed");
    let again = place.open();
    assert_eq!((again.stored(profile), again.stored(other)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_write_the_same_profile_do_not_disturb_each_other() {
    let place = Place::new();
    let histories = [place.open(), place.open()];
    let profile = ProfileId::random();
    let senders = histories.clone().map(|history| {
        tokio::spawn(async move {
            let sink = history.sink(profile);
            for n in 0..2_000 {
                put(&*sink, item(n, "both", "x")).await;
                if n % 200 == 0 {
                    history.flush().await.expect("flushed");
                }
            }
            history.flush().await.expect("flushed");
        })
    });
    for sender in senders {
        sender.await.expect("sent");
    }
    for history in histories {
        let view = everything(&history, profile).await;
        let mut seqs = Vec::new();
        for start in (0..4_000).step_by(1_000) {
            seqs.extend(history.page(view, start, 1_000).await.expect("a page").rows.iter().map(|r| r.seq));
        }
        assert_eq!(seqs, (1..=4_000).collect::<Vec<_>>());
        let detail = history.detail(profile, 4_000).await.expect("a message");
        assert_eq!(detail.previous_seq, Some(3_999));
    }
}

#[tokio::test]
async fn what_is_given_up_is_counted_and_shown_where_it_was_missing() {
    let place = Place::new();
    let history = place.open_bounded(3, 1 << 20);
    let profile = ProfileId::random();
    // Another program holds the file, so nothing can be written for now.
    let blocker = Connection::open(place.path()).expect("opened beside");
    blocker.execute_batch("BEGIN IMMEDIATE").expect("held");
    let sink = history.sink(profile);
    for n in 1..=3 {
        assert!(sink.try_accept(item(n, "t", format!("kept {n}"))).is_ok());
    }
    for n in 4..=6 {
        let back = sink.try_accept(item(n, "t", format!("lost {n}"))).expect_err("full");
        sink.dropped(back);
    }
    assert_eq!(history.dropped(profile), 3);
    blocker.execute_batch("ROLLBACK").expect("let go");
    tokio::time::timeout(PATIENCE, sink.room()).await.expect("room in time");
    put(&*sink, item(7, "t", "kept 7")).await;
    until(&history, || async { history.stored(profile) == 5 }).await;
    let view = everything(&history, profile).await;
    let rows = shown(&history, view).await;
    assert_eq!(rows[..3], ["kept 1", "kept 2", "kept 3"]);
    assert!(rows[3].starts_with("3 messages could not be kept"), "{rows:?}");
    assert_eq!(rows[4], "kept 7");
    assert_eq!(history.page(view, 3, 1).await.expect("a page").rows[0].time, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_is_told() {
    let place = Place::new();
    let history = place.open();
    let profile = ProfileId::random();
    let sink = history.sink(profile);
    put(&*sink, item(0, "t", "before")).await;
    history.flush().await.expect("flushed");
    let mut health = history.health();
    assert_eq!(*health.borrow(), StorageHealth::Ok);

    history.0.shared.page_limit.store(20, Ordering::Relaxed);
    for n in 1..=5_000 {
        put(&*sink, item(n, "t", noise(100))).await;
    }
    let failing = health.wait_for(|h| matches!(h, StorageHealth::Failing { .. }));
    let told = tokio::time::timeout(PATIENCE, failing).await.expect("in time").expect("told").clone();
    assert!(matches!(told, StorageHealth::Failing { error } if error.message.contains("no room")));
    let error = history.flush().await.expect_err("it cannot be promised");
    assert_eq!((error.code, error.details["reason"].as_str()), (ErrorCode::Storage, Some("full")));
    assert!(history.stored(profile) < 5_001);

    history.0.shared.page_limit.store(1_000_000, Ordering::Relaxed);
    let ok = health.wait_for(|h| *h == StorageHealth::Ok);
    tokio::time::timeout(PATIENCE, ok).await.expect("in time").expect("told");
    until(&history, || async { history.stored(profile) == 5_001 }).await;
    let page = history.page(everything(&history, profile).await, 4_999, 10).await.expect("a page");
    assert_eq!(
        page.rows.iter().map(|r| (r.seq, r.time)).collect::<Vec<_>>(),
        [(5_000, 4_999), (5_001, 5_000)]
    );
}

#[tokio::test]
async fn the_oldest_go_when_there_is_too_much() {
    let place = Place::new();
    let history = place.open();
    let profile = ProfileId::random();
    let sink = history.sink(profile);
    let view = everything(&history, profile).await;
    let (found, _) = history.open_view(profile, text("x")).await.expect("a view");
    let each = Retention { max_bytes: Some(1_000_000), ..Retention::default() };
    history.set_retention(RetentionRules { each, ..RetentionRules::default() });
    for n in 1..=20_000 {
        let payload = [b"x", &noise(159)[..]].concat();
        put(&*sink, item(n, &format!("t/{}", n % 10), payload)).await;
    }
    history.flush().await.expect("flushed");
    let kept = i64::try_from(history.stored(profile)).expect("few");
    assert!((4_500..6_200).contains(&kept), "160 bytes each and a little, and whole blocks: {kept}");
    let oldest = 20_001 - kept;
    let first = history.page(view, 0, 1).await.expect("a page").rows.remove(0);
    assert_eq!((first.seq, first.time), (oldest, oldest));
    assert_eq!(searched(&history, found).await.rows, kept.unsigned_abs());
    assert_eq!(history.index_of(found, oldest).await.expect("looked up"), Some(0));
    let previous = async |seq| history.detail(profile, seq).await.expect("a message").previous_seq;
    assert_eq!(previous(oldest + 4).await, None);
    assert_eq!(previous(oldest + 11).await, Some(oldest + 1));
    put(&*sink, item(20_001, "t/0", vec![b'x'; 3_000_000])).await;
    history.flush().await.expect("flushed");
    assert_eq!(history.stored(profile), 1, "the newest stays, however big");
    until(&history, || async { blocks(&place) == 1 }).await;
}

/// What goes gives its room on the disk back, while pages are read and messages arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_file_shrinks_by_what_goes_while_others_read_and_write() {
    const SMALL: u64 = 20 << 20;
    let place = Place::new();
    let [many, other] = [(); 2].map(|()| ProfileId::random());
    let history = place.open();
    for n in 1..=12_000 {
        put(&*history.sink(many), item(n, "t", noise(5_000))).await;
    }
    history.flush().await.expect("flushed");
    let size = || std::fs::metadata(place.path()).expect("a file").len();
    assert!(size() > 2 * SMALL, "{} bytes", size());
    let view = everything(&history, other).await;
    history.set_retention(keep_rows(1_000));
    let mut arrived = 0;
    let shrunk = async {
        while size() > SMALL {
            arrived += 1;
            put(&*history.sink(other), item(arrived, "t", "x")).await;
            history.flush().await.expect("written meanwhile");
            assert_eq!(history.tail(view, 1, None).await.expect("read meanwhile").rows[0].seq, arrived);
        }
    };
    tokio::time::timeout(PATIENCE, shrunk).await.expect("in time");
    assert!(arrived > 1, "it takes more than one step");
    assert_eq!(history.stored(many), 1_000);
}

fn blocks(place: &Place) -> i64 {
    let file = Connection::open(place.path()).expect("opened beside");
    file.query_row("SELECT count(*) FROM block", [], |row| row.get(0)).expect("counted")
}

#[tokio::test]
async fn a_file_that_is_no_history_is_refused_and_left_alone() {
    let place = Place::new();
    std::fs::write(place.path(), b"not a database, but somebody's work").expect("written");
    let error = History::open(&place.path()).err().expect("refused");
    assert_eq!((error.code, error.details["reason"].as_str()), (ErrorCode::Storage, Some("not_a_database")));
    assert!(error.message.contains("move it away"));
    assert_eq!(std::fs::read(place.path()).expect("read"), b"not a database, but somebody's work");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_looks_at_the_newest_first_and_agrees_with_looking_at_each_row() {
    const ROWS: i64 = 30_000;
    let place = Place::new();
    let history = place.open();
    let profile = ProfileId::random();
    let sink = history.sink(profile);
    // Rows whose ends and beginnings make the text together, rows that have it, and big ones.
    let payload = |n: i64| match n % 7 {
        0 => b"..ab".to_vec(),
        1 => b"c..".to_vec(),
        2 => b"..aBc".to_vec(),
        3 => b"ababc".to_vec(),
        4 if n % 1_000 == 4 => [&noise(20_000)[..], b"abc"].concat().iter().map(|b| b | 0x80).collect(),
        4 if n % 1_000 == 11 => [vec![b'.'; 3 << 20], b"abc".to_vec()].concat(),
        _ => Vec::new(),
    };
    let has = |n: &i64| payload(*n).windows(3).any(|bytes| bytes.eq_ignore_ascii_case(b"abc"));
    for n in 1..=ROWS {
        put(&*sink, item(n, &format!("t/{}", n % 5), payload(n))).await;
    }
    history.flush().await.expect("flushed");
    let (view, count) = history.open_view(profile, text("abc")).await.expect("a view");
    assert!(count.rows > 0, "the first look finds something");
    let last = history.tail(view, 1, None).await.expect("a page");
    assert_eq!(last.rows[0].seq, (1..=ROWS).rev().find(has).expect("one"), "the newest is there at once");
    let place = last.start.cast_signed() + last.count.origin;
    put(&*sink, item(ROWS + 1, "t/0", "abc")).await;
    history.flush().await.expect("flushed");
    let count = searched(&history, view).await;
    let want: Vec<_> = (1..=ROWS).filter(has).chain([ROWS + 1]).collect();
    let now = (place - count.origin).cast_unsigned();
    assert_eq!(
        history.page(view, now, 1).await.expect("a page").rows,
        last.rows,
        "its place says the same row"
    );
    assert_eq!(count.rows, want.len() as u64);
    let mut found = Vec::new();
    for start in (0..count.rows).step_by(PAGE_ROWS as usize) {
        let page = history.page(view, start, PAGE_ROWS).await.expect("a page");
        found.extend(page.rows.iter().map(|row| row.seq));
    }
    assert_eq!(found, want);
    for (index, seq) in want.iter().enumerate().step_by(997) {
        assert_eq!(history.index_of(view, *seq).await.expect("looked up"), Some(index as u64));
    }
}

#[tokio::test]
async fn a_search_that_is_stopped_keeps_what_it_found_and_looks_at_what_arrives() {
    let place = Place::new();
    let (history, profile) = (place.open(), ProfileId::random());
    let sink = history.sink(profile);
    for n in 1..=200_000 {
        put(&*sink, item(n, "t", format!("{{\"n\":{n}}}"))).await;
    }
    history.flush().await.expect("flushed");
    let filter = RowFilter { json: "$.n > 0".into(), ..RowFilter::default() };
    let (view, _) = history.open_view(profile, filter).await.expect("a view");
    history.stop_search(view, true).expect("stopped");
    let found = history.page(view, 0, 0).await.expect("a page").count;
    assert!(found.stopped && found.rows > 0 && found.searched < found.stored, "{found:?}");
    for n in 200_001..=200_010 {
        put(&*sink, item(n, "t", format!("{{\"n\":{n}}}"))).await;
    }
    history.flush().await.expect("flushed");
    // A turn that was under way when it was stopped ends, and tells.
    let Shown::Stored(search) = history.view(view).expect("a view") else {
        unreachable!("it is of what is stored")
    };
    until(&history, || async { !search.searches() }).await;
    let after = history.tail(view, 20, None).await.expect("a page");
    assert!(after.count.stopped && after.count.searched < after.count.stored, "{:?}", after.count);
    assert_eq!(
        after.rows.iter().map(|row| row.seq).collect::<Vec<_>>(),
        (199_991..=200_010).collect::<Vec<_>>()
    );
    let still = history.page(view, 0, 0).await.expect("a page").count;
    assert_eq!(still, after.count);
    assert!(!search.searches(), "who looks at it does not make it go on");
    history.stop_search(view, false).expect("goes on");
    let all = searched(&history, view).await;
    assert_eq!((all.rows, all.stopped), (200_010, false));
    assert!(history.stop_search(view + 1, true).is_err(), "no such view");
}

#[tokio::test]
async fn what_an_earlier_version_kept_is_still_there() {
    let place = Place::new();
    let profile = ProfileId::random();
    {
        let mut connection = Connection::open(place.path()).expect("a file");
        connection.pragma_update(None, "application_id", 0x4845_4C49).expect("ours");
        store::migrations().to_version(&mut connection, 1).expect("the first version");
        let uuid = profile.to_string();
        let setup = "INSERT INTO profile VALUES (3, ?1, 2, 5000, 1, 0)";
        connection.execute(setup, [uuid]).expect("a profile");
        connection.execute("INSERT INTO topic VALUES (9, 3, 'a/b', 4999, 0)", []).expect("a topic");
        let rows = connection.unchecked_transaction().expect("one write");
        let mut insert = rows.prepare("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)").expect("a row");
        for seq in 1..=5_000_i64 {
            let (flags, topic, back) = if seq == 5_000 { (256, None, None) } else { (2, Some(9), Some(1)) };
            let properties = (seq == 7).then_some(r#"{"content_type":"x"}"#);
            let payload = if seq == 8 { vec![7; 100_000] } else { seq.to_be_bytes().to_vec() };
            let key = 3_i64 << 40 | seq;
            insert
                .execute(rusqlite::params![key, seq * 10, flags, topic, back, properties, payload])
                .expect("a row");
        }
        drop(insert);
        rows.commit().expect("written");
    }
    let history = place.open();
    assert_eq!(history.stored(profile), 4_999);
    for seq in [2, 7, 1_500, 4_999] {
        let bytes = history.payload(profile, seq, 0, 100).await.expect("a payload");
        assert_eq!(bytes, seq.to_be_bytes());
        let detail = history.detail(profile, seq).await.expect("a message");
        assert_eq!(detail.row.time, seq * 10);
        assert_eq!(detail.properties.content_type.is_some(), seq == 7);
        assert_eq!(detail.previous_seq, (seq > 2).then_some(seq - 1));
    }
    assert_eq!(history.payload(profile, 8, 99_999, 10).await.expect("the end"), [7]);
    put(&*history.sink(profile), item(50_010, "a/b", "new")).await;
    history.flush().await.expect("flushed");
    assert_eq!(history.detail(profile, 5_001).await.expect("a message").previous_seq, Some(4_999));
    let page = history.page(everything(&history, profile).await, 4_998, 10).await.expect("a page");
    assert!(matches!(page.rows[0].content, RowContent::Event { event: EventKind::Connected, .. }));
}

#[tokio::test]
async fn few_rows_at_a_time_make_few_blocks() {
    let place = Place::new();
    let history = place.open();
    let profile = ProfileId::random();
    let sink = history.sink(profile);
    for n in 0..200 {
        put(&*sink, item(n, "t", noise(50))).await;
        history.flush().await.expect("flushed");
    }
    assert!(blocks(&place) <= 2);
    for n in 0..200 {
        let bytes = history.payload(profile, n + 1, 0, 100).await.expect("a payload");
        assert_eq!(bytes.len(), 50);
    }
}

#[tokio::test]
async fn rows_go_by_count_by_age_and_by_what_all_take() {
    let place = Place::new();
    let history = place.open_bounded(10_000, 1 << 24);
    let [counted, aged, big, small] = [(); 4].map(|()| ProfileId::random());
    let nothing = Retention { max_bytes: None, max_rows: None, max_age_s: None };
    let mut rules = RetentionRules { each: nothing, ..RetentionRules::default() };
    rules.of.insert(counted, Retention { max_rows: Some(3_333), ..nothing });
    rules.of.insert(aged, Retention { max_age_s: Some(1_000), ..nothing });
    history.set_retention(rules.clone());
    for n in 0..10_000 {
        put(&*history.sink(counted), item(n, "t", "x")).await;
        // A second apart; the last one is now.
        put(&*history.sink(aged), item(NOW - (9_999 - n) * 1_000_000, "t", "x")).await;
    }
    history.flush().await.expect("flushed");
    assert_eq!(history.stored(counted), 3_333);
    assert_eq!(history.stored(aged), 1_001, "to the row");

    for n in 0..1_000 {
        put(&*history.sink(big), item(n, "t", noise(1_000))).await;
        put(&*history.sink(small), item(2_000 + n, "t", noise(100))).await;
    }
    history.flush().await.expect("flushed");
    assert_eq!((history.stored(big), history.stored(small)), (1_000, 1_000));
    history.set_retention(RetentionRules { max_bytes_in_all: Some(600_000), ..rules });
    until(&history, || async { history.stored(big) < 500 }).await;
    assert_eq!(history.stored(small), 1_000, "what is newer stays");
    assert!(history.stored(big) > 300, "no more goes than must");
    history.close().await.expect("closed");
    let again = place.open();
    assert_eq!((again.stored(counted), again.stored(small)), (3_333, 1_000));
}

/// An hour has few rows here, and a clock was set back: what is too old goes all the same, and nothing that is newer.
#[tokio::test]
async fn an_age_is_kept_to_the_row() {
    const HOUR: UnixMicros = 3_600_000_000;
    let place = Place::new();
    let history = place.open_bounded(1_000, 1 << 20);
    let each = Retention { max_rows: None, max_bytes: None, max_age_s: Some(10 * 3_600) };
    history.set_retention(RetentionRules { each, ..RetentionRules::default() });
    let [rare, quiet] = [(); 2].map(|()| ProfileId::random());
    for hours in [90, 50, 3, 40, 0] {
        put(&*history.sink(rare), item(NOW - hours * HOUR, "t", hours.to_string())).await;
        put(&*history.sink(quiet), item(NOW - (20 + hours) * HOUR, "t", hours.to_string())).await;
    }
    history.flush().await.expect("flushed");
    assert_eq!(history.stored(rare), 3, "those from the third on");
    assert_eq!((history.let_go(rare), history.let_go(quiet)), (2, 4));
    assert_eq!(history.stored(quiet), 1, "the newest stays");
    let (view, _) = history.open_view(quiet, RowFilter::default()).await.expect("a view");
    let page = history.page(view, 0, PAGE_ROWS).await.expect("a page");
    assert_eq!(page.rows.iter().map(|row| row.time).collect::<Vec<_>>(), [NOW - 20 * HOUR]);
}

/// Whatever limits let go of is counted, so that what arrived is what is stored and what went; and it is logged, rarely while
/// it goes on, and to the last row by the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_limits_let_go_of_is_counted_and_logged() {
    let place = Place::new();
    let log = place.folder.path().join("log");
    let lines = std::sync::Arc::new(std::fs::File::create(&log).expect("a log"));
    tracing_subscriber::fmt().with_env_filter("info").with_ansi(false).with_writer(lines).init();
    let history = place.open();
    let [counted, pinned, old, cleared] = [(); 4].map(|()| ProfileId::random());
    let nothing = Retention { max_bytes: None, max_rows: None, max_age_s: None };
    let mut rules = keep_rows(1_000);
    rules.of.insert(old, nothing);
    history.set_retention(rules.clone());
    let mut stored = HashMap::new();
    for round in 0..5 {
        for profile in [counted, pinned, old, cleared] {
            for n in 0..4_000 {
                put(&*history.sink(profile), item(n, "t", noise(50))).await;
            }
            *stored.entry(profile).or_insert(0) += 4_000;
        }
        history.flush().await.expect("flushed");
        if round == 0 {
            history.pin(pinned, 3_500, true).await.expect("pinned");
        }
    }
    until(&history, || async { history.stored(counted) == 1_000 }).await;
    // A pin that goes is one more; what a person deletes is no matter of limits.
    let gone = |profile| history.let_go(profile);
    assert_eq!((gone(counted), gone(pinned), gone(old)), (19_000, 18_999, 0));
    assert_eq!(history.stored(pinned), 1_001);
    let before = gone(cleared);
    assert_eq!(history.clear(cleared).await.expect("cleared"), 20_000 - before);
    assert_eq!(gone(cleared), before);
    // The limit of all together.
    history.set_retention(RetentionRules { max_bytes_in_all: Some(400_000), ..rules });
    until(&history, || async { gone(old) > 0 && history.stored(old) + gone(old) == 20_000 }).await;
    history.pin(pinned, 3_500, false).await.expect("unpinned");
    for profile in [counted, pinned] {
        put(&*history.sink(profile), item(0, "t", "last")).await;
        *stored.entry(profile).or_insert(0) += 1;
    }
    history.flush().await.expect("flushed");
    until(&history, || async { gone(pinned) > 18_999 && history.stored(pinned) <= 1_000 }).await;
    for profile in [counted, pinned, old] {
        assert_eq!(history.stored(profile) + gone(profile), stored[&profile], "nothing is missing");
    }
    history.close().await.expect("closed");

    let log = std::fs::read_to_string(&log).expect("a log");
    for profile in [counted, pinned, old] {
        let of_it = log.lines().filter(|line| line.contains(&profile.to_string()));
        let told: Vec<u64> = of_it
            .map(|line| line.split_once(" rows=").expect(line).1.split(' ').next().expect(line))
            .map(|rows| rows.parse().expect("a number"))
            .collect();
        assert!((1..=3).contains(&told.len()), "{told:?}\n{log}");
        assert_eq!(told.iter().sum::<u64>(), history.let_go(profile), "{log}");
    }
}

#[tokio::test]
async fn json_and_properties_are_looked_into_and_any_time_is_found() {
    let place = Place::new();
    let history = place.open();
    let profile = ProfileId::random();
    let sink = history.sink(profile);
    for n in 0..10_000_i64 {
        let mut message = message(n * 1_000, "t", format!(r#"{{"temp_c":{},"n":{n}}}"#, n % 100));
        if n % 1_000 == 0 {
            let pair = UserProperty { name: "batch".into(), value: (n / 1_000).to_string() };
            message.properties =
                MessageProperties { user_properties: vec![pair], ..Default::default() }.of_message();
        }
        if n == 77 {
            let long = " ".repeat(50_000);
            message.payload = format!(r#"{{"temp_c":99,"long":"{long}"}}"#).into();
        }
        put(&*sink, Item::Message(message)).await;
    }
    history.flush().await.expect("flushed");
    let found = async |filter: RowFilter| {
        let (view, _) = history.open_view(profile, filter).await.expect("a view");
        searched(&history, view).await.rows
    };
    let json = |json: &str| RowFilter { json: json.into(), ..RowFilter::default() };
    assert_eq!(found(json("$.temp_c > 70")).await, 2_900, "with the big one");
    assert_eq!(found(json("$.temp_c > 70 && $.n < 1000")).await, 289);
    assert_eq!(found(json("$.long")).await, 1);
    let property = |text: &str| RowFilter { property: text.into(), ..RowFilter::default() };
    assert_eq!(found(property("batch")).await, 10);
    assert_eq!(found(RowFilter { json: "$.n > 1".into(), ..property("batch=7") }).await, 1);

    let view = everything(&history, profile).await;
    for (time, index) in
        [(0, 0), (1, 1), (1_000, 1), (5_000_500, 5_001), (9_999_000, 9_999), (1 << 50, 10_000)]
    {
        assert_eq!(history.index_at(view, time).await.expect("looked up"), index, "{time}");
    }
}

#[tokio::test]
async fn what_is_held_for_an_export_is_safe_from_retention() {
    let place = Place::new();
    let history = place.open();
    let profile = ProfileId::random();
    let sink = history.sink(profile);
    let hold = export::Hold::new(&history.0.shared, profile);
    let few = Retention { max_rows: Some(10), max_bytes: Some(1_000), max_age_s: Some(1) };
    history.set_retention(RetentionRules { each: few, ..RetentionRules::default() });
    let fill = async |from: i64| {
        for n in from..from + 5_000 {
            put(&*sink, item(n, "t", vec![b'x'; 100])).await;
        }
        history.flush().await.expect("stored");
        history.stored(profile)
    };
    assert_eq!(fill(0).await, 5_000);
    hold.from(3_001);
    let kept = fill(5_000).await;
    assert!((7_000..8_100).contains(&kept), "from the held row's block on: {kept}");
    drop(hold);
    assert!(fill(10_000).await <= 10);
}

fn retained(time: UnixMicros, topic: &str, payload: impl Into<Bytes>) -> Item {
    Item::Message(Message { retain: true, ..message(time, topic, payload) })
}

fn keep_rows(count: u64) -> RetentionRules {
    let each = Retention { max_rows: Some(count), max_bytes: None, max_age_s: None };
    RetentionRules { each, ..RetentionRules::default() }
}

async fn numbers(history: &History, view: ViewId) -> Vec<Seq> {
    let page = history.page(view, 0, PAGE_ROWS).await.expect("a page");
    assert_eq!(page.count.rows, page.rows.len() as u64, "a row for each index");
    page.rows.iter().map(|row| row.seq).collect()
}

/// Waits until what retention let go of is no longer in the file.
async fn tidied(place: &Place, history: &History, blocks_left: i64) {
    until(history, || async { blocks(place) <= blocks_left }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pinned_and_the_newest_retained_messages_outlive_every_limit() {
    let place = Place::new();
    let profile = ProfileId::random();
    let history = place.open();
    history.set_retention(keep_rows(1_000_000));
    let sink = history.sink(profile);
    let big = noise(100_000);
    for n in 1..=5_000 {
        put(
            &*sink,
            match n {
                500 | 3_000 => retained(n * 10, "state/replaced", n.to_string()),
                501 => retained(n * 10, "state/kept", n.to_string()),
                600 => retained(n * 10, "state/cleared", n.to_string()),
                601 => retained(n * 10, "state/cleared", ""),
                // What we publish ourselves is not retained here by the broker's word.
                700 => Item::Message(Message {
                    direction: Direction::Out,
                    retain: true,
                    ..message(n * 10, "state/sent", "700")
                }),
                800 => item(n * 10, "t", big.clone()),
                _ => item(n * 10, "t", n.to_string()),
            },
        )
        .await;
    }
    history.flush().await.expect("flushed");
    for seq in [800, 1_000, 1_001, 2_500, 4_999] {
        history.pin(profile, seq, true).await.expect("pinned");
    }
    let (all, filtered) =
        (everything(&history, profile).await, history.open_view(profile, text("0")).await.expect("a view").0);
    let pins = RowFilter { pinned: true, ..RowFilter::default() };
    assert_eq!(searched(&history, filtered).await.stored, 5_000);
    let origin = |page: Page| page.count.origin;
    let before = origin(history.page(all, 0, 0).await.expect("a page"));

    history.set_retention(keep_rows(10));
    let stay = [501, 800, 1_000, 1_001, 2_500, 3_000];
    let expected: Vec<Seq> = stay.into_iter().chain(4_991..=5_000).collect();
    until(&history, || async { history.stored(profile) == expected.len() as u64 }).await;
    let check = async |history: &History, all: ViewId| {
        assert_eq!(numbers(history, all).await, expected);
        for (index, seq) in expected.iter().enumerate() {
            assert_eq!(history.index_of(all, *seq).await.expect("looked up"), Some(index as u64), "{seq}");
            assert_eq!(history.index_at(all, seq * 10).await.expect("looked up"), index as u64, "{seq}");
            let detail = history.detail(profile, *seq).await.expect("a message");
            assert_eq!(detail.row.time, seq * 10);
            assert_eq!(detail.row.pinned, [800, 1_000, 1_001, 2_500, 4_999].contains(seq), "{seq}");
            let payload = history.payload(profile, *seq, 0, 1 << 20).await.expect("a payload");
            assert!(
                if *seq == 800 { payload == big } else { payload == seq.to_string().as_bytes() },
                "{seq}"
            );
        }
        assert_eq!(history.detail(profile, 1_001).await.expect("a message").previous_seq, Some(1_000));
        assert_eq!(history.detail(profile, 1_000).await.expect("a message").previous_seq, None);
        assert_eq!(history.index_of(all, 999).await.expect("looked up"), None);
        assert!(history.payload(profile, 999, 0, 1).await.is_err());
        let (view, _) = history.open_view(profile, pins.clone()).await.expect("a view");
        assert_eq!(searched(history, view).await.pinned, 5);
        assert_eq!(numbers(history, view).await, [800, 1_000, 1_001, 2_500, 4_999]);
        let (view, _) = history.open_view(profile, text("00")).await.expect("a view");
        searched(history, view).await;
        let want: Vec<_> = expected
            .iter()
            .filter(|seq| {
                **seq == 800 && memchr::memmem::find(&big, b"00").is_some()
                    || **seq != 800 && seq.to_string().contains("00")
            })
            .copied()
            .collect();
        assert_eq!(numbers(history, view).await, want);
    };
    check(&history, all).await;
    let page = history.page(all, 0, 3).await.expect("a page");
    assert_eq!(page.count.kept, 6);
    assert_eq!(origin(page) - before, 5_000 - expected.len() as i64, "by how many rows went");
    // A view that was open before has let go of the same rows.
    let want: Vec<_> =
        expected.iter().filter(|seq| **seq == 800 || seq.to_string().contains('0')).copied().collect();
    assert_eq!(numbers(&history, filtered).await, want);
    tidied(&place, &history, 8).await;
    check(&history, all).await;
    history.close().await.expect("closed");

    let history = place.open();
    history.set_retention(keep_rows(10));
    let all = everything(&history, profile).await;
    check(&history, all).await;
    let file = place.folder.path().join("all.ndjson");
    let order = ExportOrder {
        profile,
        filter: RowFilter::default(),
        format: crate::recording::RecordingFormat::Ndjson,
    };
    let exported = history.export(order, &file, Arc::default(), Default::default()).await.expect("exported");
    assert_eq!(exported.messages, expected.len() as u64);

    // A newer one takes the place of a retained one; a row without its pin goes when others go.
    let sink = history.sink(profile);
    history.pin(profile, 1_000, false).await.expect("unpinned");
    assert!(numbers(&history, all).await.contains(&1_000), "not before");
    put(&*sink, retained(60_000, "state/kept", "newer")).await;
    until(&history, || async { numbers(&history, all).await[..5] == [800, 1_001, 2_500, 3_000, 4_992] })
        .await;
    assert!(history.pin(profile, 1_000, true).await.is_err(), "what is gone cannot be pinned");

    assert_eq!(history.clear(profile).await.expect("cleared"), 14);
    assert_eq!(numbers(&history, all).await, [0; 0]);
    tidied(&place, &history, 0).await;
    let left: i64 = Connection::open(place.path())
        .expect("a file")
        .query_row("SELECT (SELECT count(*) FROM kept) + (SELECT count(*) FROM big_payload)", [], |row| {
            row.get(0)
        })
        .expect("counted");
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_is_pinned_and_retained_the_list_has_no_gaps() {
    let place = Place::new();
    let profile = ProfileId::random();
    let history = place.open();
    history.set_retention(keep_rows(700));
    let sink = history.sink(profile);
    let all = everything(&history, profile).await;
    let (odd, _) = history.open_view(profile, text("7")).await.expect("a view");
    let dice = |most: i64| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("dice");
        (i64::from_ne_bytes(bytes) >> 1).abs() % most
    };
    let (mut pinned, mut newest) = (std::collections::BTreeSet::new(), HashMap::new());
    let mut last = 0;
    for _ in 0..60 {
        for _ in 0..dice(900) {
            last += 1;
            let topic = format!("t/{}", dice(40));
            if dice(10) == 0 {
                newest.insert(topic.clone(), last);
                put(&*sink, retained(last, &topic, last.to_string())).await;
            } else {
                put(&*sink, item(last, &topic, last.to_string())).await;
            }
        }
        history.flush().await.expect("flushed");
        let page = history.tail(all, PAGE_ROWS, None).await.expect("a page");
        for view in [all, odd] {
            let whole = history.tail(view, PAGE_ROWS, None).await.expect("a page");
            let after = dice(last + 2);
            let newer = history.tail(view, PAGE_ROWS, Some(after)).await.expect("a page");
            // Limits let go of rows meanwhile, and a search goes on.
            if newer.count == whole.count {
                let known = whole.rows.partition_point(|row| row.seq <= after);
                assert_eq!(newer.rows, whole.rows[known..], "what the asker has not, after {after}");
            }
            assert_eq!(newer.start, newer.count.rows - newer.rows.len() as u64);
        }
        for _ in 0..dice(4) {
            let Some(row) = page.rows.get(dice(page.rows.len().max(1) as i64) as usize) else { continue };
            if history.pin(profile, row.seq, true).await.is_ok() {
                pinned.insert(row.seq);
            }
        }
        if dice(3) == 0
            && let Some(seq) = pinned.pop_first()
        {
            history.pin(profile, seq, false).await.expect("unpinned");
        }
        for view in [all, odd] {
            if view == odd {
                searched(&history, odd).await;
            }
            let mut seen = Vec::new();
            let count = history.page(view, 0, 0).await.expect("a page").count;
            while (seen.len() as u64) < count.rows {
                let page = history.page(view, seen.len() as u64, PAGE_ROWS).await.expect("a page");
                assert!(!page.rows.is_empty(), "a row for each index");
                // What went in the meantime shifted the rest: looked at again from the beginning.
                if page.count.origin != count.origin {
                    break;
                }
                seen.extend(page.rows.iter().map(|row| row.seq));
            }
            assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
            if seen.len() as u64 == count.rows {
                let wanted = |seq: &&Seq| view == all || seq.to_string().contains('7');
                for seq in pinned.iter().chain(newest.values()).filter(wanted) {
                    assert!(seen.contains(seq), "{seq} stays");
                }
            }
        }
    }
    assert_eq!(history.tail(all, 1, None).await.expect("a page").rows[0].seq, last);
}

#[tokio::test]
async fn retained_messages_of_earlier_versions_stay_as_well() {
    let place = Place::new();
    let profile = ProfileId::random();
    {
        let mut connection = Connection::open(place.path()).expect("a file");
        connection.pragma_update(None, "application_id", 0x4845_4C49).expect("ours");
        store::migrations().to_version(&mut connection, 2).expect("the second version");
        let setup = "INSERT INTO profile VALUES (3, ?1, 1, 3000, 1, 0)";
        connection.execute(setup, [profile.to_string()]).expect("a profile");
        for (topic, name) in [(1, "t"), (2, "state"), (3, "cleared")] {
            connection
                .execute("INSERT INTO topic VALUES (?1, 3, ?2, 3000, 0)", rusqlite::params![topic, name])
                .expect("a topic");
        }
        for first in [1, 1_001, 2_001] {
            let mut builder = block::Builder::new(first, first);
            for seq in first..first + 1_000 {
                let (topic, flags, payload) = match seq {
                    5 | 70 => (2, 8, "on"),
                    80 => (3, 8, "x"),
                    81 => (3, 8, ""),
                    _ => (1, 0, "x"),
                };
                let payload = payload.as_bytes();
                builder.push(&block::NewRow { time: seq, flags, topic, back: 0, properties: &[], payload });
            }
            store::write_block(&connection, 3, &builder, 0).expect("a block");
        }
    }
    let history = place.open();
    assert_eq!(history.stored(profile), 3_000);
    history.set_retention(keep_rows(1));
    until(&history, || async { history.stored(profile) == 2 }).await;
    let all = everything(&history, profile).await;
    assert_eq!(numbers(&history, all).await, [70, 3_000]);
    assert_eq!(history.payload(profile, 70, 0, 10).await.expect("a payload"), b"on");
}

/// Ten rows of a limit, before them what stays: 3 and 900 pinned, 501 the newest retained message of its topic; and a pin
/// within the limit.
async fn with_rows_that_stay(place: &Place, profile: ProfileId) {
    let history = place.open();
    let sink = history.sink(profile);
    for n in 1..=5_000 {
        let stays = n == 501;
        put(&*sink, if stays { retained(n, "state", "501") } else { item(n, "t", n.to_string()) }).await;
    }
    history.flush().await.expect("flushed");
    for seq in [3, 900, 4_995] {
        history.pin(profile, seq, true).await.expect("pinned");
    }
    history.set_retention(keep_rows(10));
    tidied(place, &history, 4).await;
    history.close().await.expect("closed");
}

const STAY: [Seq; 13] = [3, 501, 900, 4_991, 4_992, 4_993, 4_994, 4_995, 4_996, 4_997, 4_998, 4_999, 5_000];

#[tokio::test]
async fn damage_in_what_stays_is_told_and_lets_nothing_go() {
    const SEQ: &str = "id & 0xffffffffff";
    // What happens to the table, and which rows are pinned then: where that is not known, more are than were.
    let with_501: &[Seq] = &[3, 501, 900, 4_995];
    let as_before: &[Seq] = &[3, 900, 4_995];
    for (hurt, pinned) in [
        ("UPDATE kept SET pinned = 0 WHERE {} = 900", as_before),
        ("UPDATE kept SET pinned = 0 WHERE {} = 4995", as_before),
        ("UPDATE kept SET pinned = 1 WHERE {} = 501", with_501),
        ("UPDATE kept SET topic = topic + 1 WHERE {} = 3", as_before),
        ("UPDATE kept SET topic = topic | (1 << 33) WHERE {} = 501", with_501),
        ("UPDATE kept SET checksum = checksum + 1 WHERE {} = 900", as_before),
        // Another row is named, here none that is there, and here one that is pinned by it.
        ("UPDATE kept SET id = id + 1 WHERE {} = 900", as_before),
        ("UPDATE kept SET id = id + (1 << 41) WHERE {} = 501", with_501),
        ("UPDATE kept SET id = id + 2 WHERE {} = 4995", &[3, 900, 4_997]),
        ("DELETE FROM kept WHERE {} = 3", as_before),
        ("DELETE FROM kept WHERE {} < 4000", with_501),
    ] {
        let (place, profile) = (Place::new(), ProfileId::random());
        with_rows_that_stay(&place, profile).await;
        let file = Connection::open(place.path()).expect("a file");
        let changed = file.execute(&hurt.replace("{}", SEQ), []).expect("hurt");
        assert!(changed > 0, "{hurt}");
        drop(file);

        let history = place.open();
        let told = history.damage().borrow().clone().expect(hurt);
        assert_eq!(told.details["reason"], "mended", "{hurt}");
        history.set_retention(keep_rows(10));
        let all = everything(&history, profile).await;
        assert_eq!(numbers(&history, all).await, STAY, "{hurt}");
        let pins = RowFilter { pinned: true, ..RowFilter::default() };
        let (view, _) = history.open_view(profile, pins).await.expect("a view");
        let count = searched(&history, view).await;
        assert_eq!((numbers(&history, view).await.as_slice(), count.pinned), (pinned, pinned.len() as u64));
        for seq in STAY {
            let payload = history.payload(profile, seq, 0, 10).await.expect("a payload");
            assert_eq!(payload, seq.to_string().as_bytes(), "{hurt}");
            assert_eq!(
                history.detail(profile, seq).await.expect("a message").row.pinned,
                pinned.contains(&seq)
            );
        }
        // It is right from now on.
        history.close().await.expect("closed");
        assert_eq!(*place.open().damage().borrow(), None, "{hurt}");
    }
}

/// Waits until it is told that the file was damaged and was mended.
async fn told_as_mended(history: &History, hurt: &str) {
    let mut damage = history.damage();
    let told = tokio::time::timeout(PATIENCE, damage.wait_for(Option::is_some)).await.expect(hurt);
    assert_eq!(told.expect("it lives").as_ref().expect(hurt).details["reason"], "mended", "{hurt}");
}

#[tokio::test]
async fn what_gets_damaged_meanwhile_lets_no_row_go_either_and_is_told_when_it_is_met() {
    for hurt in ["pinned = 1 - pinned", "topic = topic + 1", "topic = 77, pinned = 0", "checksum = 0"] {
        let (place, profile) = (Place::new(), ProfileId::random());
        with_rows_that_stay(&place, profile).await;
        let history = place.open();
        history.set_retention(keep_rows(10));
        let all = everything(&history, profile).await;
        let file = Connection::open(place.path()).expect("a file");
        let sql = format!("UPDATE kept SET {hurt} WHERE id & 0xffffffffff < 4000");
        assert_eq!(file.execute(&sql, []).expect("hurt"), 3);
        // Rows that stay are looked through when a retained message follows one of them, and when others go.
        let sink = history.sink(profile);
        for n in 5_001..=9_000 {
            put(&*sink, item(n, "t", n.to_string())).await;
        }
        put(&*sink, retained(9_001, "state", "9001")).await;
        history.flush().await.expect("flushed");
        told_as_mended(&history, hurt).await;
        until(&history, || async { history.stored(profile) == 14 }).await;
        tidied(&place, &history, 6).await;
        let page = history.page(all, 0, 3).await.expect("a page");
        for (row, seq) in page.rows.iter().zip([3, 501, 900]) {
            assert!(row.seq == seq && row.pinned, "{hurt}: {row:?}");
            assert!(
                matches!(&row.content, RowContent::Message { preview, .. } if *preview == seq.to_string())
            );
        }
        history.close().await.expect("closed");
        let again = place.open();
        assert_eq!(*again.damage().borrow(), None, "{hurt}: it was mended");
        assert_eq!(again.stored(profile), 14, "{hurt}");
    }
}

#[tokio::test]
async fn damage_in_what_stays_that_only_a_reader_meets_is_told_and_mended() {
    for hurt in ["pinned = 0 WHERE id & 0xffffffffff = 900", "checksum = 0 WHERE id & 0xffffffffff = 4995"] {
        let (place, profile) = (Place::new(), ProfileId::random());
        with_rows_that_stay(&place, profile).await;
        let history = place.open();
        let file = Connection::open(place.path()).expect("a file");
        assert_eq!(file.execute(&format!("UPDATE kept SET {hurt}"), []).expect("hurt"), 1);
        assert_eq!(*history.damage().borrow(), None, "{hurt}: nobody has looked");
        let all = everything(&history, profile).await;
        let page = history.page(all, 0, 13).await.expect("a page");
        let pinned: Vec<_> = page.rows.iter().filter(|row| row.pinned).map(|row| row.seq).collect();
        assert_eq!(pinned, [3, 900, 4_995], "{hurt}");
        told_as_mended(&history, hurt).await;
        assert_eq!(numbers(&history, all).await, STAY, "{hurt}");
        history.close().await.expect("closed");
        assert_eq!(*place.open().damage().borrow(), None, "{hurt}: it was mended");
    }
}

#[tokio::test]
async fn a_pin_whose_block_is_damaged_says_so_and_that_it_cannot_stay_is_told() {
    let (place, profile) = (Place::new(), ProfileId::random());
    let history = place.open();
    for n in 1..=5_000 {
        put(&*history.sink(profile), item(n, "t", n.to_string())).await;
    }
    history.flush().await.expect("flushed");
    for seq in [3, 4_000] {
        history.pin(profile, seq, true).await.expect("pinned");
    }
    let hurt = "UPDATE block SET payloads = zeroblob(length(payloads)) WHERE id & 0xffffffffff <= 3";
    assert_eq!(Connection::open(place.path()).expect("a file").execute(hurt, []).expect("hurt"), 1);
    let all = everything(&history, profile).await;
    let row = history.page(all, 2, 1).await.expect("a page").rows.remove(0);
    assert!(row.pinned && row.content == RowContent::Damaged, "{row:?}");
    assert_eq!(*history.damage().borrow(), None, "the row says it");
    // There is one copy of a message. Where limits have passed it, there would be nothing left to show.
    history.set_retention(keep_rows(10));
    told_as_mended(&history, hurt).await;
    tidied(&place, &history, 2).await;
    assert_eq!(numbers(&history, all).await, [4_000].into_iter().chain(4_991..=5_000).collect::<Vec<_>>());
    history.close().await.expect("closed");
    assert_eq!(*place.open().damage().borrow(), None, "and that is all that was wrong");
}

/// When what the file says of a topic is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hurt {
    Closed,
    Open,
    /// Limits alone meet it.
    AtRest,
}

/// Bits flip in what the file says of a topic's newest rows. Whenever that is, the message before is the message before, the
/// newest retained message stays, no topic is forgotten that rows have, and it is told.
#[tokio::test]
async fn damage_in_which_rows_are_the_newest_of_a_topic_is_told_and_deceives_nobody() {
    use Hurt::{AtRest, Closed, Open};
    let flipped = |column: &str, bits: i64| format!("{column} = ({column} | {bits}) - ({column} & {bits})");
    for (topic, hurt, when) in [
        ("state", flipped("last_in", 1), Closed),
        ("state", flipped("last_in", 4), Open),
        ("state", flipped("last_in", 1 << 35), Open),
        ("state", flipped("last_out", 2), Closed),
        ("state", flipped("last_out", 1 << 20), Open),
        ("state", flipped("last_retained", 1), Closed),
        ("state", flipped("last_retained", 1), Open),
        ("state", flipped("last_retained", 256), AtRest),
        ("state", "last_retained = 0".into(), Closed),
        ("state", "last_retained = 0".into(), Open),
        ("state", "last_in = 1, last_out = 1".into(), AtRest),
        ("t", "last_in = 1, last_out = 1".into(), AtRest),
        ("t", "newest_checksum = newest_checksum + 1".into(), Open),
    ] {
        let what = format!("{topic}: {hurt}, {when:?}");
        let (place, profile) = (Place::new(), ProfileId::random());
        let mut history = place.open();
        let arrive = async |history: &History, numbers: std::ops::RangeInclusive<i64>| {
            for n in numbers {
                let topic = if n % 5 == 0 { "state" } else { "t" };
                let direction = if n % 2 == 0 { Direction::Out } else { Direction::In };
                let message =
                    Message { direction, retain: n == 505, ..message(n, topic, format!("payload {n}")) };
                put(&*history.sink(profile), Item::Message(message)).await;
            }
            history.flush().await.expect("flushed");
        };
        arrive(&history, 1..=4_000).await;
        // What the writer remembers of a topic it does not read again.
        history.close().await.expect("closed");
        if when != Closed {
            history = place.open();
        }
        let file = Connection::open(place.path()).expect("a file");
        let changed = file.execute(&format!("UPDATE topic SET {hurt} WHERE name = ?1"), [topic]);
        assert_eq!(changed.expect("hurt"), 1, "{what}");
        drop(file);
        if when == Closed {
            history = place.open();
        }
        let mut last = 4_000;
        if when != AtRest {
            last = 5_000;
            arrive(&history, 4_001..=last).await;
            told_as_mended(&history, &what).await;
            for (seq, before) in [(4_005, 3_995), (4_010, 4_000), (4_001, 3_999), (4_002, 3_998)] {
                let detail = history.detail(profile, seq).await.expect("a message");
                assert_eq!(detail.previous_seq, Some(before), "{what}: before {seq}");
            }
        }
        history.set_retention(keep_rows(900));
        until(&history, || async { history.stored(profile) <= 901 }).await;
        tidied(&place, &history, 4).await;
        told_as_mended(&history, &what).await;
        let all = everything(&history, profile).await;
        let expected: Vec<_> = [505].into_iter().chain(last - 899..=last).collect();
        assert_eq!(numbers(&history, all).await, expected, "{what}");
        let payloads: Vec<_> = expected.iter().map(|n| format!("payload {n}")).collect();
        assert_eq!(shown(&history, all).await, payloads, "{what}: topics have their names");
        history.close().await.expect("closed");
        assert_eq!(*place.open().damage().borrow(), None, "{what}: it was mended");
    }
}

#[tokio::test]
async fn what_cannot_be_mended_is_no_reason_to_store_nothing() {
    let (place, profile) = (Place::new(), ProfileId::random());
    with_rows_that_stay(&place, profile).await;
    let history = place.open();
    let all = everything(&history, profile).await;
    let before = history.page(all, 0, 0).await.expect("a page").count.rows;
    let file = Connection::open(place.path()).expect("a file");
    let root = "SELECT (rootpage - 1) * page_size, page_size FROM sqlite_schema, pragma_page_size WHERE name = 'topic_retained'";
    let (start, size): (u32, u32) =
        file.query_row(root, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("an index");
    let checkpoint = || file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("written");
    checkpoint();
    let mut pages = std::fs::OpenOptions::new().write(true).open(place.path()).expect("a file");
    pages.seek(SeekFrom::Start(start.into())).expect("its place");
    pages.write_all(&vec![0xa5; size as usize]).expect("written");
    // What others write makes everybody read the file again.
    file.execute("UPDATE kept SET checksum = checksum + 1", []).expect("damaged");
    checkpoint();

    history.page(all, 0, 10).await.expect("a page");
    put(&*history.sink(profile), item(9_999_999, "t", "after")).await;
    history.flush().await.expect("it can be written");
    assert_eq!(history.page(all, 0, 0).await.expect("a page").count.rows, before + 1, "in the same file");
}

#[tokio::test]
async fn damage_in_the_index_of_retained_messages_is_told_and_lets_none_go() {
    let (place, profile) = (Place::new(), ProfileId::random());
    let history = place.open();
    for n in 1..=3_000 {
        let stays = n == 501;
        put(&*history.sink(profile), if stays { retained(n, "state", "501") } else { item(n, "t", "x") })
            .await;
    }
    history.close().await.expect("closed");
    let place_of = "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema
                    WHERE name = 'topic_retained'";
    let (root, size): (u32, u32) = Connection::open(place.path())
        .expect("a file")
        .query_row(place_of, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("an index");
    let mut bytes = std::fs::read(place.path()).expect("read");
    let page = &mut bytes[((root - 1) * size) as usize..(root * size) as usize];
    let number = 501_u16.to_be_bytes();
    let at = page.windows(2).position(|found| found == number).expect("its number");
    page[at + 1] ^= 8;
    std::fs::write(place.path(), bytes).expect("written");

    let history = place.open();
    assert!(history.damage().borrow().is_some(), "it is told");
    history.set_retention(keep_rows(10));
    tidied(&place, &history, 2).await;
    let all = everything(&history, profile).await;
    assert_eq!(numbers(&history, all).await, [501].into_iter().chain(2_991..=3_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_earlier_versions_pinned_is_pinned_and_checked_from_now_on() {
    let (place, profile) = (Place::new(), ProfileId::random());
    {
        let mut connection = Connection::open(place.path()).expect("a file");
        connection.pragma_update(None, "application_id", 0x4845_4C49).expect("ours");
        store::migrations().to_version(&mut connection, 3).expect("the third version");
        let setup = "INSERT INTO profile VALUES (3, ?1, 11, 20, 11, 0, 2, 0)";
        connection.execute(setup, [profile.to_string()]).expect("a profile");
        connection.execute("INSERT INTO topic VALUES (1, 3, 't', 20, 0, 7)", []).expect("a topic");
        let write = |first: Seq, rows: Seq| {
            let mut builder = block::Builder::new(first, first);
            for seq in first..first + rows {
                let payload = seq.to_string().into_bytes();
                builder.push(&block::NewRow {
                    time: seq,
                    flags: if seq == 7 { 8 } else { 0 },
                    topic: 1,
                    back: 0,
                    properties: &[],
                    payload: &payload,
                });
            }
            store::write_block(&connection, 3, &builder, 0).expect("a block");
        };
        write(5, 1);
        write(7, 1);
        write(11, 10);
        for (seq, pinned) in [(5, 1), (7, 0), (15, 1)] {
            let key = store::key(3, seq);
            connection.execute("INSERT INTO kept VALUES (?1, 1, ?2)", [key, pinned]).expect("it stays");
        }
        store::migrations().to_version(&mut connection, 4).expect("the fourth version");
    }
    let history = place.open();
    assert_eq!(*history.damage().borrow(), None);
    let all = everything(&history, profile).await;
    let page = history.page(all, 0, 100).await.expect("a page");
    let shown: Vec<_> = page.rows.iter().map(|row| (row.seq, row.pinned)).collect();
    let dense = (11..=20).map(|seq| (seq, seq == 15));
    assert_eq!(shown, [(5, true), (7, false)].into_iter().chain(dense).collect::<Vec<_>>());
    history.close().await.expect("closed");
    let file = Connection::open(place.path()).expect("a file");
    file.execute("UPDATE kept SET pinned = 1 WHERE id = ?1", [store::key(3, 7)]).expect("hurt");
    assert!(place.open().damage().borrow().is_some(), "it has a checksum");
}

fn subscription(filter: &str, live_only: bool) -> crate::profile::Subscription {
    crate::profile::Subscription { filter: filter.into(), enabled: true, live_only, ..Default::default() }
}

#[tokio::test]
async fn what_is_live_only_is_shown_counted_bounded_and_never_in_the_file() {
    let place = Place::new();
    let profile = ProfileId::random();
    let history = place.open();
    let split = history.split(profile);
    let off = crate::profile::Subscription { enabled: false, ..subscription("noisy/off", false) };
    split.follow(&[subscription("noisy/#", true), subscription("+/both", false), off]);
    let canary = "canary-that-is-nowhere-on-the-disk";
    let mut batch: VecDeque<_> = (0..30_000)
        .map(|n| match n % 3 {
            0 => item(n, "noisy/1", format!("{canary} {n}")),
            1 => item(n, "noisy/both", format!("stored {n}")),
            _ => item(n, "quiet", format!("stored {n}")),
        })
        .collect();
    batch.push_back(item(30_000, "noisy/off", canary));
    batch.push_back(Item::Message(Message {
        direction: Direction::Out,
        ..message(30_001, "noisy/1", "stored, since we sent it")
    }));
    while !batch.is_empty() {
        split.accept_batch(&mut batch);
        if !batch.is_empty() {
            split.room().await;
        }
    }
    history.flush().await.expect("flushed");
    assert_eq!((history.stored(profile), history.live_only(profile)), (20_001, 10_001));
    let live = RowFilter { live: true, ..RowFilter::default() };
    let (view, count) = history.open_view(profile, live.clone()).await.expect("a view");
    assert_eq!((count.rows, count.stored), (10_000, 10_000), "the newest");
    let page = history.tail(view, 2, None).await.expect("a page");
    let newer = history.tail(view, 2, Some(page.rows[0].seq)).await.expect("a page");
    assert_eq!((newer.start, &newer.rows[..]), (page.start + 1, &page.rows[1..]));
    assert_eq!(page.start, 9_998);
    assert!(matches!(&page.rows[1].content, RowContent::Message { topic, .. } if topic == "noisy/off"));
    let seq = page.rows[0].seq;
    let detail = history.detail(profile, seq).await.expect("a message");
    assert_eq!(detail.previous_seq, Some(seq - 1));
    assert_eq!(history.payload(profile, seq, 7, 4).await.expect("a payload"), b"that");
    assert_eq!(history.index_of(view, seq).await.expect("looked up"), Some(9_998));
    assert_eq!(history.index_at(view, 29_997).await.expect("looked up"), 9_998);
    let file = place.folder.path().join("payload");
    assert_eq!(history.save_payload(profile, seq, &file).await.expect("saved"), canary.len() as u64 + 6);
    assert!(history.pin(profile, seq, true).await.is_err(), "what is not stored is not kept");
    let filtered = RowFilter { text: "CANARY".into(), topics: vec!["noisy/1".into()], ..live.clone() };
    assert_eq!(history.open_view(profile, filtered).await.expect("a view").1.rows, 9_999);
    let (json, _) =
        history.open_view(profile, RowFilter { json: "$.a > 1".into(), ..live }).await.expect("a view");
    put(&*split, item(40_000, "noisy/1", r#"{"a":2}"#)).await;
    assert_eq!(history.page(json, 0, 5).await.expect("a page").rows.len(), 1);
    assert_eq!(
        history.tail(view, 1, None).await.expect("a page").count.origin,
        1,
        "one has left at the beginning"
    );

    for name in ["messages.db", "messages.db-wal"] {
        let bytes = std::fs::read(place.folder.path().join(name)).expect("a file");
        assert!(memchr::memmem::find(&bytes, b"canary").is_none(), "{name}");
    }
    // A payload that is bigger than all that is held goes in, and the others give way.
    put(&*split, item(50_000, "noisy/1", vec![0; 65 << 20])).await;
    assert_eq!(history.page(view, 0, 9).await.expect("a page").rows.len(), 1);
    history.clear(profile).await.expect("cleared");
    assert_eq!(history.page(view, 0, 9).await.expect("a page").rows.len(), 0);
    split.follow(&[subscription("noisy/#", false)]);
    put(&*split, item(50_001, "noisy/1", "stored from now on")).await;
    history.flush().await.expect("flushed");
    assert_eq!(history.stored(profile), 1);
}

#[tokio::test]
async fn a_full_queue_keeps_what_is_live_only_in_order_with_the_rest() {
    let place = Place::new();
    let profile = ProfileId::random();
    let history = place.open_bounded(2, 1 << 20);
    let split = history.split(profile);
    split.follow(&[subscription("live", true)]);
    let total = 3_000;
    let mut batch: VecDeque<_> =
        (0..total).map(|n| item(n, if n % 2 == 0 { "live" } else { "stored" }, n.to_string())).collect();
    while !batch.is_empty() {
        let before = batch.len();
        split.accept_batch(&mut batch);
        if batch.len() == before {
            split.room().await;
        }
    }
    history.flush().await.expect("flushed");
    for (filter, parity) in [(RowFilter { live: true, ..RowFilter::default() }, 0), (RowFilter::default(), 1)]
    {
        let (view, _) = history.open_view(profile, filter).await.expect("a view");
        let page = history.page(view, 0, PAGE_ROWS).await.expect("a page");
        assert_eq!(page.count.rows, 1_500);
        assert!(page.rows.iter().enumerate().all(|(at, row)| row.time == 2 * at as i64 + parity));
    }
}

#[tokio::test]
async fn payloads_of_any_kind_are_compared() {
    let place = Place::new();
    let profile = ProfileId::random();
    let history = place.open();
    let split = history.split(profile);
    split.follow(&[subscription("live", true)]);
    let one = noise(5 << 20);
    let mut other = one.clone();
    other[3 << 20] ^= 1;
    other.truncate(other.len() - 10);
    for (topic, payload) in [("t", &one[..]), ("t", &other), ("t", b"small"), ("live", &one)] {
        put(&*split, item(0, topic, payload.to_vec())).await;
    }
    history.flush().await.expect("flushed");
    let found = history.compare(profile, 1, 2).await.expect("compared");
    assert_eq!(
        (found.size_a, found.size_b, found.differing, found.stretches),
        (5 << 20, (5 << 20) - 10, 11, 2)
    );
    let next = history.find_difference(profile, 1, 2, Seek::Next(0)).await.expect("looked for").expect("one");
    assert_eq!((next.start, next.end), (3 << 20, (3 << 20) + 1));
    let last = history
        .find_difference(profile, 2, 1, Seek::Previous(u64::MAX))
        .await
        .expect("looked for")
        .expect("one");
    assert_eq!((last.start, last.end), ((5 << 20) - 10, 5 << 20));
    assert_eq!(history.compare(profile, 3, 3).await.expect("compared").first, None);
    let live = RowFilter { live: true, ..RowFilter::default() };
    let (view, _) = history.open_view(profile, live).await.expect("a view");
    let seq = history.tail(view, 1, None).await.expect("a page").rows[0].seq;
    assert_eq!(history.compare(profile, seq, 1).await.expect("compared").differing, 0);
    assert!(history.compare(profile, 1, 99).await.is_err());
}
