//! `helio trace`: one attempt to connect, every stage as it ends, and the verdict.

use std::sync::{Arc, Mutex, PoisonError};

use heliograph_engine::session::{self, PacketObserver};
use heliograph_engine::trace::{Outcome, StageReport, Trace};

use crate::args::TraceArgs;
use crate::failure::{Ending, status_of};
use crate::live::Interrupts;
use crate::target::Wanted;
use crate::{output, report, target};

pub async fn run(args: TraceArgs) -> Result<(), Ending> {
    let config = target::resolve(&args.connection, &args.connection.only_in_5(), Wanted::Nothing)?;
    let (json, report) = (args.json, args.report);
    if !json && !report {
        output::line(&config.profile.endpoint.url());
    }
    let profile = config.profile.clone();
    let progress = Arc::new(Progress::new(move |stage| match (json, report) {
        (true, _) => output::line(&output::stage_json(stage)),
        (_, true) => {}
        _ => output::print(&output::stage_text(stage)),
    }));
    let shown = progress.clone();
    let observer = Arc::new(move |trace: Trace| shown.show(&trace));
    let packets = args.connection.debug.then(|| {
        let tell: PacketObserver = Arc::new(|way, text| output::packet(way, &text));
        tell
    });
    let mut interrupts = Interrupts::listen();
    let mut interrupted = None;
    let stop = async { interrupted = Some(interrupts.first().await) };
    let trace = session::test_until(config, observer, packets, stop).await;
    progress.show(&trace);
    let Some(verdict) = &trace.verdict else {
        return Err(Ending::Other("The attempt ended without a verdict".into()));
    };
    match (json, report) {
        (true, _) => output::line(&output::verdict_json(verdict, &trace.timing)),
        (_, true) => output::print(&report::markdown(&trace, &profile)),
        _ => output::print(&output::verdict_text(verdict, &trace.timing)),
    }
    match (&verdict.failure, interrupted) {
        (None, _) => Ok(()),
        (Some(_), Some(status)) => Err(Ending::Shown(status)),
        (Some(failure), None) => Err(Ending::Shown(status_of(failure))),
    }
}

/// Shows each stage of a growing trace once, when it has ended.
pub struct Progress {
    shown: Mutex<(u32, usize)>,
    show: Box<dyn Fn(&StageReport) + Send + Sync>,
}

impl Progress {
    pub fn new(show: impl Fn(&StageReport) + Send + Sync + 'static) -> Self {
        Self { shown: Mutex::default(), show: Box::new(show) }
    }

    pub fn show(&self, trace: &Trace) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.0 != trace.attempt {
            *shown = (trace.attempt, 0);
        }
        while let Some(stage) = trace.stages.get(shown.1).filter(|s| s.outcome != Outcome::Running) {
            (self.show)(stage);
            shown.1 += 1;
        }
    }
}
