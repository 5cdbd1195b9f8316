//! `helio replay`: publishes the messages of a file again, at the distances of the recording, and says what became of
//! them. Ctrl-C ends it with DISCONNECT.

use std::sync::Arc;
use std::time::Instant;

use heliograph_engine::error::ErrorCode;
use heliograph_engine::recording::Progress;
use heliograph_engine::replay::{ReplayControl, ReplayOptions, Replayed, replay};
use serde_json::json;

use crate::args::ReplayArgs;
use crate::failure::Ending;
use crate::live::{Inbox, Interrupts};
use crate::target::Wanted;
use crate::{live, output, publish, target};

pub async fn run(args: ReplayArgs) -> Result<(), Ending> {
    let options = ReplayOptions {
        speed: (!args.no_wait).then_some(args.speed),
        topic_prefix: args.topic_prefix.clone(),
        qos: args.qos,
        retain: args.retain,
        direction: args.direction,
        times: args.times,
    };
    options.check()?;
    // Before anything is dialled.
    let unreadable = |error| Ending::Usage(format!("{} cannot be read: {error}", args.file.display()));
    std::fs::File::open(&args.file).map_err(unreadable)?;
    let config = target::resolve(&args.connection, &args.connection.only_in_5(), Wanted::Nothing)?;
    let mut interrupts = Interrupts::listen();
    let mut live = live::start(config, Inbox::new(false), args.connection.debug);
    let connected = tokio::select! {
        connected = publish::connected(&mut live) => connected,
        status = interrupts.first() => Err(Ending::Shown(status)),
    };
    let result = match connected {
        Ok(()) => play(&args, options, &live, &mut interrupts).await,
        Err(ending) => Err(ending),
    };
    live.handle.disconnect(0).await;
    result
}

async fn play(
    args: &ReplayArgs,
    options: ReplayOptions,
    live: &live::Live,
    interrupts: &mut Interrupts,
) -> Result<(), Ending> {
    let control = ReplayControl::default();
    let begun = Instant::now();
    let playing =
        replay(live.handle.clone(), &args.file, options, Arc::<Progress>::default(), control.clone());
    tokio::pin!(playing);
    let mut interrupted = None;
    let replayed = loop {
        tokio::select! {
            replayed = &mut playing => break replayed?,
            status = interrupts.first(), if interrupted.is_none() => {
                interrupted = Some(status);
                control.stop.cancel();
            }
        }
    };
    report(args, &replayed, begun.elapsed().as_secs_f64());
    if let Some(status) = interrupted {
        return Err(Ending::Shown(status));
    }
    match &replayed.error {
        Some(error) if matches!(error.code, ErrorCode::NotConnected | ErrorCode::ConnectionLost) => {
            output::error(&error.message);
            if let Some(failure) = live.latest.borrow().failure.clone() {
                output::failure(&failure);
            }
            Err(Ending::Shown(3))
        }
        Some(error) => Err(error.clone().into()),
        None if replayed.lost > 0 => Err(Ending::Shown(3)),
        None if replayed.refused > 0 => Err(Ending::Shown(4)),
        None if replayed.unreadable > 0 => Err(Ending::Shown(2)),
        None => Ok(()),
    }
}

fn report(args: &ReplayArgs, replayed: &Replayed, seconds: f64) {
    let Replayed { published, refused, lost, unreadable, problems, .. } = replayed;
    if args.json {
        let became = json!({
            "published": published, "refused": refused, "lost": lost, "unreadable": unreadable,
            "seconds": seconds, "problems": problems,
        });
        return output::line(&became.to_string());
    }
    for problem in problems {
        output::warn(&format!("line {}: {}", problem.line, problem.message));
    }
    let more = (refused + unreadable).saturating_sub(problems.len() as u64);
    if more > 0 {
        output::warn(&format!("{more} more like these"));
    }
    let mut said =
        format!("{} published in {seconds:.1} s", output::count(*published, "message", "messages"));
    for (number, what) in [(refused, "refused"), (lost, "lost")] {
        if *number > 0 {
            said += &format!(", {number} {what}");
        }
    }
    if *unreadable > 0 {
        said += &format!(", {} that are no messages", output::count(*unreadable, "line", "lines"));
    }
    output::line(&said);
}
