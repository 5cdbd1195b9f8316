//! The disk goes wrong while messages pour in: it is full, read-only, silent, locked or gone. Receiving goes on, it is said
//! in words, and what is in memory is written when that is possible again: nothing is missing, nothing is there twice.

#![allow(clippy::panic, reason = "a wrong answer says so")]

mod disks;
#[path = "../../../tests/bench/flood.rs"]
mod flood;

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use disks::Disk;
use flood::{Flood, FloodServer};
use heliograph_engine::Engine;
use heliograph_engine::endpoint::{Scheme, split_url};
use heliograph_engine::engine::{ConnectionStatus, EngineEvent, NoticeCode};
use heliograph_engine::error::ErrorCode;
use heliograph_engine::history::{History, PAGE_ROWS, RowContent, RowFilter, Seq};
use heliograph_engine::profile::{ProfileId, Qos, Subscription};
use heliograph_engine::session::Phase;
use tokio::time::timeout;

const BOUND: Duration = Duration::from_secs(60);
/// As many as arrive in a few seconds.
const MESSAGES: u64 = 30_000;
const RATE: u64 = 6_000;

/// An engine that is connected to a server which pours.
struct Poured {
    engine: Engine,
    id: ProfileId,
    server: FloodServer,
}

impl Poured {
    async fn into(data: &Path) -> Self {
        let server = FloodServer::start(Flood::paced(MESSAGES, RATE), None).await;
        let engine = Engine::open(data).expect("an engine");
        let mut draft = engine.new_draft();
        "Boiler".clone_into(&mut draft.name);
        let url = format!("mqtt://127.0.0.1:{}", server.address.port());
        draft.endpoint = split_url(&url, Scheme::Mqtt).expect("a URL").parts;
        draft.settings.subscriptions = vec![Subscription {
            filter: "#".into(),
            enabled: true,
            qos: Qos::AtMostOnce,
            ..Subscription::default()
        }];
        let id = engine.save_profile(draft, None, Vec::new()).await.expect("saved").id;
        engine.connect(id).await.expect("connecting");
        Self { engine, id, server }
    }

    fn status(&self) -> ConnectionStatus {
        let all = self.engine.connections();
        all.into_iter().find(|status| status.id == self.id).expect("its status")
    }

    /// Waits until it is so.
    async fn until(&self, what: &str, mut is_so: impl FnMut(&ConnectionStatus) -> bool) {
        let mut poll = tokio::time::interval(Duration::from_millis(20));
        let reached = timeout(BOUND, async {
            while !is_so(&self.status()) {
                poll.tick().await;
            }
        });
        reached.await.unwrap_or_else(|_| panic!("{what}: never; {:?}", self.status()));
    }

    /// The next notice.
    async fn notice(&self) -> (NoticeCode, String) {
        let told = timeout(BOUND, async {
            loop {
                for event in self.engine.events().await {
                    if let EngineEvent::Notice { code, error } = event {
                        return (code, error.map(|error| error.message).unwrap_or_default());
                    }
                }
            }
        });
        told.await.expect("it is told in time")
    }

    /// Some more arrive, and the connection stands.
    async fn goes_on_receiving(&self) {
        let before = self.status().counters.received;
        self.until("it goes on receiving", |status| {
            status.counters.received >= (before + RATE / 2).min(MESSAGES)
        })
        .await;
        assert!(matches!(self.status().phase, Phase::Connected { .. }), "{:?}", self.status().phase);
    }

    /// The numbers of all messages in the file, and of the rows that they are in.
    async fn numbers(&self) -> Vec<(Seq, u64)> {
        numbers(&self.engine, self.id).await
    }

    /// Everything that was sent has arrived, and is in the file once and in order.
    async fn ends_whole(self) {
        self.until("everything is stored", |status| status.counters.stored > MESSAGES).await;
        let numbers: Vec<_> = self.numbers().await.into_iter().map(|(_, number)| number).collect();
        assert!(numbers.iter().copied().eq(0..MESSAGES), "{} messages", numbers.len());
        assert_eq!(self.status().counters.dropped, 0);
        self.engine.close().await;
        drop(self.server);
    }
}

async fn numbers(engine: &Engine, id: ProfileId) -> Vec<(Seq, u64)> {
    let open = engine.open_view(id, RowFilter::default()).await.expect("a view");
    let (mut at, mut found) = (0, Vec::new());
    while at < open.count.rows {
        let page = engine.page(open.view, at, PAGE_ROWS).await.expect("a page");
        at += page.rows.len() as u64;
        found.extend(page.rows.into_iter().filter_map(|row| match row.content {
            RowContent::Message { preview, .. } => Some((row.seq, number_in(&preview))),
            RowContent::Event { .. } => None,
            RowContent::Damaged => panic!("row {} is damaged", row.seq),
        }));
    }
    engine.close_view(open.view);
    found
}

/// The number of a message of a paced flood.
fn number_in(payload: &str) -> u64 {
    payload.get(5..15).and_then(|digits| digits.parse().ok()).expect("its number")
}

/// Something goes wrong in the middle of it, and is well again later.
async fn goes_wrong<T>(data: &Path, hurt: impl FnOnce() -> T, said: &str, mend: impl FnOnce(T)) {
    let poured = Poured::into(data).await;
    poured.until("some are stored", |status| status.counters.stored > RATE / 3).await;
    let hurt = hurt();
    let (code, text) = poured.notice().await;
    assert_eq!(code, NoticeCode::StorageFailing, "{text}");
    assert!(text.contains(said) && text.contains("messages.db"), "{text}");
    poured.goes_on_receiving().await;
    assert!(poured.numbers().await.len() as u64 > RATE / 3, "what is stored can be read");
    mend(hurt);
    let (code, text) = poured.notice().await;
    assert_eq!(code, NoticeCode::StorageRecovered, "{text}");
    poured.ends_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_gets_full_costs_nothing() {
    let Some(disk) = Disk::of("24m") else { return };
    let free = |rest: PathBuf| std::fs::remove_file(rest).expect("removed");
    goes_wrong(&disk.path().join("data"), || disk.fill(), "no room left", free).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_turns_read_only_costs_nothing_when_another_takes_its_place() {
    let Some(disk) = Disk::in_a_file(48) else { return };
    if !Disk::in_a_file(8).is_some_and(|other| other.break_down()) {
        eprintln!("no disk can be made to break here: not tried");
        return;
    }
    let data = disk.path().join("data");
    let disk = std::cell::RefCell::new(disk);
    goes_wrong(
        &data,
        || assert!(disk.borrow().break_down()),
        "cannot be written: check the permissions",
        |()| disk.borrow_mut().replace(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_answers_nobody_for_a_while_costs_nothing() {
    let Some(disk) = Disk::in_a_file(48) else { return };
    let poured = Poured::into(&disk.path().join("data")).await;
    poured.until("some are stored", |status| status.counters.stored > RATE / 3).await;
    let mut frozen = disk.freeze_for(2);
    poured.goes_on_receiving().await;
    assert!(!frozen.is_over(), "meanwhile");
    poured.until("it answers again", |_| frozen.is_over()).await;
    poured.ends_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_another_process_locks_costs_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("messages.db");
    goes_wrong(
        folder.path(),
        || Holder::of(&file),
        "messages.db is in use by another program",
        Holder::let_go,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_moved_away_is_followed_by_a_new_one_in_which_numbers_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, away) = (folder.path().join("data"), folder.path().join("away"));
    std::fs::create_dir(&away).expect("made");
    let poured = Poured::into(&data).await;
    poured.until("some are stored", |status| status.counters.stored > RATE / 3).await;
    // A filtered view is open meanwhile, and an unfiltered one.
    let filter = RowFilter { topics: vec!["#".into()], ..RowFilter::default() };
    let filtered = poured.engine.open_view(poured.id, filter).await.expect("a view").view;
    for name in ["messages.db", "messages.db-wal", "messages.db-shm"] {
        std::fs::rename(data.join(name), away.join(name)).expect("moved");
    }
    poured.goes_on_receiving().await;
    poured.until("all have arrived", |status| status.counters.received == MESSAGES).await;
    // What arrived last may still be on its way into the file.
    let history = async {
        loop {
            let all = poured.numbers().await;
            if all.last().is_some_and(|(_, number)| *number == MESSAGES - 1) {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let later = timeout(BOUND, history).await.expect("stored in time");
    let page = poured.engine.page(filtered, 0, PAGE_ROWS).await.expect("a page");
    let first = page.rows.first().expect("a row").seq;
    assert_eq!(first, later[0].0, "the view has forgotten what is not there");
    assert_eq!(poured.status().counters.dropped, 0);
    let id = poured.id;
    poured.engine.close().await;

    let earlier = Engine::open(&{
        let old = folder.path().join("old");
        std::fs::create_dir(&old).expect("made");
        for name in ["messages.db", "messages.db-wal", "messages.db-shm"] {
            if away.join(name).exists() {
                std::fs::copy(away.join(name), old.join(name)).expect("copied");
            }
        }
        old
    })
    .expect("the one that was moved opens");
    let earlier_rows = numbers(&earlier, id).await;
    earlier.close().await;
    let all: Vec<_> = earlier_rows.iter().chain(&later).map(|(_, number)| *number).collect();
    assert!(all.iter().copied().eq(0..MESSAGES), "{} and {}", earlier_rows.len(), later.len());
    assert!(later[0].0 > earlier_rows.last().expect("some").0, "numbers go on");
}

/// Permissions that are taken away while the files are open, from a process that they apply to: it goes on, and is
/// refused when it starts again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permissions_that_are_taken_away_meanwhile_cost_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut other = Command::new("setpriv");
    // To the superuser permissions apply when it has given up what else it may do.
    other.args(["--bounding-set", "-all", "--inh-caps", "-all", "--"]);
    other.arg(std::env::current_exe().expect("this program"));
    let mut child = spawn(&mut other, "permissions", folder.path());
    let mut said = String::new();
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        said += &line.expect("a line");
        said.push('\n');
    }
    assert!(child.wait().expect("ended").success() && said.contains("all of it held"), "{said}");
}

async fn permissions(folder: &Path) {
    let data = folder.join("data");
    let poured = Poured::into(&data).await;
    poured.until("some are stored", |status| status.counters.stored > RATE / 3).await;
    let permit = |folder: u32, file: u32| {
        for entry in std::fs::read_dir(&data).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                std::fs::set_permissions(path, PermissionsExt::from_mode(file)).expect("set");
            }
        }
        std::fs::set_permissions(&data, PermissionsExt::from_mode(folder)).expect("set");
    };
    permit(0o500, 0o400);
    let probe = std::fs::write(data.join("probe"), "").expect_err("permissions apply");
    assert_eq!(probe.kind(), std::io::ErrorKind::PermissionDenied);
    poured.goes_on_receiving().await;
    // As many readers as there may be, so that some are opened now.
    let reads = (0..8).map(|_| poured.numbers());
    for read in futures_util::future::join_all(reads).await {
        assert!(read.len() as u64 > RATE / 3, "what is stored can be read");
    }
    poured.ends_whole().await;
    let refused = Engine::open(&data).err().expect("it is refused");
    assert_eq!((refused.code, &refused.details["reason"]), (ErrorCode::Storage, &"no_permission".into()));
    permit(0o700, 0o600);
    let history = History::open(&data.join("messages.db")).expect("opened");
    history.close().await.expect("closed");
    println!("all of it held");
}

// ------------------------------------------------------------------------------------ the other processes

/// What the tests above start this program again for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it is the other process of other tests"]
async fn other_process() {
    let role = std::env::var("HELIOGRAPH_TEST_ROLE").expect("a role");
    let place = PathBuf::from(std::env::var_os("HELIOGRAPH_TEST_FOLDER").expect("a place"));
    match role.as_str() {
        "permissions" => permissions(&place).await,
        "hold" => {
            let connection = rusqlite::Connection::open(&place).expect("opened");
            connection.busy_timeout(BOUND).expect("patient");
            connection.execute_batch("BEGIN IMMEDIATE").expect("held");
            println!("\nheld");
            std::io::stdin().lines().next();
            connection.execute_batch("ROLLBACK").expect("let go");
        }
        other => unreachable!("{other}"),
    }
}

fn spawn(program: &mut Command, role: &str, place: &Path) -> Child {
    program
        .args(["--ignored", "--exact", "--nocapture", "other_process"])
        .env("HELIOGRAPH_TEST_ROLE", role)
        .env("HELIOGRAPH_TEST_FOLDER", place)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started")
}

/// Another process that is writing and never done.
struct Holder {
    child: Child,
    input: ChildStdin,
    /// Read to its end, so that the other process may say what it likes.
    output: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    fn of(file: &Path) -> Self {
        let mut child =
            spawn(&mut Command::new(std::env::current_exe().expect("this program")), "hold", file);
        let mut output = BufReader::new(child.stdout.take().expect("piped")).lines();
        assert!(output.by_ref().map_while(Result::ok).any(|line| line == "held"));
        let input = child.stdin.take().expect("piped");
        Self { child, input, output }
    }

    fn let_go(mut self) {
        self.input.write_all(b"\n").expect("told");
        self.output.by_ref().for_each(drop);
        assert!(self.child.wait().expect("ended").success());
    }
}
