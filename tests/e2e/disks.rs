//! Disks that are full, read-only or held by another program, in the real window: it says so in words, receiving goes on, and
//! what is in memory is written when the disk is back; and a window that finds its folder so at the start says it and tries again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use heliograph_engine::Engine;
use heliograph_engine::history::History;
use heliograph_engine::profile::ProfileId;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::brokers::Mosquitto;
use crate::dialog::choose;
use crate::disk::Disk;
use crate::interrupted::{counted, counter};
use crate::kept::{connected, never_connected, publisher};
use crate::keyboard::OVERFLOWS;
use crate::saved::CONNECTED;
use crate::window::Window;

/// Publishes messages of 20 kB that nothing compresses, from another client.
async fn pour(broker: &Mosquitto, numbers: std::ops::RangeInclusive<u64>) -> Result<()> {
    let (mut child, mut lines) = publisher(broker, "plant/camera", 1)?;
    for n in numbers {
        lines.write_all(format!("{n} {}\n", crate::damaged::noise(n * 7_919, 20_000)).as_bytes()).await?;
    }
    drop(lines);
    ensure!(child.wait().await?.success(), "mosquitto_pub");
    Ok(())
}

fn id_of(id: &Value) -> Result<ProfileId> {
    Ok(ProfileId(id.as_str().context("an id")?.parse()?))
}

/// What is wrong with a disk, until it is put right.
enum Hurt {
    Full(PathBuf),
    ReadOnly,
}

impl Hurt {
    fn does(of: &str, disk: &Disk) -> Option<Self> {
        match of {
            "full" => Some(Self::Full(disk.fill())),
            _ => disk.break_down().then_some(Self::ReadOnly),
        }
    }

    fn mend(self, disk: &mut Disk) -> Result<()> {
        match self {
            Self::Full(rest) => std::fs::remove_file(rest)?,
            Self::ReadOnly => disk.replace(),
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_gets_full_or_read_only_is_said_and_costs_nothing() -> Result<()> {
    let full = ("There is no room left to write", "空间不足");
    let read_only = ("cannot be written", "权限");
    for (name, disk, (en, zh)) in
        [("full", Disk::of("96m"), full), ("read-only", Disk::in_a_file(96), read_only)]
    {
        let Some(mut disk) = disk else { continue };
        if name == "read-only" && !Disk::in_a_file(8).is_some_and(|other| other.break_down()) {
            eprintln!("no disk can be made to break here: not tried");
            continue;
        }
        let shots = format!("disk-{name}");
        let subscription = json!([{"filter": "plant/#", "enabled": true, "qos": 1}]);
        let (window, broker, id) = connected(disk.path(), &shots, subscription).await?;
        let foot =
            |words: &str| format!("return document.querySelector('.foot').innerText.includes('{words}')");
        pour(&broker, 1..=20).await?;
        window.until("they are stored", &foot("21 stored")).await?;

        let hurt = Hurt::does(name, &disk).context("hurt")?;
        pour(&broker, 21..=120).await?;
        window.until("it is said", &foot("not stored now")).await?;
        window.says(en).await?;
        // Receiving goes on, what is stored can be read, and the connection stands.
        counted(&window, &id, "received", 120).await?;
        assert_eq!(counter(&window, &id, "dropped").await?, 0);
        window.until("it stands", CONNECTED).await?;
        window.shots("1-en").await?;
        window.speak("简体中文").await?;
        window.resize(900, 600).await?;
        window.until("in Chinese", &foot("暂未存储")).await?;
        window.says(zh).await?;
        assert_eq!(window.js(OVERFLOWS).await?, json!(""));
        window.shots("2-zh-900x600").await?;

        hurt.mend(&mut disk)?;
        window.says("消息又可以保存了").await?;
        window.until("all of them are stored", &foot("121")).await?;
        window.until("and it is well", &format!("return !({})", &foot("暂未存储")[7..])).await?;
        window.shots("3-zh-again").await?;
        window.close().await?;
        let history = History::open(&disk.path().join("data/messages.db"))?;
        let stored = history.stored(id_of(&id)?);
        // Connected, and disconnected at the end.
        ensure!((121..=122).contains(&stored), "{name}: {stored} rows");
        history.close().await?;
    }
    Ok(())
}

/// More than fits into memory while the database is held: what is given up is counted, said where it was missing, and is all that
/// is missing.
#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_no_room_for_is_counted_and_said_where_it_is_missing() -> Result<()> {
    /// More than wait for the disk at most.
    const SENT: u64 = 70_000;
    let dir = tempfile::tempdir()?;
    let subscription = json!([{"filter": "plant/#", "enabled": true, "qos": 0}]);
    let (window, broker, id) = connected(dir.path(), "given-up", subscription).await?;
    let holder = rusqlite::Connection::open(dir.path().join("data/messages.db"))?;
    holder.execute_batch("BEGIN IMMEDIATE")?;
    let (mut child, mut lines) = publisher(&broker, "plant/flow", 0)?;
    let all: String = (1..=SENT).map(|n| format!("flow {n}\n")).collect();
    lines.write_all(all.as_bytes()).await?;
    drop(lines);
    ensure!(child.wait().await?.success(), "mosquitto_pub");
    let dropped =
        "return document.querySelector('.foot').innerText.replace(/,/g, '').match(/(\\d+)\\s+dropped/)?.[1]";
    window.until("it is counted", dropped).await?;
    window
        .until(
            "and that it cannot be stored",
            "return /not stored now/.test(document.querySelector('.foot').innerText)",
        )
        .await?;
    window.shots("1-en").await?;
    holder.execute_batch("ROLLBACK")?;
    window.says("Messages are kept again.").await?;
    let all = async || -> Result<bool> {
        let [received, dropped] =
            [counter(&window, &id, "received").await?, counter(&window, &id, "dropped").await?];
        Ok(received + dropped == SENT)
    };
    let begun = tokio::time::Instant::now();
    while !all().await? {
        ensure!(begun.elapsed() < crate::window::PATIENCE, "all have come or are given up");
    }
    let given_up = counter(&window, &id, "dropped").await?;
    // What came, that it connected, and a row that says what is missing.
    counted(&window, &id, "stored", SENT - given_up + 2).await?;
    window.speak("简体中文").await?;
    window.resize(900, 600).await?;
    window.until("in Chinese", "return /条被丢弃/.test(document.querySelector('.foot').innerText)").await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    // By keyboard to the row.
    window.press("Control+f").await?;
    window.write("could not be kept").await?;
    window.says("条消息未能保存").await?;
    window.shots("2-zh-900x600").await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_whose_disk_gets_full_says_so_and_ends_with_a_whole_message() -> Result<()> {
    let Some(disk) = Disk::of("1m") else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let subscription = json!([{"filter": "plant/#", "enabled": true, "qos": 1}]);
    let (window, broker, id) = connected(dir.path(), "recording-full", subscription).await?;
    window.find("[data-pane=filter] [aria-label=More]").await?.click().await?;
    window.click("Record to a file").await?;
    let file = disk.path().join("shift.ndjson");
    choose("Record messages", file.to_str().context("a path")?).await?;
    window.says("Recording to shift.ndjson").await?;
    pour(&broker, 1..=120).await?;
    window.says("There is no room left to write").await?;
    window.resize(900, 600).await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("1-said").await?;
    counted(&window, &id, "stored", 121).await?;
    let written = std::fs::read_to_string(&file)?;
    ensure!(written.ends_with('\n') && written.lines().count() > 10, "{} lines", written.lines().count());
    for line in written.lines() {
        serde_json::from_str::<Value>(line)?;
    }
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_full_read_only_or_in_use_at_the_start_is_said_and_tried_again() -> Result<()> {
    for (name, words) in [
        ("full", "There is no room left to write"),
        ("read-only", "cannot be written"),
        ("locked", "is in use by another program"),
    ] {
        let Some(disk) = Disk::of("32m") else { continue };
        let (data, elsewhere) = (disk.path().join("data"), tempfile::tempdir()?);
        let made = Engine::open(elsewhere.path())?;
        let mut draft = made.new_draft();
        "Line 5".clone_into(&mut draft.name);
        "broker.example".clone_into(&mut draft.endpoint.host);
        made.save_profile(draft, None, Vec::new()).await?;
        made.close().await;
        // As a copy, which nobody has open.
        std::fs::create_dir(&data)?;
        // A window was there before. One that has no place for what the web view keeps opens too, but cannot be driven.
        std::fs::create_dir(data.join("web"))?;
        for entry in std::fs::read_dir(elsewhere.path())? {
            let entry = entry?;
            std::fs::copy(entry.path(), data.join(entry.file_name()))?;
        }
        let heal = hurt_closed(name, &disk, &data)?;

        let window = Window::start(&data, &format!("start-{name}"), &[]).await?;
        window.says("Heliograph cannot start").await?;
        window.says(words).await?;
        window.says(".db").await?;
        window.resize(900, 600).await?;
        assert_eq!(window.js(OVERFLOWS).await?, json!(""));
        window.shots("1-en").await?;
        try_again(&window, "Try again").await?;
        window.says(words).await?;
        heal(&disk)?;
        // The focus is where it was.
        window.press("Enter").await?;
        window.find("[data-ready=true]").await?;
        window.says("Line 5").await?;
        window.shots("2-started").await?;
        window.close().await?;
    }
    Ok(())
}

/// By keyboard; until that it was in vain is said.
async fn try_again(window: &Window, name: &str) -> Result<()> {
    window.tab_to(name).await?;
    window.press("Enter").await?;
    window.until("it was tried", "return document.querySelector('[aria-busy]') === null").await.map(drop)
}

/// Whether the web view has written down language and theme for its next first paint, which it does a moment later.
fn kept_by_the_web_view(data: &Path, theme: &Value) -> Result<bool> {
    let mut files =
        std::fs::read_dir(data.join("web/localstorage"))?.filter_map(|entry| Some(entry.ok()?.path()));
    let file =
        files.find(|file| file.extension().is_some_and(|is| is == "localstorage")).context("a file")?;
    let ask = "SELECT value FROM ItemTable WHERE key = 'heliograph.settings'";
    let utf16: Vec<u8> = rusqlite::Connection::open(file)?.query_row(ask, [], |row| row.get(0))?;
    let text: String = utf16.into_iter().filter(|&byte| byte != 0).map(char::from).collect();
    let kept: Value = serde_json::from_str(&text)?;
    Ok(kept["language"] == "zh" && kept["theme"] == *theme)
}

/// What was chosen last is how the window speaks and looks, also when it cannot read that.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_speaks_the_language_that_was_chosen_last() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let window = Window::open(&data, "start-zh", &[]).await?;
    never_connected(&window, "Line 5").await?;
    window.speak("简体中文").await?;
    window.press("Control+Shift+l").await?;
    let theme = "return document.documentElement.dataset.theme";
    let chosen = window.js(theme).await?;
    let begun = tokio::time::Instant::now();
    while !kept_by_the_web_view(&data, &chosen).unwrap_or_default() {
        ensure!(begun.elapsed() < crate::window::PATIENCE, "the web view keeps what was chosen");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    window.close().await?;

    let holder = rusqlite::Connection::open(data.join("heliograph.db"))?;
    holder.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")?;
    let window = Window::start(&data, "start-zh", &[]).await?;
    window.says("Heliograph 无法启动").await?;
    window.says("正被其他程序占用").await?;
    assert_eq!(window.js(theme).await?, chosen);
    window.resize(900, 600).await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("1-said").await?;
    try_again(&window, "重试").await?;
    window.says("正被其他程序占用").await?;
    drop(holder);
    window.press("Enter").await?;
    window.find("[data-ready=true]").await?;
    window.says("Line 5").await?;
    assert_eq!(window.js(theme).await?, chosen);
    window.close().await
}

type Heal = Box<dyn FnOnce(&Disk) -> Result<()>>;

/// Something is wrong with a folder that nobody has open; how that ends.
fn hurt_closed(name: &str, disk: &Disk, data: &Path) -> Result<Heal> {
    Ok(match name {
        "full" => {
            let rest = disk.fill();
            Box::new(move |_| Ok(std::fs::remove_file(rest)?))
        }
        "read-only" => {
            disk.mount_again("remount,ro");
            Box::new(|disk| {
                disk.mount_again("remount,rw");
                Ok(())
            })
        }
        _ => {
            let holder = rusqlite::Connection::open(data.join("heliograph.db"))?;
            holder.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")?;
            Box::new(move |_| {
                drop(holder);
                Ok(())
            })
        }
    })
}
