//! A database that is damaged here and there, in the real window: what is damaged says so in its place, in the list, the
//! inspector and a filter, in both languages, and everything else is there. And one that cannot be written.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use heliograph_engine::history::History;
use heliograph_engine::profile::ProfileId;
use serde_json::json;

use crate::kept::{connected, never_connected, publish, rows, select, store};
use crate::keyboard::OVERFLOWS;
use crate::window::Window;

/// Rows of a block, as the history writes them.
const BLOCK: u64 = 1_024;
const BIG: usize = 200_000;

/// Text that does not compress, so that it is found in the file.
pub fn noise(seed: u64, size: usize) -> String {
    let mut random = seed | 1;
    let letters = (0..size).map(|_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        char::from(b'a' + (random % 26) as u8)
    });
    letters.collect()
}

/// Three blocks of messages and a large one, and then a bit that flips in the second block and one late in the large
/// payload.
async fn damaged_history(data: &Path, id: ProfileId) -> Result<()> {
    let path = data.join("messages.db");
    let history = History::open(&path)?;
    let sink = history.sink(id);
    let mut marks = Vec::new();
    for n in 1..=3 * BLOCK + 1 {
        let payload =
            if n <= 3 * BLOCK { format!("{n:05} {}", noise(n * 7_919, 40)) } else { noise(77, BIG) };
        if n == BLOCK + 500 {
            marks.push(payload.clone());
        }
        if n > 3 * BLOCK {
            marks.push(payload[190_000..190_060].to_owned());
        }
        let topic = if n <= 3 * BLOCK { format!("plant/press/{}", n % 4) } else { "plant/camera".into() };
        let time = 1_790_000_000_000_000 + i64::try_from(n)? * 250_000;
        store(&*sink, time, topic, payload).await;
        if n.is_multiple_of(BLOCK) {
            history.flush().await?;
        }
    }
    history.close().await?;
    let mut bytes = std::fs::read(&path)?;
    for mark in marks {
        // A part of it: what is longer than a page goes on elsewhere.
        let mark = &mark.as_bytes()[..30];
        let at = bytes.windows(mark.len()).position(|found| found == mark).context("in the file")?;
        bytes[at + 12] ^= 4;
    }
    Ok(std::fs::write(&path, bytes)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_says_so_in_its_place_in_both_languages() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let window = Window::open(&data, "damaged", &[]).await?;
    let id = never_connected(&window, "Press shop").await?;
    window.close().await?;
    for name in ["messages.db", "messages.db-wal", "messages.db-shm"] {
        let _ = std::fs::remove_file(data.join(name));
    }
    damaged_history(&data, id).await?;

    let window = Window::open(&data, "damaged", &[]).await?;
    // The block, and the large payload, which cannot be searched either.
    let words = [
        ("en", "English", "Damaged", "elsewhere in it can be read", "1,025 damaged", "Show hex"),
        ("zh", "简体中文", "已损坏", "其他位置的消息仍可读取", "1,025 条已损坏", "以十六进制显示"),
    ];
    for (tag, language, damaged, around, counted, shown_as_hex) in words {
        window.resize(1440, 900).await?;
        window.press("Control+,").await?;
        window.click(language).await?;
        window.press("Escape").await?;
        window.click("Press shop").await?;
        // By keyboard alone: to the list, to its beginning, and down into the damaged block.
        to_the_list(&window).await?;
        window.press("Home").await?;
        window
            .until("the beginning", "return /00001/.test(document.querySelector('.stream .gr')?.innerText)")
            .await?;
        jump_to(&window, 1_034).await?;
        let shown = format!(
            "const rows = [...document.querySelectorAll('.stream .gr')].map((row) => row.innerText);\
             return rows.some((row) => /010[12]\\d/.test(row)) && rows.filter((row) => row.includes('{damaged}')).length > 5"
        );
        window.until("rows that are damaged, behind whole ones", &shown).await?;
        for _ in 0..8 {
            window.press("Down").await?;
        }
        let selected = format!(
            "return document.querySelector('.stream .gr[aria-selected=true]')?.innerText.includes('{damaged}')"
        );
        window.until("a damaged row is selected", &selected).await?;
        window.press("Enter").await?;
        let inspected =
            format!("return document.querySelector('.inspector')?.innerText.includes('{around}')");
        window.until("the inspector says it", &inspected).await?;
        window.shots(&format!("1-row-{tag}")).await?;
        window.resize(900, 600).await?;
        assert_eq!(window.js(OVERFLOWS).await?, json!(""));
        window.shots(&format!("2-row-900x600-{tag}")).await?;
        window.press("Escape").await?;

        // A filter finds what is whole, and counts what it could not look at.
        window.press("Control+f").await?;
        window.write("plant/press/1").await?;
        window.until("768 less 256", "return document.querySelector('.stream [role=grid]')?.getAttribute('aria-rowcount') === '512'").await?;
        let count = format!(
            "return document.querySelector('.foot').innerText.replace(/\\s+/g, ' ').includes('{counted}')"
        );
        window.until("what is damaged is counted", &count).await?;
        window.shots(&format!("3-filter-900x600-{tag}")).await?;
        window.press("Escape").await?;
        rows(&window, 3073).await?;

        // Of the large payload what is before the damage is there as text, and what is behind it too as hex.
        to_the_list(&window).await?;
        // While what arrives is followed, Up goes to the newest row.
        window.press("End").await?;
        window.press("Up").await?;
        window
            .until(
                "the large payload is selected",
                "return /camera/.test(document.querySelector('.stream .gr[aria-selected=true]')?.innerText)",
            )
            .await?;
        window.press("Enter").await?;
        window.says("180,224").await?;
        window
            .until(
                "its beginning",
                &format!(
                    "return document.querySelector('.inspector .well').innerText.includes('{}')",
                    &noise(77, 30)[..20]
                ),
            )
            .await?;
        assert_eq!(window.js(OVERFLOWS).await?, json!(""));
        window.shots(&format!("4-large-900x600-{tag}")).await?;
        window.click(shown_as_hex).await?;
        window.until("hex", "return document.querySelectorAll('.inspector .hx').length > 5").await?;
        window.tab_to_css(".inspector .hex [role=grid]").await?;
        window.press("End").await?;
        let end = "return [...document.querySelectorAll('.inspector .hx')].some((row) => /^00030d38/.test(row.innerText.trim()) && /[0-9a-f]{2} [0-9a-f]{2}/.test(row.innerText))";
        window.until("its end, behind the damage", end).await?;
        let hurt = format!(
            "return [...document.querySelectorAll('.inspector .hx')].some((row) => /^0002/.test(row.innerText.trim()) && row.innerText.includes('{damaged}'))"
        );
        for _ in 0..60 {
            if window.js(&hurt).await? == json!(true) {
                break;
            }
            window.press("PageUp").await?;
        }
        window.until("the damage", &hurt).await?;
        window.shots(&format!("5-hex-900x600-{tag}")).await?;
        window.press("Escape").await?;
    }
    window.close().await
}

/// Gives the list of messages the focus, as F6 does.
pub async fn to_the_list(window: &Window) -> Result<()> {
    for _ in 0..12 {
        let there = "return document.activeElement.closest('.stream [role=grid]') !== null";
        if window.js(there).await? == json!(true) {
            return Ok(());
        }
        window.press("F6").await?;
    }
    ensure!(false, "F6 never reaches the messages");
    Ok(())
}

/// Goes down to a row by pages.
async fn jump_to(window: &Window, row: u64) -> Result<()> {
    let at = "return Number(document.querySelector('.stream .gr[aria-selected=true]')?.getAttribute('aria-rowindex') ?? 0)";
    window.press("Down").await?;
    for _ in 0..400 {
        let now = window.js(at).await?.as_u64().unwrap_or(0);
        if now + 1 >= row {
            return Ok(());
        }
        let step = if now + 60 < row { "PageDown" } else { "Down" };
        window.press(step).await?;
        let moved = format!("{at} > {now}");
        window.until("the selection moves", &moved).await?;
    }
    ensure!(false, "row {row} is never reached");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn that_messages_cannot_be_stored_stands_there_until_they_can() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let subscription = json!([{"filter": "plant/#", "enabled": true, "qos": 1}]);
    let (window, _broker, id) = connected(dir.path(), "not-stored", subscription).await?;

    // Held as by a program that writes: the window is another process.
    let holder = rusqlite::Connection::open(data.join("messages.db"))?;
    holder.execute_batch("BEGIN IMMEDIATE")?;
    for n in 0..5 {
        publish(&window, &id, "plant/oven", &format!("degrees {n}"), false).await?;
    }
    window
        .until("it is said", "return /not stored now/.test(document.querySelector('.foot').innerText)")
        .await?;
    window.says("is in use by another program").await?;
    window.shots("1-en").await?;
    window.speak("简体中文").await?;
    window.until("in Chinese", "return /暂未存储/.test(document.querySelector('.foot').innerText)").await?;
    window.resize(900, 600).await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("2-zh-900x600").await?;
    holder.execute_batch("ROLLBACK")?;
    window
        .until("it is well again", "return !/暂未存储/.test(document.querySelector('.foot').innerText)")
        .await?;
    window.says("消息又可以保存了").await?;
    rows(&window, 11).await?;
    window.shots("3-zh-again").await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn that_the_database_was_mended_or_set_aside_is_said_in_both_languages() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let file = data.join("messages.db");
    let subscription = json!([{"filter": "plant/#", "enabled": true, "qos": 1}]);
    let (window, _broker, id) = connected(dir.path(), "set-aside", subscription).await?;
    publish(&window, &id, "plant/oven", "degrees 1", false).await?;
    rows(&window, 3).await?;
    select(&window, "degrees 1").await?;
    window.press("p").await?;
    let pinned = "return document.querySelectorAll('.stream .pinned').length === 1";
    window.until("pinned", pinned).await?;

    // What the file says of the pin is not what was written: met while it is open,
    rusqlite::Connection::open(&file)?.execute("UPDATE kept SET checksum = checksum + 1", [])?;
    publish(&window, &id, "plant/oven", "degrees 2", false).await?;
    window.says("Messages that can be read are there.").await?;
    window.until("it is pinned all the same", pinned).await?;
    window.shots("0-met-en").await?;
    window.close().await?;

    // and at the start.
    rusqlite::Connection::open(&file)?.execute("UPDATE kept SET checksum = checksum + 1", [])?;
    let window = Window::open(&data, "set-aside", &[]).await?;
    window.says("Messages that can be read are there.").await?;
    window.shots("1-mended-en").await?;
    window.speak("简体中文").await?;
    window.says("可读取的消息都在").await?;
    window.resize(900, 600).await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("2-mended-zh").await?;
    window.close().await?;

    // The table that messages are written to has lost its first page.
    let (root, size): (i64, i64) = {
        let connection = rusqlite::Connection::open(&file)?;
        connection.query_row(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name = 'block'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
    };
    let mut bytes = std::fs::read(&file)?;
    let page = usize::try_from((root - 1) * size)?..usize::try_from(root * size)?;
    bytes[page].fill(0);
    std::fs::write(&file, bytes)?;
    let window = Window::open(&data, "set-aside", &[]).await?;
    window.resize(900, 600).await?;
    window.engine("connect", json!({"id": id})).await?;
    window.says("消息存入新的数据库").await?;
    window.says("messages-damaged-").await?;
    assert_eq!(window.js(OVERFLOWS).await?, json!(""));
    window.shots("3-set-aside-zh").await?;
    window.speak("English").await?;
    window.says("messages go into a new one").await?;
    window.shots("4-set-aside-en").await?;
    window.close().await
}
