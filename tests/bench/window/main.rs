//! The figures of the real window: how soon it can be used, what its processes take, how it paints while messages pour
//! in, and how it reads back. `./dev bench window [start] [connect] [publish] [pour] [many] [big] [soak] [--messages N]
//! [--rate N] [--minutes N]`, all but the soak when none is named; needs a screen and WebKitWebDriver. Prints, and never fails on a number; a message
//! that is lost does end it.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs, reason = "figures for people")]

#[path = "../../brokers/mod.rs"]
mod brokers;
#[path = "../flood.rs"]
mod flood;
#[allow(dead_code, reason = "made for the figures without a window too")]
#[path = "../machine.rs"]
mod machine;
mod memory;
#[path = "../../e2e/picture.rs"]
mod picture;
#[path = "../../../src-tauri/engine/tests/private_session/mod.rs"]
mod private_session;
mod screen;
#[allow(dead_code, reason = "made for tests")]
#[path = "../../e2e/window.rs"]
mod window;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use brokers::{Mosquitto, MosquittoOptions, Pki};
use flood::Flood;
use machine::{FloodProcess, load, thousands};
use memory::{Memory, pss};
use screen::{Rect, Screen};
use serde_json::{Value, json};
use window::Window;

/// How long frames are counted.
const SECONDS: u64 = 10;
/// Keys of each kind that are pressed and watched.
const KEYS: usize = 60;
/// The button that connects, in a script.
const CONNECT: &str =
    "[...document.querySelectorAll('.conn-head button')].find((b) => /^Connect$/m.test(b.innerText))";

struct Options {
    /// Of [`FIGURES`]; none: all but the soak.
    figures: Vec<String>,
    /// Stored before reading back.
    messages: u64,
    /// Messages a second while frames are counted.
    rate: u64,
    /// Minutes at that rate in a soak.
    minutes: u64,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == "serve-flood") {
        return machine::serve_flood(&words[1..]);
    }
    let number = |name: &str, usual: u64| {
        let at = words.iter().position(|word| word == name);
        at.map_or(usual, |at| words.get(at + 1).and_then(|text| text.parse().ok()).expect("a number"))
    };
    let figures: Vec<_> = words.iter().filter(|word| FIGURES.contains(&word.as_str())).cloned().collect();
    let options = Options {
        figures,
        messages: number("--messages", 10_000_000),
        rate: number("--rate", 50_000),
        minutes: number("--minutes", 30),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if let Err(error) = runtime.block_on(all(&options)) {
        eprintln!("{error:#}");
        std::process::exit(1);
    }
}

/// What can be asked for alone.
const FIGURES: [&str; 7] = ["start", "connect", "publish", "pour", "many", "big", "soak"];

async fn all(options: &Options) -> Result<()> {
    println!("The window (load {})", load());
    let wanted =
        |name: &str| options.figures.is_empty() || options.figures.iter().any(|figure| figure == name);
    if wanted("start") {
        starts().await?;
    }
    if wanted("connect") {
        clicks().await?;
    }
    if wanted("publish") {
        publishes().await?;
    }
    if wanted("pour") {
        let folder = tempfile::tempdir()?;
        let (window, still, idle) = idle(folder.path()).await?;
        pour(&window, options, &still, idle).await?;
        window.close().await?;
    }
    if wanted("many") {
        let folder = tempfile::tempdir()?;
        let (window, still, idle) = idle(folder.path()).await?;
        many(&window, options, &still, idle).await?;
        window.close().await?;
        reopened(folder.path()).await?;
    }
    if wanted("big") {
        let folder = tempfile::tempdir()?;
        let (window, _, idle) = idle(folder.path()).await?;
        big(&window, idle).await?;
        window.close().await?;
    }
    if options.figures.iter().any(|figure| figure == "soak") {
        let folder = tempfile::tempdir()?;
        let (window, still, idle) = idle(folder.path()).await?;
        soak(&window, options, &still, idle).await?;
        window.close().await?;
    }
    Ok(())
}

/// A new window with nothing in it: how fast it draws, and what it takes. Figures begin with one each, so that none has
/// what another left.
async fn idle(folder: &Path) -> Result<(Window, Vec<f64>, Memory)> {
    let window = Window::open(folder, "bench", &[]).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let idle = told_pss(&window, "idle and empty", None)?;
    let still = frames(&window).await?;
    tell_frames("an idle page", &still, None);
    Ok((window, still, idle))
}

/// Messages as they come, slowly and fast.
async fn pour(window: &Window, options: &Options, still: &[f64], idle: Memory) -> Result<()> {
    let hundred_thousand = Pouring::start(window, "A hundred thousand", 100_000, 0).await?;
    hundred_thousand.stored(window, 100_000).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    told_pss(window, "after 100,000 messages", Some(idle))?;
    hundred_thousand.end(window).await?;

    let slow = Pouring::start(window, "A thousand a second", u64::MAX / 2_000_000, 1_000).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    tell_frames("at 1,000 messages a second", &frames(window).await?, Some(still));
    row_latency(window).await?;
    slow.end(window).await?;

    let fast = Pouring::start(window, "Fast", u64::MAX / 2_000_000, options.rate).await?;
    while_pouring(window, &fast, options, still).await?;
    told_pss(window, "meanwhile", Some(idle))?;
    fast.end(window).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    told_pss(window, "ten seconds later", Some(idle)).map(|_| ())
}

/// With as many messages stored as a busy broker sends in an hour.
async fn many(window: &Window, options: &Options, still: &[f64], idle: Memory) -> Result<()> {
    println!(" {} messages (load {})", thousands(options.messages as f64), load());
    let few = Pouring::start(window, "Few", 1_000, 0).await?;
    few.stored(window, 1_000).await?;
    few.end(window).await?;
    let many = Pouring::start(window, "Many", options.messages, 0).await?;
    let mut first = None;
    for part in [10, 5, 2, 1] {
        let messages = options.messages / part;
        many.stored(window, messages).await?;
        let now = told_pss(window, &format!("{} stored", thousands(messages as f64)), Some(idle))?;
        first.get_or_insert((messages, now));
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let after = told_pss(window, "all stored, and idle again", Some(idle))?;
    if let Some((messages, then)) = first {
        let slope = (after.all() as f64 - then.all() as f64) / (options.messages - messages) as f64;
        println!("  {slope:+.2} bytes a message since the first tenth");
    }
    many.end(window).await?;
    read_back(window).await?;

    let again = Pouring::resume(window, &many, options.rate).await?;
    while_pouring(window, &again, options, still).await?;
    again.end(window).await
}

/// From the start of the process until the window can be used, with an empty folder.
async fn starts() -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..5 {
        let folder = tempfile::tempdir()?;
        let window = Window::start(folder.path(), "bench", &[]).await?;
        window.find("[data-ready=true]").await?;
        let now = memory::uptime()?;
        times.push(Duration::from_secs_f64((now - memory::started(window.process()?)?).max(0.0)));
        window.close().await?;
    }
    let first = times[0];
    tell(&format!("start to usable window (the first {} ms)", first.as_millis()), &mut times);
    Ok(())
}

/// From a click on Connect to "Connected", over wss with a client certificate.
async fn clicks() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pki = Pki::make(folder.path());
    let mosquitto =
        Mosquitto::start(&pki, &MosquittoOptions { require_certificate: true, ..Default::default() });
    let tls =
        flood::ServerTls { cert: pki.server.cert.clone(), key: pki.server.key.clone(), ca: pki.ca.clone() };
    let quick = FloodProcess::start(Flood::of(0, 0), Some(&tls));
    let window = Window::open(&folder.path().join("data"), "bench", &[]).await?;
    for (name, port) in [("mosquitto", mosquitto.wss), ("a server that answers at once", quick.port)] {
        let mut draft = draft(&window, name, &json!({"websocket": true, "tls": true, "host": "localhost", "port": port.to_string(), "path": "/mqtt"})).await?;
        let text = |path: &Path| json!(path.display().to_string());
        draft["settings"]["trust"]["mode"] = json!("system_and_ca");
        draft["settings"]["trust"]["ca_files"] = json!([text(&pki.ca)]);
        draft["settings"]["client_certificate"]["enabled"] = json!(true);
        draft["settings"]["client_certificate"]["cert_file"] = text(&pki.client.cert);
        draft["settings"]["client_certificate"]["key_file"] = text(&pki.client.key);
        save(&window, &draft).await?;
        window.click(name).await?;
        let mut times = Vec::new();
        let click = format!(
            "const done = arguments[arguments.length - 1];\
             const connected = () => /^Connected \\d/m.test(document.querySelector('.conn-head').innerText);\
             const begun = performance.now();\
             ({CONNECT}).click();\
             const look = () => connected() ? done(performance.now() - begun) : setTimeout(look, 1);\
             look();"
        );
        for _ in 0..20 {
            window.until("a Connect button", &format!("return !!{CONNECT}")).await?;
            let waited = window.later(&click, Vec::new()).await?;
            times.push(Duration::from_secs_f64(waited.as_f64().context("a Connect button")? / 1e3));
            window.engine("disconnect", json!({"id": draft["id"]})).await?;
        }
        tell(&format!("click to Connected, wss with a client certificate: {name}"), &mut times);
    }
    window.close().await
}

/// From a click on Publish to "PUBACK in …" on the screen, and the message comes in again meanwhile.
async fn publishes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pki = Pki::make(folder.path());
    let mosquitto = Mosquitto::start(&pki, &MosquittoOptions::default());
    let window = Window::open(&folder.path().join("data"), "bench", &[]).await?;
    let draft = draft(&window, "Publishing", &endpoint(mosquitto.mqtt)).await?;
    save(&window, &draft).await?;
    window.click("Publishing").await?;
    window.engine("connect", json!({"id": draft["id"]})).await?;
    window.until("connected", "return /^Connected/m.test(document.body.innerText)").await?;
    window.fill("Topic", "plant/oven").await?;
    window.click("1").await?;
    // The frame that shows it is painted before the message that is posted in it arrives.
    let watch = "window.shown = []; document.addEventListener('click', ({ timeStamp }) => {\
        const painted = new MessageChannel();\
        painted.port1.onmessage = () => window.shown.push(performance.now() - timeStamp);\
        const said = () => document.querySelector('.composer [role=status] .clip');\
        const before = said();\
        const look = () => /PUBACK in/.test(said()?.innerText) && said() !== before\
            ? painted.port2.postMessage(0) : requestAnimationFrame(look);\
        requestAnimationFrame(look); }, true)";
    window.js(watch).await?;
    let button =
        "[...document.querySelectorAll('.composer button')].find((b) => /^Publish/.test(b.innerText))";
    let button = rect(&window, button).await?;
    let screen = Screen::open()?;
    screen.point(button.x + 10, button.y + 10)?;
    for n in 1..=100 {
        screen.button(screen::LEFT)?;
        window.until("PUBACK", &format!("return window.shown.length === {n}")).await?;
    }
    let shown = window.js("return window.shown").await?;
    let millis = shown.as_array().into_iter().flatten().filter_map(Value::as_f64);
    let mut times: Vec<_> = millis.map(|millis| Duration::from_secs_f64(millis / 1e3)).collect();
    tell("click on Publish, QoS 1, to PUBACK on the screen", &mut times);
    window.close().await
}

/// A connection that messages come in by.
struct Pouring {
    id: Value,
    _server: FloodProcess,
}

impl Pouring {
    async fn start(window: &Window, name: &str, messages: u64, rate: u64) -> Result<Self> {
        let server = FloodProcess::start(Flood { rate, ..Flood::of(messages, 0) }, None);
        let draft = draft(window, name, &endpoint(server.port)).await?;
        save(window, &draft).await?;
        window.click(name).await?;
        window.engine("connect", json!({"id": draft["id"]})).await?;
        Ok(Self { id: draft["id"].clone(), _server: server })
    }

    /// More messages for a connection that has some.
    async fn resume(window: &Window, before: &Self, rate: u64) -> Result<Self> {
        let server = FloodProcess::start(Flood::paced(u64::MAX / 2_000_000, rate), None);
        let mut draft = window.engine("profile", json!({"id": before.id})).await?;
        draft["endpoint"] = endpoint(server.port);
        save(window, &draft).await?;
        window.engine("connect", json!({"id": before.id})).await?;
        Ok(Self { id: before.id.clone(), _server: server })
    }

    async fn counters(&self, window: &Window) -> Result<Value> {
        let all = window.engine("connections", json!({})).await?;
        let mine = all.as_array().into_iter().flatten().find(|status| status["id"] == self.id);
        Ok(mine.context("the connection")?["counters"].clone())
    }

    async fn stored(&self, window: &Window, messages: u64) -> Result<()> {
        loop {
            let counters = self.counters(window).await?;
            ensure!(counters["dropped"] == 0, "messages were lost: {counters}");
            if counters["stored"].as_u64() > Some(messages) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn end(&self, window: &Window) -> Result<()> {
        window.engine("disconnect", json!({"id": self.id})).await.map(|_| ())
    }
}

fn endpoint(port: u16) -> Value {
    json!({"websocket": false, "tls": false, "host": "127.0.0.1", "port": port.to_string(), "path": ""})
}

async fn draft(window: &Window, name: &str, endpoint: &Value) -> Result<Value> {
    let mut draft = window.engine("new_draft", json!({})).await?;
    draft["name"] = json!(name);
    draft["endpoint"] = endpoint.clone();
    draft["settings"]["subscriptions"] = json!([{"filter": "#", "enabled": true, "qos": 0}]);
    // Nothing is to be deleted while it is measured.
    draft["settings"]["retention"] = json!({"max_bytes": null, "max_rows": null, "max_age_s": null});
    Ok(draft)
}

async fn save(window: &Window, draft: &Value) -> Result<()> {
    window.engine("save_profile", json!({"draft": draft, "folder": null, "secrets": []})).await.map(|_| ())
}

fn told_pss(window: &Window, when: &str, before: Option<Memory>) -> Result<Memory> {
    let now = pss(window.process()?)?;
    let Memory { own, web, processes } = now;
    let more = before
        .map_or(String::new(), |before| format!(", {:+} MB", (now.all() as i64 - before.all() as i64) >> 20));
    println!(
        "  memory of its {processes} processes, {when}: {} MB, the web view's {} MB of them{more}",
        (own + web) >> 20,
        web >> 20
    );
    Ok(now)
}

/// How long each frame took, in milliseconds.
async fn frames(window: &Window) -> Result<Vec<f64>> {
    let script = "const [seconds, done] = arguments; const times = []; let last = performance.now(); const end = last + seconds * 1000;\
                  const frame = () => { const now = performance.now(); times.push(now - last); last = now;\
                    if (now < end) requestAnimationFrame(frame); else done(times); };\
                  requestAnimationFrame(frame);";
    let times = window.later(script, vec![json!(SECONDS)]).await?;
    Ok(times.as_array().context("times")?.iter().filter_map(Value::as_f64).collect())
}

fn tell_frames(name: &str, times: &[f64], still: Option<&[f64]>) {
    let a_second = |times: &[f64]| times.len() as f64 * 1e3 / times.iter().sum::<f64>();
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part) as usize];
    let ratio = still
        .map_or(String::new(), |still| format!(", {:.2} of an idle page", a_second(times) / a_second(still)));
    println!(
        "  {name}: {:.1} frames a second{ratio}; a frame {:.0} ms at the median, {:.0} at the 99th percentile, {:.0} the longest",
        a_second(times),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// What a person notices while messages pour in.
async fn while_pouring(window: &Window, pouring: &Pouring, options: &Options, still: &[f64]) -> Result<()> {
    println!(" At {} messages a second (load {})", thousands(options.rate as f64), load());
    let before = (Instant::now(), pouring.counters(window).await?["stored"].as_u64().unwrap_or(0));
    let busy = memory::cpu(window.process()?)?;
    tell_frames("following the newest", &frames(window).await?, Some(still));
    let now = memory::cpu(window.process()?)?;
    let cores =
        |since: Duration, until: Duration| (until - since).as_secs_f64() / before.0.elapsed().as_secs_f64();
    println!("  processor: {:.2} cores, the web view {:.2} more", cores(busy.0, now.0), cores(busy.1, now.1));
    let stored = pouring.counters(window).await?["stored"].as_u64().unwrap_or(0) - before.1;
    println!("  stored meanwhile: {}/s", thousands(stored as f64 / before.0.elapsed().as_secs_f64()));
    keys_to_paint(window).await?;
    let counters = pouring.counters(window).await?;
    ensure!(counters["dropped"] == 0, "messages were lost: {counters}");
    Ok(())
}

async fn rect(window: &Window, element: &str) -> Result<Rect> {
    let script = format!(
        "const box = ({element}).getBoundingClientRect(); return [box.x, box.y, box.width, box.height]"
    );
    let found = window.js(&script).await?;
    let [x, y, width, height] = [0, 1, 2, 3].map(|at| found[at].as_f64().unwrap_or_default());
    Ok(Rect { x: x.ceil() as i16, y: y.ceil() as i16, width: width as u16, height: height as u16 })
}

/// From a key pressed at the X server to other pixels on the screen.
async fn keys_to_paint(window: &Window) -> Result<()> {
    let screen = Screen::open()?;
    // A caret blinks without a key.
    window.js("const quiet = document.createElement('style'); quiet.textContent = '* { caret-color: transparent !important }'; document.head.append(quiet)").await?;
    let topic = "document.querySelector('[data-pane=composer] input')";
    window.js(&format!("{topic}.focus()")).await?;
    let mut times = Vec::new();
    let place = rect(window, topic).await?;
    for at in 0..KEYS {
        times
            .push(screen.key_to_paint(if at % 2 == 0 { screen::LETTER_A } else { screen::LETTER_B }, place)?);
        tokio::time::sleep(Duration::from_millis(83)).await;
    }
    tell("a letter typed, to the screen", &mut times);

    window.js("document.querySelector('[role=grid]').focus()").await?;
    window.press("Up").await?;
    window
        .until("a selected row", "return document.querySelector('[role=row][aria-selected=true]') !== null")
        .await?;
    let mut place = rect(window, "document.querySelector('[role=grid] .scroller')").await?;
    place.width = 4;
    let mut times = Vec::new();
    for at in 0..KEYS {
        times.push(screen.key_to_paint(if at % 2 == 0 { screen::UP } else { screen::DOWN }, place)?);
        tokio::time::sleep(Duration::from_millis(83)).await;
    }
    tell("the selection moved, to the screen", &mut times);
    window.press("End").await
}

/// From the server writing a message until its row is in the page, in the frame that paints it.
async fn row_latency(window: &Window) -> Result<()> {
    let script = "const [seconds, done] = arguments; const seen = []; const end = performance.now() + seconds * 1000;\
        const frame = () => {\
          const rows = document.querySelectorAll('[role=grid] [role=row] .pv');\
          const said = rows.length && /\"t\":(\\d{16})/.exec(rows[rows.length - 1].textContent);\
          if (said) seen.push([performance.timeOrigin + performance.now(), Number(said[1]) / 1000]);\
          if (performance.now() < end) requestAnimationFrame(frame); else done(seen); };\
        requestAnimationFrame(frame);";
    tokio::time::sleep(Duration::from_secs(2)).await;
    let seen = window.later(script, vec![json!(SECONDS)]).await?;
    let seen: Vec<(f64, f64)> = seen
        .as_array()
        .context("rows")?
        .iter()
        .filter_map(|pair| Some((pair[0].as_f64()?, pair[1].as_f64()?)))
        .collect();
    let mut times = Vec::new();
    for pair in seen.windows(2) {
        let ([(_, before), (at, newest)], mut sent) = ([pair[0], pair[1]], pair[1].1);
        // A message each millisecond: those since the row before are seen in the same frame.
        while sent > before {
            times.push(Duration::from_secs_f64((at - sent).max(0.0) / 1e3));
            sent -= 1.0;
        }
        ensure!(newest >= before, "rows in order");
    }
    ensure!(times.len() > 1_000, "rows were seen");
    tell("a message sent, to its row, at 1,000 a second", &mut times);
    Ok(())
}

/// What a person notices who looks through what is stored.
async fn read_back(window: &Window) -> Result<()> {
    println!(" Reading back in the window (load {})", load());
    let first_rows = "const [name, done] = arguments;\
        const item = [...document.querySelectorAll('[role=treeitem]')].find((i) => i.innerText.includes(name) || i.getAttribute('aria-label')?.includes(name));\
        const begun = performance.now(); item.click();\
        const frame = () => document.querySelectorAll('[role=grid] [role=row] .pv').length > 10 ? done(performance.now() - begun) : requestAnimationFrame(frame);\
        requestAnimationFrame(frame);";
    let mut times = Vec::new();
    for _ in 0..10 {
        window.click("Few").await?;
        window
            .until("its few rows", "return /^1,0\\d\\d stored/m.test(document.body.innerText) && document.querySelectorAll('[role=grid] [role=row] .pv').length > 10")
            .await?;
        let waited = window.later(first_rows, vec![json!("Many")]).await?;
        times.push(Duration::from_secs_f64(waited.as_f64().context("rows")? / 1e3));
    }
    tell("a click on the connection, to its rows", &mut times);

    // Places that wait for their rows are counted at each frame, while somebody scrolls.
    let watch = "window.blank = { frames: 0, with: 0, run: 0, longest: 0, on: true }; const look = () => { const b = window.blank;\
        const waiting = document.querySelector('[role=grid] .gr .skel') !== null;\
        b.frames++; if (waiting) { b.with++; b.run++; b.longest = Math.max(b.longest, b.run); } else b.run = 0;\
        if (b.on) requestAnimationFrame(look); }; requestAnimationFrame(look);";
    let told = async |name: &str| -> Result<()> {
        let blank = window.js("window.blank.on = false; return window.blank").await?;
        println!(
            "  scrolled by {name}: {} of {} frames with a place that waits for its row, at most {} in a row",
            blank["with"], blank["frames"], blank["longest"]
        );
        Ok(())
    };
    let screen = Screen::open()?;
    let place = rect(window, "document.querySelector('[role=grid] .scroller')").await?;
    screen.point(place.x + 200, place.y + 100)?;
    window.js(watch).await?;
    for turn in 0..200 {
        screen.button(if turn % 50 == 49 { screen::WHEEL_DOWN } else { screen::WHEEL_UP })?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    told("the wheel").await?;
    window.js(watch).await?;
    window
        .later(
            "const done = arguments[arguments.length - 1]; const s = document.querySelector('[role=grid] .scroller'); let n = 0;\
             const step = () => { s.scrollTop = (s.scrollHeight - s.clientHeight) * (0.5 + 0.5 * Math.cos(n / 40)); if (++n < 300) requestAnimationFrame(step); else done(true); };\
             requestAnimationFrame(step);",
            Vec::new(),
        )
        .await?;
    told("its bar").await?;
    window.js("document.querySelector('[role=grid]').focus()").await?;
    window.js(watch).await?;
    for _ in 0..100 {
        screen.key(screen::PAGE_UP)?;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    told("keys").await?;
    window.press("End").await
}

/// From the start of the process until the newest rows of what was stored are there.
async fn reopened(folder: &Path) -> Result<()> {
    let window = Window::start(folder, "bench", &[]).await?;
    window
        .until("rows", "return document.querySelectorAll('[role=grid] [role=row] .pv').length > 10")
        .await?;
    let took = memory::uptime()? - memory::started(window.process()?)?;
    println!("  started again, to the rows of what is stored: {:.0} ms", took * 1e3);
    window.close().await
}

/// Payloads of 100 MiB: what the processes take at most, and how long it takes, until they are there, shown, saved, compared.
async fn big(window: &Window, idle: Memory) -> Result<()> {
    const SIZE: usize = 100 << 20;
    let folder = tempfile::tempdir()?;
    let mosquitto = Mosquitto::start(&Pki::make(folder.path()), &MosquittoOptions::default());
    let draft = draft(window, "Big", &endpoint(mosquitto.mqtt)).await?;
    save(window, &draft).await?;
    window.click("Big").await?;
    window.engine("connect", json!({"id": draft["id"]})).await?;
    window.until("connected", "return /^Connected/m.test(document.body.innerText)").await?;

    let file = folder.path().join("payload");
    let mut payload: Vec<u8> = (0..SIZE).map(|at| b"0123456789abcdefghijklmnopqrstu\n"[at % 32]).collect();
    let rows = "[...document.querySelectorAll('[role=grid] .gr')].filter((row) => row.innerText.includes('plant/image'))";
    for n in 1..=2 {
        payload[SIZE - n] = b'#';
        std::fs::write(&file, &payload)?;
        let publish = async {
            let port = mosquitto.mqtt.to_string();
            let mut publisher = tokio::process::Command::new("mosquitto_pub");
            publisher.args(["-h", "127.0.0.1", "-p", &port, "-t", "plant/image", "-f"]).arg(&file);
            ensure!(publisher.status().await?.success(), "mosquitto_pub");
            window.until("it has come", &format!("return {rows}.length === {n}")).await.map(|_| ())
        };
        at_most(window, &format!("message {n} of 100 MiB comes"), idle, publish).await?;
    }
    drop(payload);
    let shown = async {
        let place = window.place(&format!("{rows}.at(-1)"), 0.3, 0.5).await?;
        window.drag(place, &[]).await?;
        window.drop().await?;
        window.until("its first part", "return /Showing the first/.test(document.body.innerText)").await
    };
    at_most(window, "one of them shown", idle, shown).await?;
    let view = window.engine("open_view", json!({"id": draft["id"], "filter": {}})).await?;
    let page = window.engine("page", json!({"view": view["view"], "start": 0, "limit": 10})).await?;
    let rows = page["rows"].as_array().context("rows")?;
    let seq = rows.iter().rfind(|row| row["kind"] == "message").context("a message")?["seq"].clone();
    let saved = window.engine(
        "save_message_payload",
        json!({"id": draft["id"], "seq": seq, "path": folder.path().join("saved")}),
    );
    at_most(window, "one of them saved", idle, saved).await?;
    let compared = async {
        window.press("d").await?;
        window.until("the difference", "return /They differ in/.test(document.body.innerText)").await
    };
    at_most(window, "both compared", idle, compared).await?;
    Ok(())
}

/// Does something, and tells how long that took and what the processes took at most meanwhile.
async fn at_most<T>(
    window: &Window,
    name: &str,
    idle: Memory,
    doing: impl Future<Output = Result<T>>,
) -> Result<()> {
    let (process, begun) = (window.process()?, Instant::now());
    let mut most = pss(process)?;
    tokio::pin!(doing);
    loop {
        tokio::select! {
            done = &mut doing => break done.map(|_| ())?,
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                let now = pss(process)?;
                most = Memory { own: most.own.max(now.own), web: most.web.max(now.web), ..now };
            }
        }
    }
    println!(
        "  {name}, in {:.1} s: at most {} MB, the web view's {} MB of them ({:+} and {:+} MB over the empty window)",
        begun.elapsed().as_secs_f64(),
        most.all() >> 20,
        most.web >> 20,
        (most.own as i64 - idle.own as i64) >> 20,
        (most.web as i64 - idle.web as i64) >> 20,
    );
    Ok(())
}

/// Memory, minute by minute, while messages go on pouring in.
async fn soak(window: &Window, options: &Options, still: &[f64], idle: Memory) -> Result<()> {
    let Options { minutes, rate, .. } = options;
    println!(" {minutes} minutes at {} messages a second", thousands(*rate as f64));
    let soak = Pouring::start(window, "Soak", u64::MAX / 2_000_000, *rate).await?;
    for minute in 1..=*minutes {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let name = format!("minute {minute} (load {})", load());
        told_pss(window, &name, Some(idle))?;
    }
    tell_frames("at its end", &frames(window).await?, Some(still));
    soak.end(window).await
}

fn tell(name: &str, times: &mut [Duration]) {
    times.sort();
    let millis = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!(
        "  {name}: {:.0} ms at the median, {:.0} at the 99th percentile, {:.0} the longest of {}",
        millis(0.5),
        millis(0.99),
        millis(1.0),
        times.len()
    );
}
