//! The figures of Heliograph, each beside a peer's in the same run. `./dev bench` runs them all,
//! `./dev bench NAME…` some; `--messages N` makes them longer or shorter. Prints, and never fails on a number; a message
//! that is lost does end it.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs, reason = "figures for people")]

mod broker;
#[path = "../brokers/mod.rs"]
mod brokers;
mod flood;
mod ingest;
mod machine;
mod peers;
mod raw;
mod read;

use std::path::Path;

use brokers::Pki;
use flood::{Flood, ServerTls};

const FIGURES: &[(&str, &str)] = &[
    ("flood", "Messages from a server that is no limit"),
    ("wss", "The same over wss with a client certificate"),
    ("many", "Sixteen connections at once"),
    ("read", "Reading back"),
    ("broker", "Messages from mosquitto"),
    ("publish", "Publishing to mosquitto"),
    ("conn", "Connections to mosquitto"),
    ("latency", "Latencies with mosquitto"),
];

fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == "serve-flood") {
        return machine::serve_flood(&words[1..]);
    }
    if words.first().is_some_and(|word| word == "publish-flood") {
        let [port, messages, qos] = [1, 2, 3].map(|at| words[at].parse::<u64>().expect("a number"));
        return raw::publish(port as u16, Flood::of(messages, qos as u8));
    }
    let mut messages = 2_000_000;
    if let Some(at) = words.iter().position(|word| word == "--messages") {
        messages = words.get(at + 1).and_then(|text| text.parse().ok()).expect("--messages N");
        words.drain(at..at + 2);
    }
    for word in &words {
        assert!(FIGURES.iter().any(|(name, _)| name == word), "no figure {word}: {FIGURES:?}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for (name, title) in FIGURES {
        if words.is_empty() || words.iter().any(|word| word == name) {
            println!("{title} ({name}, load {})", machine::load());
            runtime.block_on(measure(name, messages));
        }
    }
}

async fn measure(name: &str, messages: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    match name {
        "flood" => ingest::flood(messages).await,
        "wss" => {
            let pki = Pki::make(folder.path());
            let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
            let client = [text(&pki.ca), text(&pki.client.cert), text(&pki.client.key)];
            let server = ServerTls { cert: pki.server.cert, key: pki.server.key, ca: pki.ca };
            ingest::wss(messages, &server, client).await;
        }
        "many" => ingest::many(messages).await,
        "read" => read::read(messages).await,
        "broker" => broker::receive(folder.path(), messages).await,
        "publish" => broker::publish(folder.path(), messages).await,
        "conn" => broker::connections(folder.path()),
        "latency" => broker::latency(folder.path()).await,
        other => unreachable!("{other}"),
    }
}
