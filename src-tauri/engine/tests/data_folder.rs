//! The data folder when things go wrong around it: a process that is killed while it writes, two processes at
//! once, files that are damaged, locked or cannot be written, a disk that is full.

mod disks;

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use disks::Disk;
use heliograph_engine::Engine;
use heliograph_engine::engine::EngineEvent;
use heliograph_engine::error::{Error, ErrorCode};
use heliograph_engine::history::{
    ExportOrder, History, PAGE_ROWS, RetentionRules, Row, RowContent, RowFilter, Seq, StorageHealth,
    ViewCount,
};
use heliograph_engine::library::Library;
use heliograph_engine::message::{Direction, Item, Message, MessageProperties, MessageSink};
use heliograph_engine::profile::{Profile, ProfileId, Qos, Retention, Settings, Subscription};
use heliograph_engine::recording::RecordingFormat;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const BOUND: Duration = Duration::from_secs(60);

/// The connection that the processes share.
const SHARED: &str = "6f1c3c1e-93f5-4c1c-8b0c-5a0d3f1f7a11";

#[tokio::test]
async fn a_process_that_is_killed_while_it_writes_leaves_whole_files() {
    let folder = tempfile::tempdir().expect("folder");
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let (mut promised, mut saved) = (0, BTreeSet::new());
    for _ in 0..kills() {
        turn(&mut random);
        let (mut child, mut lines) = spawn("store", folder.path(), "");
        let mut told = 0;
        for _ in 0..random % 12 + 1 {
            told = number(&mut lines);
            saved.insert(told.to_string());
        }
        // It is in the middle of the next batch now.
        child.kill().expect("killed");
        child.wait().expect("ended");

        let history = History::open(&folder.path().join("messages.db")).expect("the history opens");
        let stored = history.stored(shared());
        assert!(stored >= told && told > promised, "{told} were promised, {stored} are there");
        promised = stored;
        let (view, count) = history.open_view(shared(), RowFilter::default()).await.expect("a view");
        assert_eq!(count.rows, stored);
        let mut next = 0;
        while next < stored {
            let page = history.page(view, next, PAGE_ROWS).await.expect("a page");
            for row in page.rows {
                next += 1;
                assert_eq!(row.seq.unsigned_abs(), next);
                let RowContent::Message { preview, size, .. } = row.content else {
                    unreachable!("a message")
                };
                assert!(preview.starts_with(&format!("{next} ")) && size == payload(next).len() as u64);
            }
        }
        let last = history.payload(shared(), i64::try_from(stored).expect("small"), 0, 1 << 20).await;
        assert_eq!(last.expect("the last payload"), payload(stored));
        history.close().await.expect("closed");
        let library = Library::open(&folder.path().join("heliograph.db")).expect("the library opens");
        let there =
            library.tree().expect("a tree").profiles.into_iter().map(|profile| profile.name).collect();
        assert!(saved.is_subset(&there), "{:?}", saved.difference(&there));
        for file in ["messages.db", "heliograph.db"] {
            let connection = Connection::open(folder.path().join(file)).expect("opened");
            let found: String =
                connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
            assert_eq!(found, "ok", "{file}");
        }
    }
}

/// Kills at any moment, while blocks grow, limits let rows go and some of those stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_while_limits_bite_loses_no_more_than_a_moment() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("messages.db");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut pinned, mut trimmed, mut longest) = (Vec::new(), 0, Duration::ZERO);
    for _ in 0..kills() {
        let (mut child, mut lines) = spawn("flow", folder.path(), "");
        let mut told: Vec<(u64, Instant)> = Vec::new();
        // Long enough for limits to bite, and then at any moment.
        turn(&mut random);
        let end = Duration::from_micros(200_000 + random % 300_000);
        let mut began = None;
        let mut line = String::new();
        while began.is_none_or(|began: Instant| began.elapsed() < end) {
            line.clear();
            assert!(lines.read_line(&mut line).expect("a line") > 0, "the other process ended early");
            let now = Instant::now();
            if let Some(n) = number_in(&line, "told ") {
                began.get_or_insert(now);
                told.push((n, now));
            } else if let Some(n) = number_in(&line, "pinned ") {
                pinned.push(n);
            }
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        let killed = Instant::now();

        let history = History::open(&path).expect("the history opens");
        let (view, count) = history.open_view(shared(), RowFilter::default()).await.expect("a view");
        let mut numbers = Vec::new();
        while (numbers.len() as u64) < count.rows {
            let page = history.page(view, numbers.len() as u64, PAGE_ROWS).await.expect("a page");
            assert!(!page.rows.is_empty(), "a row for each index");
            for row in page.rows {
                let n = row.seq.unsigned_abs();
                let RowContent::Message { preview, size, .. } = row.content else {
                    unreachable!("a message")
                };
                assert!(preview.starts_with(&format!("{n} ")) && size == flow_payload(n).len() as u64, "{n}");
                assert!(
                    if row.pinned { n.is_multiple_of(PINNED_EVERY) } else { !pinned.contains(&n) },
                    "{n}"
                );
                // Pinned in the last moment, and not told any more.
                if row.pinned && !pinned.contains(&n) {
                    pinned.push(n);
                }
                numbers.push(n);
            }
        }
        let last = *numbers.last().expect("some are there");
        let kept = numbers.len() - usize::try_from(count.kept).expect("few");
        assert!(numbers[kept.max(1)..].is_sorted() && numbers.is_sorted_by(|a, b| a < b));
        let dense = &numbers[usize::try_from(count.kept).expect("few")..];
        assert_eq!(dense.last().expect("some") - dense[0] + 1, dense.len() as u64, "no gaps");
        assert!(dense.len() as u64 <= FLOW_ROWS, "the limit holds: {}", dense.len());
        trimmed = trimmed.max(dense[0]);
        for n in &pinned {
            assert!(numbers.contains(n), "{n} was pinned");
        }
        let retained = last - last % RETAINED_EVERY;
        assert!(retained == 0 || numbers.contains(&retained), "{retained} is the newest retained one");
        for n in pinned.iter().chain([&last, &(last - last % BIG_EVERY)]) {
            if numbers.contains(n) {
                let seq = i64::try_from(*n).expect("small");
                let payload = history.payload(shared(), seq, 0, 1 << 20).await.expect("a payload");
                assert!(payload == flow_payload(*n), "{n}");
            }
        }
        // What was handed over before this moment is there.
        if let Some((_, lost)) = told.iter().find(|(n, _)| *n > last) {
            longest = longest.max(killed - *lost);
        }
        history.close().await.expect("closed");
        let connection = Connection::open(&path).expect("opened");
        let found: String =
            connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
        assert_eq!(found, "ok");
    }
    println!(
        "{} kills: at most the last {} ms lost, {} pinned rows",
        kills(),
        longest.as_millis(),
        pinned.len()
    );
    assert!(trimmed > 1 && !pinned.is_empty(), "limits have to bite, and something to be pinned");
    // 250 ms are promised where others leave the processor alone.
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_at_once_lose_nothing_and_see_each_other() {
    let folder = tempfile::tempdir().expect("folder");
    let engine = Engine::open(folder.path()).expect("opened");
    let library = Library::open(&folder.path().join("heliograph.db")).expect("opened");
    library.save(&profile(shared(), "shared"), None).expect("saved");

    let mut children = ["north", "south"].map(|name| spawn("edit", folder.path(), name));
    for (child, lines) in &mut children {
        assert_eq!(number(lines), 0, "the history was never refused");
        assert!(child.wait().expect("ended").success());
    }

    let tree = engine.library_tree().expect("a tree");
    assert_eq!(tree.profiles.len() as u64, 1 + 2 * EDITS);
    let filters = engine.profile(shared()).expect("there").settings.subscriptions;
    assert_eq!(filters.len() as u64, 2 * EDITS, "edits of one connection by both are all there");
    let told = async {
        while !engine.events().await.iter().any(|event| matches!(event, EngineEvent::LibraryChanged)) {}
    };
    tokio::time::timeout(BOUND, told).await.expect("the third process is told");

    let open = engine.open_view(shared(), RowFilter::default()).await.expect("a view");
    assert_eq!(open.count.rows, 2 * STORED);
    let mut next = [1, 1];
    for start in (0..2 * STORED).step_by(PAGE_ROWS as usize) {
        for row in engine.page(open.view, start, PAGE_ROWS).await.expect("a page").rows {
            let RowContent::Message { topic, preview, .. } = row.content else { unreachable!("a message") };
            let next = &mut next[usize::from(topic == "south")];
            assert!(preview.starts_with(&format!("{next} ")), "in order within each process");
            *next += 1;
        }
    }
    assert_eq!(next, [STORED + 1; 2]);
    engine.close().await;
}

#[tokio::test]
async fn an_editor_that_was_open_meanwhile_undoes_no_subscription() {
    let folder = tempfile::tempdir().expect("folder");
    let engine = Engine::open(folder.path()).expect("opened");
    let mut draft = engine.new_draft();
    draft.name = "one".into();
    draft.endpoint.host = "broker.example".into();
    let id = engine.save_profile(draft.clone(), None, Vec::new()).await.expect("saved").id;
    engine.save_subscription(id, subscription("a/#")).await.expect("saved");
    draft.name = "two".into();
    assert_eq!(
        engine.save_profile(draft, None, Vec::new()).await.expect("saved").settings.subscriptions.len(),
        1
    );
    let saved = engine.profile(id).expect("there");
    assert_eq!((saved.name.as_str(), saved.settings.subscriptions[0].filter.as_str()), ("two", "a/#"));
    engine.close().await;
}

#[tokio::test]
async fn damage_is_said_at_the_start_and_nothing_is_overwritten() {
    for file in ["heliograph.db", "messages.db"] {
        for what in ["other bytes", "a torn header", "a torn schema"] {
            let folder = filled().await;
            let path = folder.path().join(file);
            let mut bytes = std::fs::read(&path).expect("read");
            match what {
                "other bytes" => bytes = b"not a database at all ".repeat(500),
                "a torn header" => bytes[20..60].fill(0xff),
                _ => bytes[100..4096].fill(0xa5),
            }
            std::fs::write(&path, &bytes).expect("written");
            let error = refused(folder.path());
            assert_eq!(error.details["reason"], "not_a_database", "{what}: {error}");
            assert_eq!(error.details["path"], path.display().to_string());
            assert!(error.message.contains("move it away"), "{error}");
            assert!(std::fs::read(&path).expect("read") == bytes, "{file} with {what} is as it was");
        }
    }
    // Deeper damage in the library, which is small enough to be looked through.
    let folder = filled().await;
    let path = folder.path().join("heliograph.db");
    let mut bytes = std::fs::read(&path).expect("read");
    let page = bytes.len() - 4096;
    bytes[page..].fill(0xa5);
    std::fs::write(&path, &bytes).expect("written");
    assert_eq!(refused(folder.path()).details["reason"], "not_a_database");
    assert!(std::fs::read(&path).expect("read") == bytes);
}

#[tokio::test]
async fn a_file_that_another_program_holds_is_said_to_be_in_use() {
    let folder = filled().await;
    let holder = Connection::open(folder.path().join("messages.db")).expect("opened");
    holder.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").expect("held");
    let error = refused(folder.path());
    assert_eq!(error.details["reason"], "locked", "{error}");
    assert!(error.message.contains("in use by another program"), "{error}");
    drop(holder);
    Engine::open(folder.path()).expect("free again").close().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let Some(disk) = Disk::of("4m") else { return };
    fill(&disk.path().join("data")).await;
    disk.mount_again("remount,ro");
    let error = refused(&disk.path().join("data"));
    assert_eq!(error.details["reason"], "no_permission", "{error}");
    let error = refused(&disk.path().join("new"));
    assert_eq!(error.details["reason"], "no_permission", "{error}");
    assert!(error.message.contains("check the permissions"), "{error}");
    disk.mount_again("remount,rw");
    let engine = Engine::open(&disk.path().join("data")).expect("writable again");
    assert_eq!(engine.library_tree().expect("a tree").profiles.len(), 1);
    engine.close().await;
}

#[tokio::test]
async fn a_full_disk_is_named_and_costs_nothing_that_was_there() {
    let Some(disk) = Disk::of("2m") else { return };
    let data = disk.path().join("data");
    fill(&data).await;
    let rest = disk.fill();
    let error = refused(&data);
    assert_eq!(error.details["reason"], "full", "{error}");
    assert_eq!(refused(&disk.path().join("new")).details["reason"], "full");

    std::fs::remove_file(&rest).expect("removed");
    let engine = Engine::open(&data).expect("there is room again");
    let history = History::open(&data.join("messages.db")).expect("opened");
    disk.fill();
    let file = disk.path().join("payload.bin");
    let error = engine.save_message_payload(shared(), 1, &file).await.expect_err("full");
    assert_eq!(error.code, ErrorCode::File);
    assert!(error.message.contains("no room left"), "{error}");
    let names: Vec<_> = std::fs::read_dir(disk.path())
        .expect("listed")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "data" && name != "rest" && name != "new")
        .collect();
    assert!(names.is_empty(), "no part is left: {names:?}");
    let error = engine.create_folder("no room").expect_err("full");
    assert_eq!((error.code, &error.details["reason"]), (ErrorCode::Storage, &"full".into()), "{error}");
    let sink = history.sink(shared());
    for n in 2..200 {
        put(&*sink, n).await;
    }
    let error = history.flush().await.expect_err("full");
    assert_eq!(error.details["reason"], "full", "{error}");

    std::fs::remove_file(&rest).expect("removed");
    let mut health = history.health();
    let well = health.wait_for(|health| *health == StorageHealth::Ok);
    tokio::time::timeout(BOUND, well).await.expect("in time").expect("told");
    history.flush().await.expect("written after all");
    assert_eq!(history.stored(shared()), 199);
    engine.create_folder("room").expect("room");
    assert_eq!(
        engine.save_message_payload(shared(), 1, &file).await.expect("saved"),
        payload(1).len() as u64
    );
    assert_eq!(std::fs::read(&file).expect("read"), payload(1));
    history.close().await.expect("closed");
    engine.close().await;
}

/// Every row by its number, and which of them cannot be read.
async fn numbers(history: &History) -> (Vec<u64>, Vec<u64>) {
    let (view, count) = history.open_view(shared(), RowFilter::default()).await.expect("a view");
    let (mut all, mut damaged) = (Vec::new(), Vec::new());
    while (all.len() as u64) < count.rows {
        let page = history.page(view, all.len() as u64, PAGE_ROWS).await.expect("a page");
        assert!(!page.rows.is_empty(), "a row for each index");
        for row in page.rows {
            let n = row.seq.unsigned_abs();
            all.push(n);
            match row.content {
                RowContent::Message { preview, .. } => assert!(preview.starts_with(&format!("{n} ")), "{n}"),
                RowContent::Damaged => damaged.push(n),
                RowContent::Event { .. } => unreachable!("a message"),
            }
        }
    }
    (all, damaged)
}

#[tokio::test]
async fn a_small_disk_holds_what_limits_leave_and_a_full_one_goes_on_where_it_was() {
    let Some(disk) = Disk::of("12m") else { return };
    let path = disk.path().join("messages.db");
    let history = History::open(&path).expect("opened");
    let each = Retention { max_bytes: Some(1_500_000), ..Retention::default() };
    history.set_retention(RetentionRules { each, ..RetentionRules::default() });
    let sink = history.sink(shared());
    let noise = |n: u64| {
        let mut payload = vec![0; if n.is_multiple_of(100) { 40_000 } else { 1_000 }];
        getrandom::fill(&mut payload).expect("noise");
        // Text, and still nothing that compresses.
        payload.iter_mut().for_each(|byte| *byte = b'0' + *byte % 64);
        payload.splice(..0, format!("{n} ").into_bytes());
        payload
    };
    // Four times what fits, blocks and big payloads. It waits for the disk, as a session does.
    let mut n = 0;
    while n < 36_000 {
        n += 1;
        put_item(&*sink, message("t", n, noise(n))).await;
        if n.is_multiple_of(500) {
            history.flush().await.expect("there is room, since limits make it");
            if n == 1_000 {
                history.pin(shared(), 1_000, true).await.expect("pinned");
            }
        }
    }
    assert_eq!(*history.health().borrow(), StorageHealth::Ok);
    // At its limit the file needs no more room than it has. Without one it does.
    let each = Retention { max_bytes: None, ..Retention::default() };
    history.set_retention(RetentionRules { each, ..RetentionRules::default() });
    let rest = disk.fill();
    let mut told = false;
    for _ in 0..40 {
        for _ in 0..100 {
            n += 1;
            put_item(&*sink, message("t", n, noise(n))).await;
        }
        if let Err(error) = history.flush().await {
            assert_eq!(error.details["reason"], "full", "{error}");
            told = true;
            break;
        }
    }
    assert!(told, "the disk is full");
    std::fs::remove_file(&rest).expect("removed");
    let mut health = history.health();
    let well = health.wait_for(|health| *health == StorageHealth::Ok);
    tokio::time::timeout(BOUND, well).await.expect("in time").expect("told");
    history.flush().await.expect("written after all");
    let (all, damaged) = numbers(&history).await;
    assert_eq!((all[0], *all.last().expect("some"), damaged.len()), (1_000, n, 0));
    assert_eq!(n - all[1] + 1, all.len() as u64 - 1, "no gaps");
    assert_eq!(history.payload(shared(), 1_000, 0, 1 << 20).await.expect("a payload").len(), 40_005);
    history.close().await.expect("closed");
}

#[tokio::test]
async fn a_file_that_is_locked_for_a_while_costs_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("messages.db");
    let history = History::open(&path).expect("opened");
    let sink = history.sink(shared());
    let holder = Connection::open(&path).expect("opened");
    for n in 1..=3_000 {
        if n == 1_500 {
            holder.execute_batch("BEGIN IMMEDIATE").expect("held");
        }
        put(&*sink, n).await;
    }
    let error = history.flush().await.expect_err("it is locked");
    assert_eq!(error.details["reason"], "locked", "{error}");
    let health = history.health().borrow().clone();
    assert!(
        matches!(health, StorageHealth::Failing { error } if error.message.contains("in use by another program"))
    );
    assert!(numbers(&history).await.0.len() < 3_000, "reading goes on");
    holder.execute_batch("ROLLBACK").expect("let go");
    let mut health = history.health();
    let well = health.wait_for(|health| *health == StorageHealth::Ok);
    tokio::time::timeout(BOUND, well).await.expect("in time").expect("told");
    history.flush().await.expect("written after all");
    assert_eq!(numbers(&history).await.0, (1..=3_000).collect::<Vec<_>>());
    history.close().await.expect("closed");
}

#[tokio::test]
async fn damage_in_blocks_is_said_where_it_is_and_the_rest_is_there() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("messages.db");
    let history = History::open(&path).expect("opened");
    for n in 1..=20_000 {
        put_on(&*history.sink(shared()), if n < 10_000 { "a" } else { "b" }, n).await;
    }
    history.flush().await.expect("flushed");
    history.pin(shared(), 12, true).await.expect("pinned");
    history.close().await.expect("closed");
    // Bits of blocks flip, a bit each, anywhere in them, heads and payloads alike.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut hurt = Vec::new();
    {
        let connection = Connection::open(&path).expect("opened");
        let blocks: Vec<(i64, u64, u64)> = connection
            .prepare("SELECT id, id & 0xffffffffff, rows FROM block ORDER BY id")
            .expect("asked")
            .query_map([], |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs(), row.get::<_, i64>(2)?.unsigned_abs()))
            })
            .expect("asked")
            .collect::<Result<_, _>>()
            .expect("blocks");
        assert!(blocks.len() > 60, "{}", blocks.len());
        for (at, (id, first, rows)) in blocks.iter().enumerate() {
            if at % 7 != 0 {
                continue;
            }
            turn(&mut random);
            let column = if random & 1 == 0 { "heads" } else { "payloads" };
            let mut bytes: Vec<u8> = connection
                .query_row(&format!("SELECT {column} FROM block WHERE id = ?1"), [id], |row| row.get(0))
                .expect("bytes");
            let place = usize::try_from(random >> 8).expect("a place") % bytes.len();
            bytes[place] ^= 1 << (random >> 1 & 7);
            connection
                .execute(
                    &format!("UPDATE block SET {column} = ?2 WHERE id = ?1"),
                    rusqlite::params![id, bytes],
                )
                .expect("flipped");
            hurt.extend(*first..*first + *rows);
        }
    }
    let history = History::open(&path).expect("it opens");
    let (all, damaged) = numbers(&history).await;
    assert_eq!(all, (1..=20_000).collect::<Vec<_>>(), "every row has its place");
    assert_eq!(damaged, hurt, "and what is damaged says so");
    let error = history.payload(shared(), 12, 0, 10).await.expect_err("damaged");
    assert_eq!(error.details["reason"], "damaged_messages", "{error}");
    assert!(error.message.contains("Messages elsewhere in it can be read"), "{error}");
    let filter = RowFilter { text: "xx".into(), ..RowFilter::default() };
    let (view, _) = history.open_view(shared(), filter).await.expect("a view");
    let mut changes = history.changes();
    let count = loop {
        let count = history.page(view, 0, 0).await.expect("a page").count;
        if count.searched == count.stored {
            break count;
        }
        tokio::time::timeout(BOUND, changes.changed()).await.expect("in time").expect("it lives");
    };
    assert_eq!((count.rows, count.damaged), (20_000 - hurt.len() as u64, hurt.len() as u64));
    let file = folder.path().join("rest.ndjson");
    let order =
        ExportOrder { profile: shared(), filter: RowFilter::default(), format: RecordingFormat::Ndjson };
    let exported =
        history.export(order, &file, Arc::default(), CancellationToken::new()).await.expect("exported");
    assert_eq!((exported.messages, exported.damaged), (20_000 - hurt.len() as u64, hurt.len() as u64));
    // What arrives is stored, and limits let go of what is damaged as of anything else; a pin holds nothing that
    // cannot be read.
    let each = Retention { max_rows: Some(100), max_bytes: None, max_age_s: Some(1) };
    history.set_retention(RetentionRules { each, ..RetentionRules::default() });
    for n in 20_001..=20_500 {
        put(&*history.sink(shared()), n).await;
    }
    history.flush().await.expect("flushed");
    while history.stored(shared()) > 100 {
        tokio::time::timeout(BOUND, changes.changed()).await.expect("in time").expect("it lives");
    }
    history.close().await.expect("closed");
}

/// What was stored before bytes flipped, by row.
struct Truth {
    rows: HashMap<Seq, Message>,
    /// The rows that the file has, in the order of the list.
    seqs: Vec<Seq>,
    /// Which of them are pinned.
    pinned: Vec<Seq>,
}

/// A file with everything in it that there is: small and big payloads, many topics, properties, rows that limits have
/// passed and that stay, and room that is free.
async fn full_of_everything(path: &Path) -> Truth {
    let history = History::open(path).expect("opened");
    let sink = history.sink(shared());
    let mut rows = HashMap::new();
    for n in 1..=6_000_u64 {
        let size = if n.is_multiple_of(457) { 17_000 + n * 11 } else { 40 + n % 200 };
        let mut payload = format!("{n} needle ").into_bytes();
        let mut random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        while (payload.len() as u64) < size {
            turn(&mut random);
            payload.push(b'a' + (random % 26) as u8);
        }
        let content_type = n.is_multiple_of(3).then(|| format!("text/{n}"));
        let properties = content_type.map(|content_type| {
            Box::new(MessageProperties { content_type: Some(content_type), ..MessageProperties::default() })
        });
        let message = Message {
            time: 1_700_000_000_000_000 + i64::try_from(n).expect("small") * 1_000,
            direction: if n.is_multiple_of(5) { Direction::Out } else { Direction::In },
            topic: format!("plant/{}", n % 300),
            payload: Bytes::from(payload),
            qos: Qos::try_from((n % 3) as u8).expect("a QoS"),
            retain: n.is_multiple_of(97),
            dup: n.is_multiple_of(31),
            properties,
        };
        put_item(&*sink, Item::Message(message.clone())).await;
        rows.insert(i64::try_from(n).expect("small"), message);
        if n == 1_000 {
            history.flush().await.expect("flushed");
            for seq in [7, 457, 900] {
                history.pin(shared(), seq, true).await.expect("pinned");
            }
        }
    }
    history.flush().await.expect("flushed");
    history.pin(shared(), 5_000, true).await.expect("pinned");
    let each = Retention { max_rows: Some(4_500), ..Retention::default() };
    history.set_retention(RetentionRules { each, ..RetentionRules::default() });
    history.flush().await.expect("flushed");
    let mut changes = history.changes();
    while history.stored(shared()) > 4_600 {
        timeout(changes.changed()).await.expect("it lives");
    }
    let seqs = everything(&history).await.expect("readable").into_iter().map(|row| row.seq).collect();
    history.close().await.expect("closed");
    Truth { rows, seqs, pinned: vec![7, 457, 900, 5_000] }
}

async fn timeout<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, what).await.expect("in time")
}

/// Every row of the list; an error is an answer too.
async fn everything(history: &History) -> Result<Vec<Row>, Error> {
    list(history, RowFilter::default()).await.map(|(rows, _)| rows)
}

async fn list(history: &History, filter: RowFilter) -> Result<(Vec<Row>, ViewCount), Error> {
    let (view, mut count) = history.open_view(shared(), filter).await?;
    let mut changes = history.changes();
    let mut rows: Vec<Row> = Vec::new();
    let read = async {
        while count.searched < count.stored {
            let _ = tokio::time::timeout(Duration::from_millis(50), changes.changed()).await;
            count = history.page(view, 0, 0).await?.count;
        }
        while (rows.len() as u64) < count.rows {
            let page = history.page(view, rows.len() as u64, PAGE_ROWS).await?;
            assert!(!page.rows.is_empty(), "a row for each index");
            rows.extend(page.rows);
        }
        Ok(())
    };
    let read = timeout(read).await;
    history.close_view(view);
    read.map(|()| (rows, count))
}

impl Truth {
    /// Whether a row that is shown is what was stored; one that says that it is damaged is no lie.
    fn knows(&self, row: &Row) -> bool {
        let RowContent::Message { direction, topic, qos, retain, dup, size, preview, content_type, .. } =
            &row.content
        else {
            return row.content == RowContent::Damaged;
        };
        self.rows.get(&row.seq).is_some_and(|stored| {
            let same = (*direction, topic, *qos, *retain, *dup, *size)
                == (
                    stored.direction,
                    &stored.topic,
                    stored.qos,
                    stored.retain,
                    stored.dup,
                    stored.payload.len() as u64,
                );
            same && row.time == stored.time
                && stored.payload.starts_with(preview.as_bytes())
                && *content_type == stored.properties.as_ref().and_then(|all| all.content_type.clone())
        })
    }
}

/// What came of flipped bytes.
#[derive(Debug, Default)]
struct Outcomes {
    refused: u32,
    damaged_rows: u32,
    unreadable_lists: u32,
    mended: u32,
    set_aside: u32,
    unnoticed: u32,
}

/// Bytes flip anywhere in the file while it is closed, in blocks, in big payloads and in SQLite's own pages. Whatever is
/// shown after that is what was stored or says that it is damaged; what is not there is said; what arrives is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_bytes_flip_nothing_wrong_is_shown_as_right_and_it_is_told() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("messages.db");
    let truth = full_of_everything(&path).await;
    let whole = std::fs::read(&path).expect("read");
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut outcomes = Outcomes::default();
    for round in 0..flips() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("messages.db");
        let mut bytes = whole.clone();
        let mut flipped = Vec::new();
        // One bit, or a few, or many; anywhere, or where SQLite's own pages are, which are few.
        for _ in 0..[1, 1, 4, 64][(round % 4) as usize] {
            turn(&mut random);
            let at =
                if random & 1 == 0 { place(&whole, random >> 8) } else { structure(&whole, random >> 8) };
            turn(&mut random);
            bytes[at] ^= 1 << (random & 7);
            flipped.push(at);
        }
        std::fs::write(&path, &bytes).expect("written");
        look_at(&path, &truth, &flipped, &mut outcomes).await;
    }
    println!("{} rounds: {outcomes:?}", flips());
    let told = outcomes.refused + outcomes.damaged_rows + outcomes.unreadable_lists + outcomes.mended;
    assert!(told > 0 && outcomes.damaged_rows > 0, "{outcomes:?}");
}

fn place(bytes: &[u8], random: u64) -> usize {
    usize::try_from(random).unwrap_or(usize::MAX) % bytes.len()
}

/// A place in a page that SQLite finds others by, or in the beginning of one that rows are in.
fn structure(bytes: &[u8], random: u64) -> usize {
    const PAGE: usize = 4096;
    let trees: Vec<usize> = (0..bytes.len() / PAGE)
        .filter(|page| {
            *page < 2 || matches!(bytes[page * PAGE], 2 | 5 | 10 | 13) && bytes[page * PAGE + 1] < 16
        })
        .collect();
    let page = trees[place(bytes, random >> 12) % trees.len()];
    let within = if trees.len() > 8 && random & 1 == 0 { 64 } else { PAGE };
    page * PAGE + usize::try_from(random >> 1).unwrap_or(0) % within
}

async fn look_at(path: &Path, truth: &Truth, flipped: &[usize], outcomes: &mut Outcomes) {
    let history = match History::open(path) {
        Ok(history) => history,
        Err(error) => {
            assert_eq!(error.code, ErrorCode::Storage, "{flipped:?}: {error}");
            assert!(error.message.contains("messages.db"), "{flipped:?}: {error}");
            outcomes.refused += 1;
            return;
        }
    };
    let storage = |error: &Error| assert_eq!(error.code, ErrorCode::Storage, "{flipped:?}: {error}");
    let mut told = history.damage().borrow().is_some();
    outcomes.mended += u32::from(told);

    // The list, and each payload that it says is whole.
    let before = told;
    match everything(&history).await {
        Ok(rows) => {
            let damaged = rows.iter().filter(|row| row.content == RowContent::Damaged).count();
            outcomes.damaged_rows += u32::from(damaged > 0);
            told |= damaged > 0;
            for row in &rows {
                assert!(truth.knows(row), "{flipped:?}: {row:?}");
            }
            let pinned: Vec<_> = rows.iter().filter(|row| row.pinned).map(|row| row.seq).collect();
            assert!(pinned == truth.pinned || told, "{flipped:?}: {pinned:?} are pinned, and nobody says so");
            let (listed, kept) = (rows.len(), truth.seqs.len());
            assert!(listed == kept || told, "{flipped:?}: {listed} rows of {kept}, and nobody says so");
            for row in rows.iter().filter(|row| row.seq % 23 == 0 || row.seq % 457 == 0) {
                let stored = truth.rows.get(&row.seq).map(|stored| &stored.payload);
                match history.payload(shared(), row.seq, 0, 1 << 20).await {
                    Ok(payload) => assert!(
                        stored.is_some_and(|stored| *stored == payload),
                        "{flipped:?}: payload of {}",
                        row.seq
                    ),
                    Err(error) => {
                        assert!(matches!(error.code, ErrorCode::Storage | ErrorCode::NotFound), "{error}");
                        told = true;
                    }
                }
            }
        }
        Err(error) => {
            storage(&error);
            outcomes.unreadable_lists += 1;
            told = true;
        }
    }
    outcomes.unnoticed += u32::from(!told);

    // A search, and an export.
    let filter = RowFilter { text: "needle".into(), topics: vec!["plant/#".into()], ..RowFilter::default() };
    match list(&history, filter).await {
        Ok((rows, count)) => {
            for row in &rows {
                assert!(truth.knows(row), "{flipped:?}: {row:?}");
            }
            let missing = truth.seqs.len().saturating_sub(rows.len());
            assert!(missing == 0 || count.damaged > 0 || before, "{flipped:?}: {missing} were not found");
        }
        Err(error) => storage(&error),
    }
    let file = path.with_file_name("export.ndjson");
    let order =
        ExportOrder { profile: shared(), filter: RowFilter::default(), format: RecordingFormat::Ndjson };
    match history.export(order, &file, Arc::default(), CancellationToken::new()).await {
        Ok(exported) => {
            let text = std::fs::read_to_string(&file).expect("text");
            let mut lines = 0;
            for line in text.lines() {
                let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
                let payload = line["payload"].as_str().expect("text");
                let n: Seq = payload.split(' ').next().and_then(|n| n.parse().ok()).expect("its number");
                let stored = &truth.rows[&n];
                assert!(
                    payload.as_bytes() == stored.payload && line["topic"] == stored.topic,
                    "{flipped:?}: {n}"
                );
                lines += 1;
            }
            assert_eq!(lines, exported.messages);
            // Where what is kept had to be found anew, rows that limits had let go of may be there again.
            let kept = truth.seqs.len() as u64;
            assert!(
                lines == kept || exported.damaged > 0 || before,
                "{flipped:?}: {lines} lines of {kept}, and nobody says so"
            );
        }
        Err(error) => storage(&error),
    }

    // What arrives is stored, whatever that takes, and nothing old becomes wrong by it.
    let sink = history.sink(shared());
    for n in 10_001..=10_400 {
        put_on(&*sink, if n % 2 == 0 { "plant/1" } else { "new" }, n).await;
    }
    let mut health = history.health();
    let stored = timeout(async {
        while history.flush().await.is_err() {
            let _ = health.changed().await;
        }
    });
    stored.await;
    let aside = match &*history.damage().borrow() {
        Some(error) if error.details["reason"] == "set_aside" => {
            let aside = Path::new(error.details["aside"].as_str().expect("a path"));
            assert!(aside.exists(), "{flipped:?}: {error}");
            true
        }
        _ => false,
    };
    outcomes.set_aside += u32::from(aside);
    let mut arrived = Vec::new();
    match everything(&history).await {
        Ok(rows) => {
            for row in &rows {
                match &row.content {
                    RowContent::Message { preview, topic, .. } if number_of(preview) > 10_000 => {
                        arrived.push(number_of(preview));
                        assert!(topic == "new" || topic == "plant/1", "{flipped:?}: {row:?}");
                    }
                    _ => assert!(truth.knows(row), "{flipped:?}: {row:?}"),
                }
            }
            // Of pages that SQLite took for free some may be others': then that is said of what is lost.
            assert!(
                arrived.is_sorted() && arrived.iter().all(|n| (10_001..=10_400).contains(n)),
                "{arrived:?}"
            );
            let damaged = rows.iter().filter(|row| row.content == RowContent::Damaged).count();
            assert!(
                arrived.len() == 400 || damaged + arrived.len() >= 400,
                "{flipped:?}: {} arrived, {damaged} damaged, aside {aside}, {:?}, rows {:?}",
                arrived.len(),
                rows.first().map(|r| r.seq),
                rows.last().map(|r| r.seq)
            );
        }
        Err(error) => storage(&error),
    }

    // Limits let go of what is damaged as of anything else.
    let each = Retention { max_rows: Some(50), ..Retention::default() };
    history.set_retention(RetentionRules { each, ..RetentionRules::default() });
    put_on(&*sink, "new", 10_401).await;
    let _ = timeout(history.flush()).await;
    history.close().await.expect("closed, and no thread broke down");
    match History::open(path) {
        Ok(again) => again.close().await.expect("closed"),
        Err(error) => storage(&error),
    }
}

fn number_of(text: &str) -> u64 {
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// How many files are damaged; `./dev fuzz` does it thousands of times.
fn flips() -> u64 {
    std::env::var("HELIOGRAPH_FLIPS").map_or(40, |flips| flips.parse().expect("HELIOGRAPH_FLIPS is a number"))
}

// ------------------------------------------------------------------------------------ the other processes

const BATCH: u64 = 200;
const EDITS: u64 = 40;
const STORED: u64 = 5_000;

/// What the tests above start this program again for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is the other process of other tests"]
async fn other_process() {
    let role = std::env::var("HELIOGRAPH_TEST_ROLE").expect("a role");
    let folder = PathBuf::from(std::env::var_os("HELIOGRAPH_TEST_FOLDER").expect("a folder"));
    let name = std::env::var("HELIOGRAPH_TEST_NAME").expect("a name");
    match role.as_str() {
        "store" => store(&folder).await,
        "edit" => edit(&folder, &name).await,
        "flow" => flow(&folder).await,
        other => unreachable!("{other}"),
    }
}

/// Writes messages and connections for ever, and tells the number of what is certainly written.
async fn store(folder: &Path) {
    let library = Library::open(&folder.join("heliograph.db")).expect("opened");
    let history = History::open(&folder.join("messages.db")).expect("opened");
    let sink = history.sink(shared());
    let mut n = history.stored(shared());
    loop {
        for _ in 0..BATCH {
            n += 1;
            put(&*sink, n).await;
        }
        history.flush().await.expect("flushed");
        library.save(&profile(ProfileId::random(), &n.to_string()), None).expect("saved");
        say(n);
    }
}

const FLOW_ROWS: u64 = 2_500;
const RETAINED_EVERY: u64 = 1_777;
const BIG_EVERY: u64 = 400;
const PINNED_EVERY: u64 = 2_000;

/// Of some rows the payload stands beside its block.
fn flow_payload(n: u64) -> Vec<u8> {
    let mut payload = payload(n);
    if n.is_multiple_of(BIG_EVERY) {
        payload.resize(20_000 + usize::try_from(n % 7_000).expect("small"), b'y');
    }
    payload
}

/// Writes messages for ever under a limit, never waits for them, and tells what it has handed over, and which it
/// has pinned.
async fn flow(folder: &Path) {
    let history = History::open(&folder.join("messages.db")).expect("opened");
    let each = Retention { max_rows: Some(FLOW_ROWS), max_bytes: None, max_age_s: None };
    history.set_retention(RetentionRules { each, ..RetentionRules::default() });
    let (view, _) = history.open_view(shared(), RowFilter::default()).await.expect("a view");
    let newest = history.tail(view, 1, None).await.expect("a page");
    let mut n = newest.rows.first().map_or(0, |row| row.seq.unsigned_abs());
    let sink = history.sink(shared());
    loop {
        n += 1;
        let mut item = message("t", n, flow_payload(n));
        if let Item::Message(message) = &mut item {
            message.retain = n.is_multiple_of(RETAINED_EVERY);
        }
        put_item(&*sink, item).await;
        if n.is_multiple_of(50) {
            say(n);
        }
        if n.is_multiple_of(PINNED_EVERY) {
            history.flush().await.expect("flushed");
            history.pin(shared(), i64::try_from(n).expect("small"), true).await.expect("pinned");
            println!("pinned {n}");
        }
    }
}

/// How often processes are killed; `./dev fuzz` does it hundreds of times.
fn kills() -> u64 {
    std::env::var("HELIOGRAPH_KILLS").map_or(8, |kills| kills.parse().expect("HELIOGRAPH_KILLS is a number"))
}

fn turn(random: &mut u64) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
}

/// Edits the library and writes messages as fast as it can, and tells how often the history was refused.
async fn edit(folder: &Path, name: &str) {
    let engine = Engine::open(folder).expect("opened");
    let history = History::open(&folder.join("messages.db")).expect("opened");
    let mut health = history.health();
    let refusals = tokio::spawn(async move {
        let mut refusals = 0;
        while health.changed().await.is_ok() {
            refusals += u64::from(*health.borrow_and_update() != StorageHealth::Ok);
        }
        refusals
    });
    let storing = {
        let (sink, name) = (history.sink(shared()), name.to_owned());
        tokio::spawn(async move {
            for n in 1..=STORED {
                put_on(&*sink, &name, n).await;
            }
        })
    };
    for n in 0..EDITS {
        let mut draft = engine.new_draft();
        draft.name = format!("{name} {n}");
        draft.endpoint.host = "broker.example".into();
        engine.save_profile(draft, None, Vec::new()).await.expect("saved");
        engine.save_subscription(shared(), subscription(&format!("{name}/{n}"))).await.expect("saved");
    }
    storing.await.expect("stored");
    history.close().await.expect("everything is written");
    engine.close().await;
    drop(history);
    say(refusals.await.expect("counted"));
}

fn say(number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "told {number}").and_then(|()| out.flush()).expect("said");
}

fn spawn(role: &str, folder: &Path, name: &str) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "--nocapture", "other_process"])
        .env("HELIOGRAPH_TEST_ROLE", role)
        .env("HELIOGRAPH_TEST_FOLDER", folder)
        .env("HELIOGRAPH_TEST_NAME", name)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let lines = BufReader::new(child.stdout.take().expect("piped"));
    (child, lines)
}

/// The next number that the other process tells.
fn number(lines: &mut BufReader<ChildStdout>) -> u64 {
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).expect("a line") > 0, "the other process ended early");
        if let Some(number) = number_in(&line, "told ") {
            return number;
        }
    }
}

fn number_in(line: &str, word: &str) -> Option<u64> {
    line.trim().rsplit_once(word)?.1.parse().ok()
}

// ------------------------------------------------------------------------------------------- the fixtures

fn shared() -> ProfileId {
    ProfileId(SHARED.parse().expect("a UUID"))
}

fn profile(id: ProfileId, name: &str) -> Profile {
    let endpoint = serde_json::from_str(r#"{"host":"broker.example"}"#).expect("an endpoint");
    Profile { id, name: name.into(), endpoint, settings: Settings::default() }
}

fn subscription(filter: &str) -> Subscription {
    Subscription { filter: filter.into(), enabled: true, ..Subscription::default() }
}

fn payload(n: u64) -> Vec<u8> {
    let mut payload = format!("{n} ").into_bytes();
    payload.resize(64 + usize::try_from(n % 3_000).expect("small"), b'x');
    payload
}

async fn put(sink: &dyn MessageSink, n: u64) {
    put_on(sink, "t", n).await;
}

async fn put_on(sink: &dyn MessageSink, topic: &str, n: u64) {
    put_item(sink, message(topic, n, payload(n))).await;
}

fn message(topic: &str, n: u64, payload: Vec<u8>) -> Item {
    Item::Message(Message {
        time: i64::try_from(n).expect("small"),
        direction: Direction::In,
        topic: topic.to_owned(),
        payload: Bytes::from(payload),
        qos: Qos::AtLeastOnce,
        retain: false,
        dup: false,
        properties: None,
    })
}

async fn put_item(sink: &dyn MessageSink, mut item: Item) {
    while let Err(back) = sink.try_accept(item) {
        item = back;
        sink.room().await;
    }
}

/// A data folder with a connection and a message, all of it in the files themselves.
async fn filled() -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    fill(folder.path()).await;
    folder
}

async fn fill(folder: &Path) {
    let library = Library::open(&folder.join("heliograph.db")).expect("made");
    library.save(&profile(shared(), "one"), None).expect("saved");
    let history = History::open(&folder.join("messages.db")).expect("made");
    put(&*history.sink(shared()), 1).await;
    history.close().await.expect("written");
}

fn refused(folder: &Path) -> Error {
    let error = Engine::open(folder).err().expect("it cannot be opened");
    assert_eq!(error.code, ErrorCode::Storage);
    error
}
