//! `helio bench conn`: opens connections at a steady rate, holds them, and says how long each took.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use heliograph_engine::session::{self, Phase, SessionConfig, SessionEvent, SessionHandle};
use heliograph_engine::trace::{Stage, Trace, VerdictOutcome};
use serde_json::json;
use tokio::task::JoinSet;

use super::figures;
use crate::args::BenchConnArgs;
use crate::failure::Ending;
use crate::live::{Inbox, Interrupts};
use crate::output;
use crate::target::{self, Wanted};

/// Files that are open besides the connections.
const OTHER_FILES: u64 = 64;

pub async fn run(args: BenchConnArgs) -> Result<(), Ending> {
    let mut config = target::resolve(&args.connection, &args.connection.only_in_5(), Wanted::Nothing)?;
    // What is measured is one attempt each.
    config.profile.settings.timing.reconnect = false;
    config.keep_trying = false;
    make_room(u64::from(args.count) + OTHER_FILES)?;
    let mut interrupts = Interrupts::listen();
    let sums = Arc::new(Mutex::new(Sums::default()));
    let begun = Instant::now();
    let mut handles = Vec::new();
    let interrupted = tokio::select! {
        () = open(&args, &config, &sums, &mut handles) => None,
        status = interrupts.first() => Some(status),
    };
    let seconds = begun.elapsed().as_secs_f64();
    let mut lost = 0;
    if interrupted.is_none() {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.hold.into())) => {}
            _ = interrupts.first() => {}
        }
        lost = lock(&sums).lost;
    }
    let goodbyes: JoinSet<_> =
        handles.into_iter().map(|handle: SessionHandle| async move { handle.disconnect(0).await }).collect();
    goodbyes.join_all().await;

    let sums = lock(&sums);
    report(&args, &sums, seconds, lost);
    if let Some(status) = interrupted {
        return Err(Ending::Shown(status));
    }
    match sums.failures.is_empty() && lost == 0 {
        true => Ok(()),
        false => Err(Ending::Shown(3)),
    }
}

/// A connection is an open file, and systems bound them: raises the bound as far as this process may.
#[cfg(unix)]
fn make_room(files: u64) -> Result<(), Ending> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no limit.
    if current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    let raised = Rlimit { current: maximum.map_or(Some(files), |most| Some(most.min(files))), maximum };
    if maximum.is_none_or(|most| most >= files) && setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    let most = maximum.or(current).unwrap_or_default();
    Err(Ending::Usage(format!(
        "This process may have {most} files open, and these connections need {files}: raise the limit with \
         `ulimit -Hn {files}` as root, or open fewer with --count"
    )))
}

/// Windows has no such bound.
#[cfg(not(unix))]
fn make_room(_: u64) -> Result<(), Ending> {
    Ok(())
}

/// What came of the attempts.
struct Sums {
    /// Whole attempts, from the name lookup to CONNACK, in microseconds.
    attempts: Histogram<u64>,
    /// From CONNECT to CONNACK.
    answers: Histogram<u64>,
    /// By code, with what one of them said.
    failures: BTreeMap<String, (u64, String)>,
    /// Connected, and ended unasked.
    lost: u64,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            attempts: figures::histogram(),
            answers: figures::histogram(),
            failures: BTreeMap::new(),
            lost: 0,
        }
    }
}

impl Sums {
    /// Takes the trace of an attempt that has ended; others say nothing yet.
    fn take(&mut self, trace: &Trace) {
        let Some(verdict) = trace.verdict.as_ref().filter(|_| trace.end.is_none()) else { return };
        if verdict.outcome == VerdictOutcome::Connected {
            self.attempts.saturating_record(verdict.micros.max(1));
            let mqtt = trace.stages.iter().find(|report| report.detail.stage() == Stage::Mqtt);
            self.answers.saturating_record(mqtt.map_or(1, |report| report.micros.max(1)));
        } else if let Some(failure) = &verdict.failure {
            let first = || (0, failure.message.clone());
            self.failures.entry(output::name_of(&failure.code)).or_insert_with(first).0 += 1;
        }
    }

    fn decided(&self) -> u64 {
        self.attempts.len() + self.failed()
    }

    fn failed(&self) -> u64 {
        self.failures.values().map(|(count, _)| count).sum()
    }
}

fn lock(sums: &Mutex<Sums>) -> std::sync::MutexGuard<'_, Sums> {
    sums.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins attempts at the rate, and returns when each has succeeded or failed.
async fn open(
    args: &BenchConnArgs,
    config: &SessionConfig,
    sums: &Arc<Mutex<Sums>>,
    handles: &mut Vec<SessionHandle>,
) {
    let begun = Instant::now();
    let mut told = begun;
    loop {
        let due = (begun.elapsed().as_secs_f64() * f64::from(args.rate)) as u32 + 1;
        for number in handles.len() as u32..due.min(args.count) {
            let config = super::numbered(config, number + 1, args.count);
            handles.push(start(config, sums.clone()));
        }
        let (connected, decided) = {
            let sums = lock(sums);
            (sums.attempts.len(), sums.decided())
        };
        if decided >= args.count.into() {
            return;
        }
        if told.elapsed() >= super::TICK * super::TICKS_A_LINE {
            let failed = figures::thousands(decided - connected);
            output::print_error(&format!("{} connected, {failed} failed\n", figures::thousands(connected)));
            told = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn start(config: SessionConfig, sums: Arc<Mutex<Sums>>) -> SessionHandle {
    let was_connected = Mutex::new(false);
    let events = Arc::new(move |event| match event {
        SessionEvent::Trace(trace) => lock(&sums).take(&trace),
        SessionEvent::Phase(phase) => {
            let mut connected = was_connected.lock().unwrap_or_else(PoisonError::into_inner);
            match phase {
                Phase::Connected { .. } => *connected = true,
                Phase::Failed { .. } if *connected => lock(&sums).lost += 1,
                _ => {}
            }
        }
        _ => {}
    });
    session::spawn(config, Inbox::new(false), events)
}

fn report(args: &BenchConnArgs, sums: &Sums, seconds: f64, lost: u64) {
    let (connected, failed) = (sums.attempts.len(), sums.failed());
    if args.json {
        let failures: serde_json::Map<_, _> =
            sums.failures.iter().map(|(code, (count, _))| (code.clone(), (*count).into())).collect();
        let told = json!({
            "command": "bench conn", "asked": args.count, "connected": connected, "failed": failed,
            "failures": failures, "lost": lost, "seconds": seconds,
            "connections_per_s": figures::rate(connected, seconds),
            "attempt_us": figures::latency_json(&sums.attempts),
            "connack_us": figures::latency_json(&sums.answers),
        });
        return output::line(&told.to_string());
    }
    let (of, rate) =
        (figures::thousands(args.count.into()), figures::thousands(figures::rate(connected, seconds)));
    let count = figures::thousands(connected);
    figures::line(
        "Connected",
        &format!("{count} of {of} in {seconds:.2} s: {rate}/s; {lost} lost while held"),
    );
    for (code, (count, message)) in &sums.failures {
        figures::line("Failed", &format!("{} {code}: {message}", figures::thousands(*count)));
    }
    if connected > 0 {
        figures::line("Attempt", &figures::latency_text(&sums.attempts));
        figures::line("CONNACK", &figures::latency_text(&sums.answers));
    }
}
