//! The catalogue of faults, as figures: how many rows, how many named right, and beside each what
//! `mosquitto_sub` answers to the same. Prints; never fails on a number. `./dev bench` runs it.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs, reason = "figures for people")]

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;
#[path = "../../../tests/faults/mod.rs"]
mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faults::{World, meet};
use futures_util::StreamExt;

#[tokio::main]
async fn main() {
    let world = Arc::new(World::start());
    let began = Instant::now();
    let met = meet(&world, faults::rows()).await;
    let took = began.elapsed();
    let faulty: Vec<_> = met.iter().filter(|met| met.row.code != "connected").collect();
    let right = faulty.iter().filter(|met| met.wrong.is_empty()).count();

    let answers: Vec<_> = futures_util::stream::iter(faulty.iter().map(|met| met.row.clone()))
        .map(|row| mosquitto_sub(world.clone(), row))
        .buffered(8)
        .collect()
        .await;
    // An answer names a fault when it stands for no other code: one that stands for several tells none of them.
    let mut stands_for: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (met, answer) in faulty.iter().zip(&answers) {
        if let Some(answer) = answer {
            stands_for.entry(answer).or_default().insert(met.row.code);
        }
    }
    let asked = answers.iter().flatten().count();
    let telling = answers.iter().flatten().filter(|answer| stands_for[answer.as_str()].len() == 1).count();
    for (met, answer) in faulty.iter().zip(&answers) {
        let answer = answer.as_deref().unwrap_or("(cannot be asked)");
        println!("{:<58} {:<30} {answer}", met.row.name, met.row.code);
    }
    println!();
    println!("helio          {} faults, {right} named right, {took:.1?} for all", faulty.len());
    println!(
        "mosquitto_sub  {asked} of them can be asked of it, {telling} get an answer that stands for one code alone; \
         {} different answers",
        stands_for.len()
    );
    let mut common: Vec<_> = stands_for.iter().filter(|(_, codes)| codes.len() > 1).collect();
    common.sort_by_key(|(_, codes)| std::cmp::Reverse(codes.len()));
    for (answer, codes) in common {
        println!("  {:>2} codes: {answer}", codes.len());
    }
}

/// Its last words, without numbers that differ from run to run; `None` where it cannot be asked.
async fn mosquitto_sub(world: Arc<World>, row: faults::Row) -> Option<String> {
    let port = world.port(&row.server).await;
    let proxy = match &row.ask.proxy {
        Some((_, proxy, _)) => Some(world.proxy(proxy).await),
        None => None,
    };
    let arguments = row.ask.mosquitto_sub(&row.server, port, proxy, &world.certificates)?;
    let child = tokio::process::Command::new("mosquitto_sub")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Ok(output) = tokio::time::timeout(Duration::from_secs(5), child).await else {
        return Some("(silence, then killed)".to_owned());
    };
    let output = output.ok()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let text = if lines.is_empty() { "(nothing)".to_owned() } else { lines.join(" / ") };
    Some(text.replace(&port.to_string(), "PORT"))
}
