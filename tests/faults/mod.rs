//! The catalogue of what can go wrong: a table, one row a fault, each met against a server that really behaves
//! so. In: rows. Out: what each attempt was named, beside what it should be.
//!
//! To add a fault, add one line to `table.rs`: its name, what the server does, what the person asked for, and
//! then the code, the stage (`tls@mqtt`: it lies in TLS and showed in MQTT), the fix that comes first, and
//! the facts that must be there as evidence.

#![allow(dead_code, unused_imports, clippy::panic, reason = "each test uses a part")]

mod ask;
mod certificates;
mod namespace;
mod peers;
mod proxies;
mod real;
mod table;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use heliograph_engine::session;
use heliograph_engine::trace::{Outcome, Stage, Trace};
use serde_json::Value;

pub use ask::{Ask, mqtt, mqtts, ws, wss};
pub use certificates::Certificates;
pub use namespace::{inside_namespace, namespace_rows, namespace_table, run_in_namespace};
pub use peers::{Script, TlsPeer, upgrade};
pub use proxies::Proxy;
pub use real::World;
pub use table::{rabbit_rows, rows};

/// Attempts at the same time.
const SIDE_BY_SIDE: usize = 12;

/// Bounds of an attempt in seconds: of those that end by it, and of all others.
const HURRIED: u16 = 1;
const PATIENT: u16 = 10;

/// How much later than its bound an attempt may end on a busy machine.
const GRACE: Duration = Duration::from_secs(3);

/// What is at the other end.
#[derive(Debug, Clone)]
pub enum Server {
    /// A port on which nobody listens.
    Nobody,
    /// A port whose connections are never taken: the request to connect gets no answer.
    Unanswering,
    /// Another host, on the usual port.
    Host(&'static str),
    /// A scripted server in the clear.
    Plain(Script),
    /// A scripted server inside TLS.
    Tls(TlsPeer, Script),
    /// A listener of a real server, by name: see `real.rs`.
    Real(&'static str),
}

/// One fault.
#[derive(Debug, Clone)]
pub struct Row {
    pub name: &'static str,
    pub server: Server,
    pub ask: Ask,
    /// The code; `connected` where all is well.
    pub code: &'static str,
    /// The stage, and after `@` the one in which it showed when that is another.
    pub stage: &'static str,
    /// The beginning of the first fix: its kind and what it changes.
    pub fix: &'static str,
    /// Names of evidence, or `name=value`, where the value is a part of what stands there.
    pub facts: &'static [&'static str],
}

/// What became of a row.
pub struct Met {
    pub row: Row,
    pub url: String,
    pub trace: Trace,
    /// The bound of the attempt in seconds.
    pub bound: u16,
    pub took: Duration,
    /// What is not as the row says.
    pub wrong: Vec<String>,
}

/// Meets all rows, some side by side. What is not as it should be within a short bound is met again with a longer
/// one, alone: on a busy machine a second may have passed before the stage that the row is about.
pub async fn meet(world: &Arc<World>, rows: Vec<Row>) -> Vec<Met> {
    let mut all: Vec<Met> = futures_util::stream::iter(rows)
        .map(|row| {
            let bound = if row.code.ends_with("_timeout") || row.ask.hurried { HURRIED } else { PATIENT };
            tokio::spawn(meet_one(world.clone(), row, bound))
        })
        .buffered(SIDE_BY_SIDE)
        .map(|met| met.expect("a row"))
        .collect()
        .await;
    for met in all.iter_mut().filter(|met| !met.wrong.is_empty() && met.bound == HURRIED) {
        *met = meet_one(world.clone(), met.row.clone(), PATIENT).await;
    }
    all
}

async fn meet_one(world: Arc<World>, row: Row, bound: u16) -> Met {
    let port = world.port(&row.server).await;
    let proxy = match &row.ask.proxy {
        Some((_, proxy, _)) => Some(world.proxy(proxy).await),
        None => None,
    };
    let config = row.ask.config(&row.server, port, proxy, bound, &world.certificates);
    let url = config.profile.endpoint.url();
    let began = Instant::now();
    let trace = session::test(config, Arc::new(|_| {})).await;
    let took = began.elapsed();
    let mut wrong = judge(&row, &url, &trace);
    if took > Duration::from_secs(bound.into()) + GRACE {
        wrong.push(format!("it took {took:?} of {bound} s"));
    }
    Met { row, url, trace, bound, took, wrong }
}

fn judge(row: &Row, url: &str, trace: &Trace) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut want = |ok: bool, text: String| {
        if !ok {
            wrong.push(text);
        }
    };
    let verdict = trace.verdict.as_ref().expect("a verdict");
    let stages: Vec<_> = trace.stages.iter().map(|report| (report.detail.stage(), report.outcome)).collect();
    want(stages.len() == 7, format!("not every stage is told: {stages:?}"));
    let scheme = url.split(':').next().unwrap_or_default();
    for (stage, outcome) in &stages {
        let takes_part = match stage {
            Stage::Tls => matches!(scheme, "mqtts" | "wss"),
            Stage::Websocket => matches!(scheme, "ws" | "wss"),
            Stage::Proxy => row.ask.proxy.is_some(),
            _ => true,
        };
        let fits = *outcome != Outcome::Running && (takes_part || *outcome == Outcome::Skipped);
        want(fits, format!("stage {stage:?} is {outcome:?}"));
    }
    let Some(failure) = &verdict.failure else {
        want(row.code == "connected", "connected".to_owned());
        return wrong;
    };
    let json = serde_json::to_value(failure).expect("json");
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    let stage = match text("seen_during") {
        seen if seen == text("stage") => seen,
        seen => format!("{}@{seen}", text("stage")),
    };
    want(text("code") == row.code, format!("code {}", text("code")));
    want(stage == row.stage, format!("stage {stage}"));
    for (stage, outcome) in &stages {
        let fits = match (*stage).cmp(&failure.seen_during) {
            std::cmp::Ordering::Equal => *outcome == Outcome::Failed,
            // With a proxy, TCP comes before it, but the name is looked up by it.
            std::cmp::Ordering::Less => *outcome != Outcome::Failed,
            std::cmp::Ordering::Greater => *outcome == Outcome::Skipped,
        };
        let order_differs = row.ask.proxy.is_some() && matches!(stage, Stage::Tcp | Stage::Proxy);
        want(fits || order_differs, format!("stage {stage:?} is {outcome:?}, and it failed in {stage:?}"));
    }
    let fixes: Vec<_> = json["fixes"].as_array().into_iter().flatten().map(fix_words).collect();
    let first = fixes.first().cloned().unwrap_or_default();
    want(first.starts_with(row.fix) && !first.is_empty(), format!("first fix {first:?} of {fixes:?}"));
    want(!first.contains("insecure"), "the first fix is insecure".to_owned());
    want(!text("cause").is_empty(), "no cause".to_owned());
    want(names_something(&text("message"), row, url), format!("it names nothing: {}", text("message")));
    for fact in row.facts {
        let (name, part) = fact.split_once('=').unwrap_or((fact, ""));
        let found = match &json["evidence"][name] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        want(found.as_ref().is_some_and(|found| found.contains(part)), format!("{fact}: there is {found:?}"));
    }
    wrong
}

/// A sentence names the host and port, the file, or the proxy.
fn names_something(message: &str, row: &Row, url: &str) -> bool {
    let authority = url.split('/').nth(2).unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    message.contains(host) || (row.stage == "identity" && message.contains('/')) || row.ask.proxy.is_some()
}

/// `set_transport mqtts 8883`.
fn fix_words(fix: &Value) -> String {
    let mut words = vec![fix["kind"].as_str().unwrap_or_default().to_owned()];
    let change = fix["change"].as_object();
    words.extend(change.into_iter().flatten().map(|(_, value)| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }));
    words.join(" ")
}

/// Prints what is wrong and fails, or prints the figures.
pub fn report(what: &str, met: &[Met], took: Duration) {
    let wrong: Vec<_> = met.iter().filter(|met| !met.wrong.is_empty()).collect();
    for met in &wrong {
        println!("✗ {} ({}): wanted {} in {}", met.row.name, met.url, met.row.code, met.row.stage);
        for line in &met.wrong {
            println!("    {line}");
        }
        if let Some(failure) = met.trace.verdict.as_ref().and_then(|verdict| verdict.failure.as_ref()) {
            println!("    {} {}", failure.message, failure.cause);
            println!("    {}", serde_json::to_string(&failure.evidence).unwrap_or_default());
        }
    }
    let mut slowest: Vec<_> = met.iter().map(|met| (met.took, met.row.name)).collect();
    slowest.sort_by(|a, b| b.cmp(a));
    for (took, name) in slowest.iter().take(5) {
        println!("  {took:>8.2?}  {name}");
    }
    println!("{what}: {} rows, {} named right, {took:.1?}", met.len(), met.len() - wrong.len());
    assert!(wrong.is_empty(), "{} rows are not named as they should be", wrong.len());
}
