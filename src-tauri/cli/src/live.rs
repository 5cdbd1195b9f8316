//! A session on the terminal: its phase, its messages on a bounded queue, and its failure. Ctrl-C ends it with
//! a DISCONNECT.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heliograph_engine::failure::Failure;
use heliograph_engine::message::{Item, MessageSink};
use heliograph_engine::profile::Subscription;
use heliograph_engine::session::{
    self, Phase, SessionConfig, SessionEvent, SessionHandle, SubscriptionState,
};
use tokio::sync::{Notify, watch};

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
    pub inbox: Arc<Inbox>,
}

/// Starts a session. `keep` says whether received items are wanted.
pub fn start(config: SessionConfig, keep: bool, debug: bool) -> Live {
    let inbox = Arc::new(Inbox { keep, debug, ..Inbox::default() });
    let (sender, latest) = watch::channel(Latest::default());
    let progress = Progress::new(|stage| anstream::eprint!("{}", output::stage_text(stage)));
    let events = Arc::new(move |event: SessionEvent| match event {
        SessionEvent::Phase(phase) => {
            sender.send_modify(|latest| {
                latest.connected = matches!(phase, Phase::Connected { .. });
                if let Phase::Failed { failure } | Phase::Waiting { failure, .. } = phase {
                    latest.failure = Some(failure);
                }
            });
        }
        SessionEvent::Subscriptions(states) => sender.send_modify(|latest| latest.subscriptions = states),
        SessionEvent::Trace(trace) if debug => progress.show(&trace),
        SessionEvent::RoundTrip { micros } if debug => output::debug(&format!("round trip {micros} µs")),
        SessionEvent::Ended => sender.send_modify(|latest| latest.ended = true),
        SessionEvent::Trace(_) | SessionEvent::RoundTrip { .. } => {}
    });
    let handle = session::spawn(config, inbox.clone(), events);
    Live { handle, latest, inbox }
}

/// Waits for Ctrl-C, or for the request to end that a service manager sends.
pub async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut end) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = end.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Items that wait to be printed.
#[derive(Default)]
pub struct Inbox {
    keep: bool,
    debug: bool,
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
        if self.debug {
            match &item {
                Item::Message(m) => output::debug(&format!(
                    "{:?} {} qos {} retain {} {} bytes",
                    m.direction,
                    m.topic,
                    u8::from(m.qos),
                    m.retain,
                    m.payload.len()
                )),
                Item::Event { text, .. } => output::debug(text),
            }
        }
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
