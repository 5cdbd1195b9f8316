//! A session on the terminal: its phase, its messages on a bounded queue, and its failure; and the signals that
//! ask for its end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heliograph_engine::failure::Failure;
use heliograph_engine::message::{Clock, Item, MessageSink};
use heliograph_engine::profile::Subscription;
use heliograph_engine::session::{
    self, Phase, SessionConfig, SessionEvent, SessionHandle, SubscriptionState,
};
use tokio::sync::{Notify, watch};

use crate::failure::Ending;
use crate::output;
use crate::trace::Progress;

/// What is not printed yet is bounded in items and in bytes.
const ITEMS: usize = 10_000;
const BYTES: usize = 64 * 1024 * 1024;

/// What a session said last.
#[derive(Clone, Default)]
pub struct Latest {
    pub connected: bool,
    pub failure: Option<Failure>,
    pub subscriptions: Vec<(Subscription, SubscriptionState)>,
    pub ended: bool,
}

pub struct Live {
    pub handle: SessionHandle,
    pub latest: watch::Receiver<Latest>,
}

impl Latest {
    /// Why the session has ended.
    pub fn ending(&self) -> Ending {
        match self.failure.clone() {
            Some(failure) => Ending::Connection(Box::new(failure)),
            None => Ending::Other("The connection has ended".into()),
        }
    }
}

/// Starts a session. What it receives and sends goes to `sink`.
pub fn start(config: SessionConfig, sink: Arc<dyn MessageSink>, debug: bool) -> Live {
    let (sender, latest) = watch::channel(Latest::default());
    let progress = Progress::new(|stage| output::print_error(&output::stage_text(stage)));
    let waited = AtomicBool::new(false);
    let events = Arc::new(move |event: SessionEvent| match event {
        SessionEvent::Phase(phase) => {
            remark(&phase, &waited);
            sender.send_modify(|latest| {
                latest.connected = matches!(phase, Phase::Connected { .. });
                if let Phase::Failed { failure } | Phase::Waiting { failure, .. } = phase {
                    latest.failure = Some(failure);
                }
            });
        }
        SessionEvent::Subscriptions(states) => sender.send_modify(|latest| latest.subscriptions = states),
        SessionEvent::Trace(trace) if debug => progress.show(&trace),
        SessionEvent::Ended => sender.send_modify(|latest| latest.ended = true),
        SessionEvent::Trace(_) | SessionEvent::RoundTrip { .. } => {}
    });
    let handle = match debug {
        true => {
            let packets = Arc::new(|way, text: String| output::packet(way, &text));
            session::spawn_watched(config, sink, events, packets)
        }
        false => session::spawn(config, sink, events),
    };
    Live { handle, latest }
}

/// Says that the connection is tried again, and that it is there again: nobody should wonder about silence.
fn remark(phase: &Phase, waited: &AtomicBool) {
    match phase {
        Phase::Waiting { retry_at, failure, .. } => {
            waited.store(true, Ordering::Relaxed);
            let wait = retry_at.saturating_sub(Clock::start().now()).max(0);
            let message = failure.message.trim_end_matches('.');
            let when = match wait {
                ..50_000 => "now".to_owned(),
                _ => format!("in {:.1} s", wait as f64 / 1e6),
            };
            output::warn(&format!("{message}. Trying again {when}"));
        }
        Phase::Connected { .. } if waited.swap(false, Ordering::Relaxed) => output::warn("Connected again"),
        _ => {}
    }
}

/// Ctrl-C, and the request to end that a service manager sends. From the moment of listening none is lost,
/// whatever the program is doing; the second one ends it at once.
#[derive(Clone)]
pub struct Interrupts(watch::Receiver<Option<u8>>);

impl Interrupts {
    pub fn listen() -> Self {
        let (sender, first) = watch::channel(None);
        let mut signals = Signals::new();
        tokio::spawn(async move {
            let status = signals.next().await;
            sender.send_replace(Some(status));
            let status = signals.next().await;
            std::process::exit(status.into());
        });
        Self(first)
    }

    /// Waits for the first. What it gives is the exit status of a command that was not done.
    pub async fn first(&mut self) -> u8 {
        match self.0.wait_for(Option::is_some).await.map(|status| *status) {
            Ok(Some(status)) => status,
            // The listener has gone, so there is nothing to wait for.
            _ => std::future::pending().await,
        }
    }
}

/// 128 and the number of the signal, as shells have it.
const INTERRUPTED: u8 = 130;

struct Signals {
    #[cfg(unix)]
    terminate: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    interrupt: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self {
            terminate: signal(SignalKind::terminate()).ok(),
            interrupt: signal(SignalKind::interrupt()).ok(),
        }
    }

    #[cfg(unix)]
    async fn next(&mut self) -> u8 {
        async fn receive(signal: &mut Option<tokio::signal::unix::Signal>) {
            match signal {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = receive(&mut self.interrupt) => INTERRUPTED,
            () = receive(&mut self.terminate) => 143,
        }
    }

    #[cfg(not(unix))]
    fn new() -> Self {
        Self {}
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> u8 {
        let _ = tokio::signal::ctrl_c().await;
        INTERRUPTED
    }
}

/// Items that wait to be printed.
#[derive(Default)]
pub struct Inbox {
    keep: bool,
    queue: Mutex<Queue>,
    arrived: Notify,
    taken: Notify,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    dropped: u64,
}

impl Inbox {
    /// One that keeps what is put in, or, when nothing that arrives is wanted, lets it go.
    pub fn new(keep: bool) -> Arc<Self> {
        Arc::new(Self { keep, ..Self::default() })
    }

    /// Everything that has arrived.
    pub fn take(&self) -> Vec<Item> {
        let mut queue = self.queue();
        queue.bytes = 0;
        let items = queue.items.drain(..).collect();
        drop(queue);
        self.taken.notify_waiters();
        items
    }

    /// Waits until something has arrived.
    pub async fn arrival(&self) {
        self.arrived.notified().await;
    }

    /// How many messages were lost since they could not be printed fast enough.
    pub fn dropped_count(&self) -> u64 {
        self.queue().dropped
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MessageSink for Inbox {
    fn try_accept(&self, item: Item) -> Result<(), Item> {
        if !self.keep {
            return Ok(());
        }
        let size = match &item {
            Item::Message(message) => message.payload.len() + message.topic.len(),
            Item::Event { .. } => 0,
        };
        let mut queue = self.queue();
        if queue.items.len() >= ITEMS || (queue.bytes > 0 && queue.bytes + size > BYTES) {
            return Err(item);
        }
        queue.bytes += size;
        queue.items.push_back(item);
        drop(queue);
        self.arrived.notify_one();
        Ok(())
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            let taken = self.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
            let full = {
                let queue = self.queue();
                queue.items.len() >= ITEMS || queue.bytes >= BYTES
            };
            if full {
                taken.await;
            } else {
                tokio::task::yield_now().await;
            }
        })
    }

    fn dropped(&self, _item: Item) {
        self.queue().dropped += 1;
    }
}
