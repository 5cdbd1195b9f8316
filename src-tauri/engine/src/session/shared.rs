//! What the task and the handles of one session both see. Locks are held for a moment and never across an
//! await.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::line::Unwritable;
use super::link::Client;
use super::subscriptions::Subscriptions;
use super::{Phase, SessionEvent, SubscriptionState};
use crate::diagnosis;
use crate::message::{Clock, EventFacts, EventKind, Item, Message, MessageSink};
use crate::profile::{MqttVersion, Profile, Qos};
use crate::trace::Connack;

/// How long in total a full sink is waited for before items are given up.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Shared {
    pub(super) version: MqttVersion,
    pub(super) clock: Clock,
    pub(super) sink: Arc<dyn MessageSink>,
    pub(super) events: Arc<dyn Fn(SessionEvent) + Send + Sync>,
    /// Ends the session without DISCONNECT.
    pub(super) abort: CancellationToken,
    /// The session has ended.
    pub(super) ended: CancellationToken,
    online: Mutex<Option<Arc<Online>>>,
    subscriptions: Mutex<Subscriptions>,
}

/// A connection that takes requests.
pub(super) struct Online {
    pub(super) client: Client,
    pub(super) connack: Connack,
    pub(super) unwritable: Unwritable,
}

impl Shared {
    pub(super) fn new(
        profile: &Profile,
        sink: Arc<dyn MessageSink>,
        events: Arc<dyn Fn(SessionEvent) + Send + Sync>,
    ) -> Self {
        Self {
            version: profile.settings.session.version,
            clock: Clock::start(),
            sink,
            events,
            abort: CancellationToken::new(),
            ended: CancellationToken::new(),
            online: Mutex::new(None),
            subscriptions: Mutex::new(Subscriptions::new(&profile.settings.subscriptions)),
        }
    }

    /// The connection, while there is one.
    pub(super) fn online(&self) -> Option<Arc<Online>> {
        lock(&self.online).clone()
    }

    pub(super) fn set_online(&self, online: Option<Arc<Online>>) {
        *lock(&self.online) = online;
    }

    pub(super) fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        lock(&self.subscriptions)
    }

    pub(super) fn tell_phase(&self, phase: Phase) {
        (self.events)(SessionEvent::Phase(phase));
    }

    pub(super) fn tell_subscriptions(&self) {
        let states = self.subscriptions().states();
        (self.events)(SessionEvent::Subscriptions(states));
    }

    /// Sends SUBSCRIBE for a filter of the table and records what comes of it. `None` when the connection was
    /// lost before the answer.
    pub(super) async fn subscribe(&self, online: &Online, filter: &str) -> Option<SubscriptionState> {
        let wanted = self.subscriptions().send(filter);
        self.tell_subscriptions();
        let Some((subscription, id)) = wanted else { return Some(SubscriptionState::Inactive) };
        let id = (online.connack.subscription_ids_available != Some(false)).then_some(id);
        let answer = online.client.subscribe(&subscription, id).await.ok()?;
        let state = match answer.code.unwrap_or(0) {
            0 => SubscriptionState::Granted { qos: Qos::AtMostOnce },
            1 => SubscriptionState::Granted { qos: Qos::AtLeastOnce },
            2 => SubscriptionState::Granted { qos: Qos::ExactlyOnce },
            code => SubscriptionState::Refused {
                code,
                reason: diagnosis::reason_name(code).to_owned(),
                reason_string: answer.reason_string,
            },
        };
        self.subscriptions().answered(filter, state.clone());
        self.tell_subscriptions();
        if let SubscriptionState::Refused { code, reason, reason_string } = &state {
            let facts = EventFacts::Refusal {
                topic: filter.to_owned(),
                code: *code,
                reason: (self.version == MqttVersion::V5).then(|| reason.clone()),
                reason_string: reason_string.clone(),
            };
            self.keep_event(EventKind::SubscribeRefused, facts, &mut Patience::default()).await;
        }
        Some(state)
    }

    pub(super) async fn keep_message(&self, message: Message, patience: &mut Patience) {
        self.keep(Item::Message(message), patience).await;
    }

    /// As one after the other, but all that there is room for at once. Leaves `items` empty.
    pub(super) async fn keep_all(&self, items: &mut VecDeque<Item>, patience: &mut Patience) {
        while !items.is_empty() {
            let before = items.len();
            self.sink.accept_batch(items);
            if items.len() < before {
                patience.restore();
            }
            if let Some(item) = items.pop_front() {
                self.keep(item, patience).await;
            }
        }
    }

    pub(super) async fn keep_event(&self, kind: EventKind, facts: EventFacts, patience: &mut Patience) {
        self.keep(Item::Event { time: self.clock.now(), kind, facts: Box::new(facts) }, patience).await;
    }

    /// Hands an item to the sink, waits for room as long as there is patience, and gives it up then.
    async fn keep(&self, item: Item, patience: &mut Patience) {
        let mut item = match self.sink.try_accept(item) {
            Ok(()) => return patience.restore(),
            Err(item) => item,
        };
        let started = Instant::now();
        let budget = patience.left.min(patience.at_once);
        while let Some(left) = budget.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
            let waited = tokio::select! {
                () = self.abort.cancelled() => break,
                waited = tokio::time::timeout(left, self.sink.room()) => waited,
            };
            item = match self.sink.try_accept(item) {
                Ok(()) => {
                    patience.left = patience.left.saturating_sub(started.elapsed());
                    return;
                }
                Err(item) => item,
            };
            if waited.is_err() {
                break;
            }
        }
        patience.left = patience.left.saturating_sub(started.elapsed());
        self.sink.dropped(item);
    }
}

/// How long a full sink is still waited for. Room without a wait restores it.
pub(super) struct Patience {
    left: Duration,
    at_once: Duration,
}

impl Patience {
    /// With waits so short that a keep alive of `seconds` (0 is off) stays answered between them.
    pub(super) fn beside_keep_alive(seconds: u16) -> Self {
        let half = match seconds {
            0 => PATIENCE,
            seconds => Duration::from_millis(u64::from(seconds) * 500),
        };
        Self { left: PATIENCE, at_once: half.min(PATIENCE) }
    }

    fn restore(&mut self) {
        self.left = PATIENCE;
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::beside_keep_alive(0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
