//! The same with a real mosquitto between, where that is the limit: receiving beside `mosquitto_sub`, publishing
//! beside `mosquitto_pub` and the bare library, connections, latencies.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use heliograph_engine::Engine;
use heliograph_engine::history::RowFilter;
use heliograph_engine::message::Clock;
use heliograph_engine::profile::MqttVersion;
use heliograph_engine::vault::Keyring;
use serde_json::Value;

use crate::brokers::{Mosquitto, MosquittoOptions, Pki};
use crate::ingest::{self, Reach};
use crate::machine::{self, Rate, print, thousands};
use crate::{peers, raw};

const HELIO: &str = env!("CARGO_BIN_EXE_helio");
/// Each is measured so often, in turn with its peer, and the best counts: the machine may be busy with something else.
const ROUNDS: usize = 2;

/// mosquitto without limits that drop, and without a log line a message. It says each second what it counted.
fn start(folder: &Path) -> Mosquitto {
    let extra = "log_type subscribe\nsys_interval 1\n".into();
    let options = MosquittoOptions { extra, ..MosquittoOptions::default() };
    Mosquitto::start(&Pki::make(folder), &options)
}

fn best(rates: &[Rate]) -> Rate {
    rates.iter().copied().max_by(|a, b| a.a_second().total_cmp(&b.a_second())).expect("a round")
}

/// From mosquitto to the disk, beside `mosquitto_sub > /dev/null`.
pub async fn receive(folder: &Path, messages: u64) {
    for qos in 0..=2 {
        let messages = messages / [5, 20, 40][usize::from(qos)];
        println!(" QoS {qos}, {messages} messages of 64 bytes");
        let (mut peer, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            peer.push(mosquitto_sub(folder, qos, messages));
            let broker = start(folder);
            let flood = async {
                tokio::task::block_in_place(|| subscribed(&broker));
                flood_it(broker.mqtt, messages, qos)
            };
            let reach = [Reach::plain(broker.mqtt)];
            let (rate, flooding) =
                ingest::stored_beside(&reach, MqttVersion::V311, qos, messages, flood).await;
            finish(flooding);
            ours.push(rate);
        }
        print("mosquitto_sub > /dev/null", best(&peer), None);
        print("engine, stored on disk", best(&ours), Some(("mosquitto_sub", best(&peer))));
    }
}

fn mosquitto_sub(folder: &Path, qos: u8, messages: u64) -> Rate {
    let broker = start(folder);
    let mut child = Command::new("mosquitto_sub")
        .args(["-p", &broker.mqtt.to_string(), "-t", "#", "-q", &qos.to_string(), "-V", "311"])
        .args(["-C", &messages.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .expect("mosquitto_sub");
    subscribed(&broker);
    let (began, before) = (Instant::now(), machine::children_cpu());
    let flooding = flood_it(broker.mqtt, messages, qos);
    let ended = child.wait().expect("its end");
    assert!(ended.success(), "mosquitto_sub got everything");
    let rate = Rate { messages, wall: began.elapsed(), cpu: machine::children_cpu() - before };
    finish(flooding);
    rate
}

/// Waits until somebody has subscribed to everything: mosquitto logs client, QoS and filter.
fn subscribed(broker: &Mosquitto) {
    let began = Instant::now();
    while !broker.log().lines().any(|line| line.ends_with(" #")) {
        assert!(began.elapsed() < Duration::from_secs(10), "nobody subscribed: {}", broker.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Publishes from a process of its own.
fn flood_it(port: u16, messages: u64, qos: u8) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg("publish-flood").args([port.to_string(), messages.to_string(), qos.to_string()]);
    command.spawn().expect("a child")
}

fn finish(mut child: Child) {
    assert!(child.wait().expect("its end").success(), "the flood was taken");
}

/// `helio bench pub`, `mosquitto_pub -l` and the bare library in turn. The broker says how many came: a publisher that
/// loses some is not compared with.
pub async fn publish(folder: &Path, messages: u64) {
    for qos in 0..=2_u8 {
        // mosquitto_pub -l takes all its lines at once, and loses what more than 65,535 packet identifiers would be for.
        let messages = messages / [8, 40, 40][usize::from(qos)];
        println!(" QoS {qos}, {messages} messages of 64 bytes");
        let broker = start(folder);
        let lines = folder.join("lines");
        std::fs::write(&lines, format!("{}\n", "x".repeat(64)).repeat(messages as usize)).expect("written");
        let (port, level, count) = (broker.mqtt.to_string(), qos.to_string(), messages.to_string());
        let [mut c, mut rust, mut ours] =
            ["mosquitto_pub -l", "the library alone", "helio bench pub"].map(Publisher::of);
        let counter = Counter::of(qos);
        let mut before = 0;
        let mut lost = || {
            let now = counter.told(&port, before + messages);
            messages - (now - std::mem::replace(&mut before, now)).min(messages)
        };
        for _ in 0..ROUNDS {
            let mut mosquitto_pub = Command::new("mosquitto_pub");
            mosquitto_pub.args(["-p", &port, "-t", "helio/bench", "-q", &level, "-l", "-V", "5"]);
            mosquitto_pub.stdin(File::open(&lines).expect("there"));
            let (began, cpu) = (Instant::now(), machine::children_cpu());
            assert!(mosquitto_pub.status().expect("started").success(), "it says that everything was taken");
            let rate = Rate { messages, wall: began.elapsed(), cpu: machine::children_cpu() - cpu };
            c.round(rate, lost());
            rust.round(peers::publish(broker.mqtt, qos, messages).await, lost());
            let mut helio = Command::new(HELIO);
            let url = format!("mqtt://127.0.0.1:{port}");
            helio.args(["bench", "pub", &url, "-q", &level, "--count", &count, "--json"]);
            ours.round(helio_pub(&mut helio, messages), lost());
        }
        assert_eq!(ours.lost, 0, "helio lost some");
        let peers = [&c, &rust].map(|peer| peer.print(None));
        let fastest = peers.into_iter().flatten().max_by(|a, b| a.1.a_second().total_cmp(&b.1.a_second()));
        ours.print(fastest);
    }
}

/// A publisher's rounds.
struct Publisher {
    name: &'static str,
    whole: Vec<Rate>,
    lost: u64,
}

impl Publisher {
    fn of(name: &'static str) -> Self {
        Self { name, whole: Vec::new(), lost: 0 }
    }

    /// Takes note of a round. One that lost messages has no rate.
    fn round(&mut self, rate: Rate, lost: u64) {
        self.lost = self.lost.max(lost);
        if lost == 0 {
            self.whole.push(rate);
        }
    }

    fn print(&self, peer: Option<(&str, Rate)>) -> Option<(&'static str, Rate)> {
        if self.lost > 0 {
            println!("  {:<44} ended well, and {} never came", self.name, thousands(self.lost as f64));
        }
        let best = (!self.whole.is_empty()).then(|| best(&self.whole))?;
        print(self.name, best, peer);
        Some((self.name, best))
    }
}

/// What the broker counts of a publication.
struct Counter {
    topic: &'static str,
    packets: u64,
}

impl Counter {
    /// mosquitto counts PUBLISH of QoS 0 and 1 alone. Of QoS 2 there are PUBLISH and PUBREL among all packets, with
    /// a CONNECT or two of others.
    fn of(qos: u8) -> Self {
        match qos {
            2 => Self { topic: "$SYS/broker/messages/received", packets: 2 },
            _ => Self { topic: "$SYS/broker/publish/messages/received", packets: 1 },
        }
    }

    /// How many the broker has, as soon as it says so many, or after three seconds.
    fn told(&self, port: &str, expected: u64) -> u64 {
        let mut child = Command::new("mosquitto_sub")
            .args(["-p", port, "-W", "3", "-t", self.topic])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto_sub");
        let mut last = 0;
        for line in BufReader::new(child.stdout.take().expect("its output")).lines() {
            last = line.expect("text").parse::<u64>().expect("a number") / self.packets;
            if last >= expected {
                break;
            }
        }
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().expect("its end");
        last
    }
}

/// As it measures itself: from the first message to the last. It also waits until the broker has read everything
/// before it closes, which the others do not.
fn helio_pub(command: &mut Command, messages: u64) -> Rate {
    let before = machine::children_cpu();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("helio");
    let told: Value = serde_json::from_reader(child.stdout.take().expect("its output")).expect("an object");
    assert!(child.wait().expect("its end").success() && told["messages"] == messages, "{told}");
    let wall = Duration::from_secs_f64(told["seconds"].as_f64().expect("a number"));
    Rate { messages, wall, cpu: machine::children_cpu() - before }
}

fn helio_json(words: &[&str]) -> Value {
    let output = Command::new(HELIO).args(words).stderr(Stdio::inherit()).output().expect("helio");
    serde_json::from_slice(&output.stdout).expect("an object")
}

/// `helio bench conn` with 2,000 connections, beside a bare socket that connects one after the other.
pub fn connections(folder: &Path) {
    let broker = start(folder);
    let url = format!("mqtt://127.0.0.1:{}", broker.mqtt);
    let told =
        helio_json(&["bench", "conn", &url, "--count", "2000", "--rate", "1000", "--hold", "2", "--json"]);
    let connack = &told["connack_us"];
    println!(
        "  helio bench conn: {} of 2,000 connected at {}/s, {} lost in 2 s; CONNACK p50 {} µs, p99 {} µs",
        told["connected"], told["connections_per_s"], told["lost"], connack["p50"], connack["p99"]
    );
    let mut micros: Vec<_> = (0..2_000)
        .map(|number| raw::connect(broker.mqtt, &format!("raw-{number}")).1.as_micros() as u64)
        .collect();
    micros.sort_unstable();
    println!(
        "  a bare socket, one after the other: CONNACK p50 {} µs, p99 {} µs",
        micros[1_000], micros[1_980]
    );
}

/// At 1,000 messages a second: from publishing to PUBACK, to the subscriber, and to a row that can be read.
pub async fn latency(folder: &Path) {
    let broker = start(folder);
    let url = format!("mqtt://127.0.0.1:{}", broker.mqtt);
    // Four clients: the timer ticks every millisecond, and of two messages that go at once mosquitto, which does not
    // set TCP_NODELAY, holds the second PUBACK back until the next packet.
    let words = ["--rate", "1000", "--clients", "4", "--duration", "5", "--warmup", "1", "-q", "1"];
    let words = [&words[..], &["--receive", "--json"]].concat();
    let told = helio_json(&[&["bench", "pub", &url], &words[..]].concat());
    let (acknowledged, received) = (&told["latency_us"], &told["received"]);
    let floor = raw::round_trips(broker.mqtt, 5_000);
    println!(
        "  PUBLISH to PUBACK: p50 {} µs, p99 {} µs; a bare socket: p50 {} µs, p99 {} µs",
        acknowledged["p50"], acknowledged["p99"], floor[2_500], floor[4_950]
    );
    println!(
        "  publisher to subscriber: p50 {} µs, p99 {} µs, {} of {} lost",
        received["latency_us"]["p50"],
        received["latency_us"]["p99"],
        received["loss"]["lost"],
        received["loss"]["expected"],
    );
    rows(folder, broker.mqtt, &url).await;
}

/// From receiving to a page that holds the row, as the window asks for it.
async fn rows(folder: &Path, port: u16, url: &str) {
    let engine = Engine::open_with(&folder.join("rows"), Keyring::none()).expect("an engine");
    let mut draft = engine.new_draft();
    let reach = Reach::plain(port);
    (draft.endpoint, draft.settings) = (reach.endpoint().into(), reach.settings(MqttVersion::V5, 0));
    let id = engine.save_profile(draft, None, Vec::new()).await.expect("saved").id;
    engine.connect(id).await.expect("connecting");
    while engine.connections().iter().all(|status| status.counters.stored == 0) {
        engine.events().await;
    }
    let view = engine.open_view(id, RowFilter::default()).await.expect("a view").view;
    let publishing = Command::new(HELIO)
        .args(["bench", "pub", url, "--rate", "1000", "--count", "5000", "--json"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("helio");
    let clock = Clock::start();
    let (mut micros, mut read) = (Vec::new(), 0);
    while micros.len() < 5_000 {
        engine.events().await;
        let rows = engine.page(view, read, 1_000).await.expect("a page").rows;
        let now = clock.now();
        read += rows.len() as u64;
        // The first row says that it is connected.
        micros.extend(rows.iter().filter(|row| row.seq > 1).map(|row| now - row.time));
    }
    finish(publishing);
    engine.close().await;
    micros.sort_unstable();
    let (p50, p99) = (thousands(micros[2_500] as f64), thousands(micros[4_950] as f64));
    println!("  received to a row in a page: p50 {p50} µs, p99 {p99} µs (load {})", machine::load());
}
