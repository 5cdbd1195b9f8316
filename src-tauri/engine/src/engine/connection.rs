//! One connection as the window sees it: its session while there is one, its phase, counters, subscriptions
//! and latest traces. Outlives sessions; nothing here touches the wire.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::outbox::Outbox;
use super::{ConnectionStatus, Counters, PulseEntry, lock};
use crate::attempts::{self, Attempts};
use crate::counts::Counts;
use crate::error::{Error, ErrorCode, Result};
use crate::history::LiveSplit;
use crate::profile::{Profile, ProfileId, Subscription};
use crate::session::{
    self, Phase, Publication, PublishOutcome, SessionConfig, SessionEvent, SessionHandle, SubscriptionState,
    SubscriptionStatus,
};
use crate::trace::Trace;

/// One connection.
pub(super) struct Connection {
    pub id: ProfileId,
    outbox: Arc<Outbox>,
    attempts: Arc<Attempts>,
    sink: Arc<LiveSplit>,
    state: Mutex<State>,
    counts: Arc<Counts>,
}

struct State {
    /// The profile as it was when the session started, or was last saved while there is none.
    profile: Profile,
    phase: Phase,
    session: Option<SessionHandle>,
    subscriptions: Vec<(Subscription, SubscriptionState)>,
    traces: VecDeque<Trace>,
    rtt_micros: Option<u64>,
    rates: Rates,
}

/// What the history has of a connection.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    /// Rows in the file.
    pub rows: u64,
    /// Rows that limits let go of.
    pub let_go: u64,
    /// Messages that were shown and not stored.
    pub live_only: u64,
}

/// From one sample of the rates to the next. They go along with what is told anyway: telling them apart would make what
/// comes next wait for its frame,
const SAMPLE: Duration = Duration::from_millis(250);
/// and are told alone when nothing else was.
const SAMPLE_LATE: Duration = Duration::from_millis(300);

/// Rates over about the last second.
#[derive(Default)]
struct Rates {
    samples: VecDeque<(Instant, u64, u64)>,
    /// What had been given up at the last look.
    dropped: u64,
    received_per_s: f64,
    sent_per_s: f64,
}

impl Connection {
    pub fn new(
        profile: Profile,
        sink: Arc<LiveSplit>,
        outbox: Arc<Outbox>,
        attempts: Arc<Attempts>,
    ) -> Arc<Self> {
        let subscriptions = profile.settings.subscriptions.clone();
        let subscriptions = subscriptions.into_iter().map(|s| (s, SubscriptionState::Inactive)).collect();
        let connection = Self {
            id: profile.id,
            outbox,
            attempts,
            sink,
            counts: Arc::default(),
            state: Mutex::new(State {
                profile,
                phase: Phase::Idle,
                session: None,
                subscriptions,
                traces: VecDeque::new(),
                rtt_micros: None,
                rates: Rates::default(),
            }),
        };
        connection.follow_filters();
        Arc::new(connection)
    }

    pub fn connect(self: &Arc<Self>, config: SessionConfig) -> Result<()> {
        let mut state = lock(&self.state);
        if state.session.is_some() {
            return Err(Error::new(ErrorCode::AlreadyConnected, "This connection is already in use"));
        }
        state.profile = config.profile.clone();
        let saved = config.profile.settings.subscriptions.iter().cloned();
        state.subscriptions = saved.map(|s| (s, SubscriptionState::Inactive)).collect();
        let sink = self.counts.sink(self.sink.clone());
        let this = Arc::downgrade(self);
        let events = Arc::new(move |event| {
            if let Some(connection) = this.upgrade() {
                connection.take(event);
            }
        });
        state.phase = Phase::Connecting { attempt: 1 };
        state.session = Some(session::spawn(config, sink, events));
        drop(state);
        self.follow_filters();
        self.outbox.connection(self.id);
        Ok(())
    }

    pub async fn disconnect(&self) {
        let session = lock(&self.state).session.clone();
        if let Some(session) = session {
            session.disconnect(0).await;
        }
    }

    pub fn retry_now(&self) {
        if let Some(session) = &lock(&self.state).session {
            session.retry_now();
        }
    }

    pub fn stop_retrying(&self) {
        if let Some(session) = &lock(&self.state).session {
            session.stop_retrying();
        }
    }

    /// Attempts since the engine started, newest first.
    pub fn traces(&self) -> Vec<Trace> {
        lock(&self.state).traces.iter().cloned().collect()
    }

    pub async fn publish(&self, publication: Publication) -> Result<PublishOutcome> {
        self.connected()?.publish(publication).await
    }

    pub async fn save_subscription(&self, subscription: Subscription) -> Result<SubscriptionState> {
        let before = self.put_subscription(&subscription);
        // A session that waits to reconnect keeps the change and sends it after the next CONNACK.
        let Some(session) = lock(&self.state).session.clone() else {
            return Ok(SubscriptionState::Inactive);
        };
        let sent = before.as_ref().is_some_and(|known| known.enabled);
        let known = self.subscription_state(&subscription.filter);
        let refused = matches!(known, SubscriptionState::Refused { .. });
        let state = match (sent, subscription.enabled) {
            (true, true)
                if !refused
                    && before.as_ref().is_some_and(|known| same_on_the_wire(known, &subscription)) =>
            {
                // Only the label, the colour or whether it is stored changed. One that was refused is asked for again.
                return Ok(known);
            }
            (_, true) => session.subscribe(subscription.clone()).await?,
            (true, false) => {
                session.unsubscribe(subscription.filter.clone()).await?;
                SubscriptionState::Inactive
            }
            (false, false) => SubscriptionState::Inactive,
        };
        self.put_state(&subscription.filter, state.clone());
        Ok(state)
    }

    pub async fn delete_subscription(&self, filter: &str) -> Result<()> {
        let removed = {
            let mut state = lock(&self.state);
            let index = state.subscriptions.iter().position(|(known, _)| known.filter == filter);
            index.map(|index| state.subscriptions.remove(index).0)
        };
        self.follow_filters();
        self.outbox.connection(self.id);
        let session = lock(&self.state).session.clone();
        match (removed, session) {
            (Some(subscription), Some(session)) if subscription.enabled => {
                session.unsubscribe(subscription.filter).await
            }
            _ => Ok(()),
        }
    }

    pub fn status(&self, stored: Stored, saved: Option<&Profile>) -> ConnectionStatus {
        let counters = self.counters(stored);
        let matched = self.counts.matched();
        let state = lock(&self.state);
        let subscriptions = state.subscriptions.iter().map(|(subscription, answer)| SubscriptionStatus {
            subscription: subscription.clone(),
            state: answer.clone(),
            received: matched.get(&subscription.filter).copied().unwrap_or(0),
        });
        ConnectionStatus {
            id: self.id,
            phase: state.phase.clone(),
            counters,
            subscriptions: subscriptions.collect(),
            stale: state.session.is_some() && saved.is_some_and(|saved| differs(saved, &state.profile)),
        }
    }

    pub fn pulse(&self, stored: Stored) -> PulseEntry {
        self.measure(SAMPLE);
        let counters = self.counters(stored);
        let matched = self.counts.matched();
        let state = lock(&self.state);
        let counts = state.subscriptions.iter().map(|(s, _)| matched.get(&s.filter).copied().unwrap_or(0));
        PulseEntry { id: self.id, counters, subscription_counts: counts.collect() }
    }

    /// Measures the rates when that was done so long ago; says whether they moved, or more was given up.
    fn measure(&self, ago: Duration) -> bool {
        let (received, sent) = (self.counts.received(), self.counts.sent());
        let (now, dropped) = (Instant::now(), self.counts.dropped());
        let rates = &mut lock(&self.state).rates;
        if rates.samples.back().is_some_and(|&(last, ..)| now.duration_since(last) < ago) {
            return false;
        }
        while rates.samples.len() > 4 {
            rates.samples.pop_front();
        }
        rates.samples.push_back((now, received, sent));
        let Some(&(first, first_received, first_sent)) = rates.samples.front() else { return false };
        let seconds = now.duration_since(first).as_secs_f64();
        // While nothing can be stored nothing else may move.
        let gave_up = std::mem::replace(&mut rates.dropped, dropped) != dropped;
        if seconds <= 0.0 {
            return gave_up;
        }
        let before = (rates.received_per_s, rates.sent_per_s);
        rates.received_per_s = (received - first_received) as f64 / seconds;
        rates.sent_per_s = (sent - first_sent) as f64 / seconds;
        gave_up || before != (rates.received_per_s, rates.sent_per_s)
    }

    /// Measures the rates of a connection that nothing else was told about; says whether there is something to tell.
    pub fn measure_late(&self) -> bool {
        self.measure(SAMPLE_LATE)
    }

    fn take(&self, event: SessionEvent) {
        let mut state = lock(&self.state);
        match event {
            SessionEvent::Phase(phase) => state.phase = phase,
            SessionEvent::Trace(trace) => {
                match state.traces.front_mut() {
                    Some(newest)
                        if newest.started_at == trace.started_at && newest.attempt == trace.attempt =>
                    {
                        *newest = trace.clone();
                    }
                    _ => state.traces.push_front(trace.clone()),
                }
                state.traces.truncate(attempts::KEPT);
                drop(state);
                if trace.verdict.is_some() {
                    self.attempts.keep(self.id, &trace);
                }
                self.outbox.trace(self.id, false, trace);
                return;
            }
            SessionEvent::Subscriptions(answers) => {
                for (subscription, answer) in answers {
                    let known =
                        state.subscriptions.iter_mut().find(|(known, _)| known.filter == subscription.filter);
                    if let Some((_, state)) = known {
                        *state = answer;
                    }
                }
            }
            SessionEvent::RoundTrip { micros } => {
                state.rtt_micros = Some(micros);
                drop(state);
                self.outbox.pulse(vec![self.id]);
                return;
            }
            SessionEvent::Ended => {
                state.session = None;
                state.rtt_micros = None;
                if !matches!(state.phase, Phase::Failed { .. }) {
                    state.phase = Phase::Idle;
                }
                for (_, answer) in &mut state.subscriptions {
                    *answer = SubscriptionState::Inactive;
                }
            }
        }
        drop(state);
        self.outbox.connection(self.id);
    }

    /// The session, when it is connected.
    pub fn connected(&self) -> Result<SessionHandle> {
        let state = lock(&self.state);
        match (&state.phase, &state.session) {
            (Phase::Connected { .. }, Some(session)) => Ok(session.clone()),
            _ => Err(Error::new(ErrorCode::NotConnected, "Not connected")),
        }
    }

    fn counters(&self, stored: Stored) -> Counters {
        let state = lock(&self.state);
        let counts = &self.counts;
        Counters {
            received: counts.received(),
            sent: counts.sent(),
            dropped: counts.dropped(),
            stored: stored.rows,
            let_go: stored.let_go,
            live_only: stored.live_only,
            received_per_s: state.rates.received_per_s,
            sent_per_s: state.rates.sent_per_s,
            rtt_micros: state.rtt_micros,
            received_bytes: counts.received_bytes(),
        }
    }

    fn follow_filters(&self) {
        let subscriptions: Vec<_> = lock(&self.state).subscriptions.iter().map(|(s, _)| s.clone()).collect();
        self.sink.follow(&subscriptions);
        self.counts.follow(subscriptions.into_iter().map(|subscription| subscription.filter).collect());
    }

    /// Adds or replaces; returns what was there.
    fn put_subscription(&self, subscription: &Subscription) -> Option<Subscription> {
        let before = {
            let mut state = lock(&self.state);
            let known = state.subscriptions.iter_mut().find(|(known, _)| known.filter == subscription.filter);
            match known {
                Some((known, _)) => Some(std::mem::replace(known, subscription.clone())),
                None => {
                    state.subscriptions.push((subscription.clone(), SubscriptionState::Inactive));
                    None
                }
            }
        };
        self.follow_filters();
        self.outbox.connection(self.id);
        before
    }

    fn put_state(&self, filter: &str, answer: SubscriptionState) {
        let mut state = lock(&self.state);
        if let Some((_, state)) = state.subscriptions.iter_mut().find(|(known, _)| known.filter == filter) {
            *state = answer;
        }
        drop(state);
        self.outbox.connection(self.id);
    }

    fn subscription_state(&self, filter: &str) -> SubscriptionState {
        let state = lock(&self.state);
        let known = state.subscriptions.iter().find(|(known, _)| known.filter == filter);
        known.map_or(SubscriptionState::Inactive, |(_, answer)| answer.clone())
    }
}

/// Whether two versions of a subscription ask the broker for the same.
fn same_on_the_wire(a: &Subscription, b: &Subscription) -> bool {
    let wire =
        |s: &Subscription| Subscription { label: String::new(), color: 0, live_only: false, ..s.clone() };
    wire(a) == wire(b)
}

/// Whether a reconnect would do something else than the connection that stands. Subscriptions are sent as
/// they change, a name is only a name, and what is kept is no matter of the broker.
fn differs(saved: &Profile, used: &Profile) -> bool {
    let mut used = used.clone();
    used.name.clone_from(&saved.name);
    used.settings.subscriptions.clone_from(&saved.settings.subscriptions);
    used.settings.retention = saved.settings.retention;
    *saved != used
}
