//! `helio bench`: measures a broker, the network to it and what they do to messages. In: options. Out: counts, rates,
//! loss and latencies, progress on standard error meanwhile. Ctrl-C ends the measuring and prints what was measured.

mod connect;
mod figures;
mod publish;
mod stamp;
mod subscribe;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use heliograph_engine::message::MessageSink;
use heliograph_engine::session::{SessionConfig, SubscriptionState};

use crate::args::{BenchCommand, BenchExtent};
use crate::failure::Ending;
use crate::live::{self, Latest, Live};

/// How often what is measured is looked at.
const TICK: Duration = Duration::from_millis(100);
/// How many of these pass between two lines of progress.
const TICKS_A_LINE: u32 = 10;

pub async fn run(command: BenchCommand) -> Result<(), Ending> {
    match command {
        BenchCommand::Sub(args) => subscribe::run(args).await,
        BenchCommand::Pub(args) => publish::run(args).await,
        BenchCommand::Conn(args) => connect::run(args).await,
    }
}

/// The configuration of one of several clients: each has its own client identifier.
fn numbered(config: &SessionConfig, number: u32, of: u32) -> SessionConfig {
    let mut config = config.clone();
    if of > 1 {
        let id = &mut config.profile.settings.session.client_id;
        *id = format!("{id}-{number}");
    }
    config
}

/// Starts a session and waits until it is connected and its subscriptions are answered.
async fn connected(config: SessionConfig, sink: Arc<dyn MessageSink>, debug: bool) -> Result<Live, Ending> {
    let subscriptions = config.profile.settings.subscriptions.iter().filter(|s| s.enabled).count();
    let mut live = live::start(config, sink, debug);
    let answered = |latest: &Latest| {
        let answers = latest.subscriptions.iter().map(|(_, state)| state);
        answers
            .filter(|state| !matches!(state, SubscriptionState::Inactive | SubscriptionState::Pending))
            .count()
    };
    let ready = |latest: &Latest| latest.ended || latest.connected && answered(latest) >= subscriptions;
    let latest = live.latest.wait_for(ready).await.map(|latest| latest.clone()).unwrap_or_default();
    if latest.ended {
        return Err(latest.ending());
    }
    let refused = latest.subscriptions.iter().find_map(|(subscription, state)| match state {
        SubscriptionState::Refused { reason, .. } => Some((&subscription.filter, reason)),
        _ => None,
    });
    if let Some((filter, reason)) = refused {
        live.handle.disconnect(0).await;
        return Err(Ending::Refused(format!("The broker refused {filter}: {reason}")));
    }
    Ok(live)
}

/// What Ctrl-C is: the end where none was named, else an interruption.
fn interrupted(extent: &BenchExtent, status: u8) -> Option<Ending> {
    (extent.count.is_some() || extent.duration.is_some()).then_some(Ending::Shown(status))
}

/// Says goodbye on all connections at once.
async fn disconnect(all: &[Live]) {
    let goodbyes: Vec<_> = all
        .iter()
        .map(|live| {
            let handle = live.handle.clone();
            tokio::spawn(async move { handle.disconnect(0).await })
        })
        .collect();
    for goodbye in goodbyes {
        // A task that failed has said goodbye in its way.
        let _ = goodbye.await;
    }
}

/// The first connection that has ended, and why.
fn lost(all: &[Live]) -> Option<Ending> {
    all.iter().map(|live| live.latest.borrow()).find(|latest| latest.ended).map(|latest| latest.ending())
}
