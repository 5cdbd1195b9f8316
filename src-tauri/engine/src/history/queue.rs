//! The way from the sessions to the writer: one queue for all profiles, bounded for each. In: items, without
//! waiting. Out: the same, in order. What cannot be taken is handed back; what is given up is counted.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::{RetentionRules, Seq};
use crate::error::Result;
use crate::message::{Item, MessageSink, UnixMicros};
use crate::profile::ProfileId;

/// How much the queue and the writer hold of one profile before they say that there is no room.
/// One item is always admitted, whatever its size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub items: usize,
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { items: 50_000, bytes: 64 << 20 }
    }
}

/// How many entries make the writer start before its time.
const EAGER: usize = 5_000;
/// Bytes that do the same.
const EAGER_BYTES: usize = 8 << 20;
/// Places for entries that are kept ready while nothing waits in them.
const READY: usize = 16_384;
/// From one batch to the next at least, unless there is enough for one: each is painted, and a web view that draws by
/// processor falls behind when there are more. What comes after a pause does not wait.
const GATHER: Duration = Duration::from_millis(24);

fn gather(taken_at: Option<Instant>, now: Instant) -> Duration {
    taken_at.map_or(Duration::ZERO, |taken| (taken + GATHER).saturating_duration_since(now))
}

/// What the writer takes out.
pub(super) enum Entry {
    Item(ProfileId, Item),
    /// Items were given up here; how many is asked with [`Queue::unreported`].
    Dropped(ProfileId),
    Clear(ProfileId, oneshot::Sender<Result<u64>>),
    Pin {
        profile: ProfileId,
        seq: Seq,
        pinned: bool,
        answer: oneshot::Sender<Result<()>>,
    },
    Flush(oneshot::Sender<Result<()>>),
    /// A reader met damage in what is known of rows that stay.
    Mend(ProfileId),
    Retention(RetentionRules),
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    bytes: usize,
    urgent: bool,
    closed: bool,
    bounds: Bounds,
    lanes: HashMap<ProfileId, Lane>,
    /// When entries were taken out last.
    taken_at: Option<Instant>,
}

#[derive(Default)]
struct Lane {
    room: Arc<Notify>,
    held: Held,
    /// Bytes of the item that was refused last; room is room for that one.
    wanted: usize,
    /// Given up since the history was opened.
    dropped: u64,
    /// Of these, not written as an event yet, and when the first was.
    unreported: u64,
    unreported_since: UnixMicros,
}

impl Lane {
    fn admits(&self, bytes: usize, bounds: Bounds) -> bool {
        let fits = self.held.items < bounds.items && self.held.bytes.saturating_add(bytes) <= bounds.bytes;
        fits || self.held.items == 0
    }
}

/// What is in the queue, or with the writer and not committed yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub items: usize,
    pub bytes: usize,
}

/// What the writer woke up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Entries,
    Idle,
    Closed,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { state: Mutex::new(State { bounds, ..State::default() }), work: Condvar::new() }
    }

    /// The sink of a profile; all sinks of one profile share its bounds.
    pub(super) fn sink(self: &Arc<Self>, profile: ProfileId) -> Sink {
        let room = Arc::clone(&self.lock().lanes.entry(profile).or_default().room);
        Sink { queue: Arc::clone(self), profile, room }
    }

    /// Adds what is no message; the writer looks at it at once. A closed queue lets it go, unanswered.
    pub(super) fn push(&self, entry: Entry) {
        let mut state = self.lock();
        if !state.closed {
            state.entries.push_back(entry);
            state.urgent = true;
            self.work.notify_one();
        }
    }

    /// Ends the queue; the writer gets what is in it first.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for lane in state.lanes.values() {
            lane.room.notify_waiters();
        }
        self.work.notify_one();
    }

    /// Waits until there is enough to write, or some of it is old enough, and swaps it with `taken`, which is
    /// empty; `Idle` after `idle` without any.
    pub(super) fn wait(&self, idle: Duration, taken: &mut VecDeque<Entry>) -> Work {
        let mut state = self.lock();
        if state.entries.is_empty() && !state.closed {
            let waited = self.work.wait_timeout_while(state, idle, |s| s.entries.is_empty() && !s.closed);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.entries.is_empty() {
            fit(&mut state.entries, 0);
            fit(taken, 0);
            return if state.closed { Work::Closed } else { Work::Idle };
        }
        let gather = gather(state.taken_at, Instant::now());
        let waited = self.work.wait_timeout_while(state, gather, |s| {
            s.entries.len() < EAGER && s.bytes < EAGER_BYTES && !s.urgent && !s.closed
        });
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.taken_at = Some(Instant::now());
        state.bytes = 0;
        state.urgent = false;
        std::mem::swap(&mut state.entries, taken);
        let now = taken.len();
        fit(&mut state.entries, now);
        fit(taken, now);
        Work::Entries
    }

    /// A pause before writing is tried again; `true` when it was cut short because the queue was closed.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let waited = self.work.wait_timeout_while(self.lock(), time, |s| !s.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Takes the questions out that nobody can answer while writing fails.
    pub(super) fn take_questions(&self) -> VecDeque<Entry> {
        split_questions(&mut self.lock().entries)
    }

    /// Says that entries were committed, or given up for good, and makes room.
    pub(super) fn release(&self, freed: &HashMap<ProfileId, Held>) {
        let mut state = self.lock();
        for (profile, freed) in freed {
            if let Some(lane) = state.lanes.get_mut(profile) {
                lane.held.items = lane.held.items.saturating_sub(freed.items);
                lane.held.bytes = lane.held.bytes.saturating_sub(freed.bytes);
                lane.room.notify_waiters();
            }
        }
    }

    /// How many items of a profile were given up and not reported yet, and since when.
    pub(super) fn unreported(&self, profile: ProfileId) -> (u64, UnixMicros) {
        self.lock().lanes.get(&profile).map_or((0, 0), |lane| (lane.unreported, lane.unreported_since))
    }

    /// Says that this many of them stand in the history now.
    pub(super) fn reported(&self, profile: ProfileId, count: u64) {
        let mut state = self.lock();
        let Some(lane) = state.lanes.get_mut(&profile) else { return };
        lane.unreported = lane.unreported.saturating_sub(count);
        // Some were given up meanwhile: they get an event of their own.
        if lane.unreported > 0 {
            state.entries.push_back(Entry::Dropped(profile));
            self.work.notify_one();
        }
    }

    /// How many items of a profile were given up since the history was opened.
    pub(super) fn dropped(&self, profile: ProfileId) -> u64 {
        self.lock().lanes.get(&profile).map_or(0, |lane| lane.dropped)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the room of a flood back once it has passed.
fn fit(entries: &mut VecDeque<Entry>, now: usize) {
    if entries.capacity() > READY.max(4 * now) {
        entries.shrink_to(READY);
    }
}

/// Takes clearings, pins and flushes out of `entries`.
pub(super) fn split_questions(entries: &mut VecDeque<Entry>) -> VecDeque<Entry> {
    let (questions, rest) = std::mem::take(entries).into_iter().partition::<VecDeque<_>, _>(|e| {
        matches!(e, Entry::Clear(..) | Entry::Pin { .. } | Entry::Flush(..))
    });
    *entries = rest;
    questions
}

/// About what an event occupies, its failure with the evidence included, in bytes.
const EVENT: usize = 4 << 10;

/// Bytes that an item occupies in memory.
pub(super) fn weight(item: &Item) -> usize {
    size_of::<Entry>()
        + match item {
            Item::Message(m) => {
                m.topic.len()
                    + m.payload.len()
                    + m.properties.as_ref().map_or(0, |properties| properties.weight())
            }
            Item::Event { .. } => EVENT,
        }
}

/// Where the session of one profile puts its items.
pub(super) struct Sink {
    queue: Arc<Queue>,
    profile: ProfileId,
    room: Arc<Notify>,
}

impl Sink {
    /// Wakes the writer for the first entry, and when there are enough; between, it sleeps.
    fn wake(&self, state: &State, before: usize) {
        let now = state.entries.len();
        let enough = (before < EAGER && now >= EAGER) || state.bytes >= EAGER_BYTES;
        if now > before && (before == 0 || enough) {
            self.queue.work.notify_one();
        }
    }
}

impl MessageSink for Sink {
    fn try_accept(&self, item: Item) -> std::result::Result<(), Item> {
        let bytes = weight(&item);
        let mut state = self.queue.lock();
        let State { closed, bounds, .. } = *state;
        let lane = state.lanes.entry(self.profile).or_default();
        if closed {
            // Nothing is written any more: say so in the count rather than keep a session waiting.
            lane.dropped += 1;
            return Ok(());
        }
        if !lane.admits(bytes, bounds) {
            lane.wanted = bytes;
            return Err(item);
        }
        lane.held.items += 1;
        lane.held.bytes += bytes;
        let before = state.entries.len();
        state.bytes += bytes;
        state.entries.push_back(Entry::Item(self.profile, item));
        self.wake(&state, before);
        Ok(())
    }

    fn accept_batch(&self, items: &mut VecDeque<Item>) {
        let mut guard = self.queue.lock();
        let state = &mut *guard;
        let lane = state.lanes.entry(self.profile).or_default();
        if state.closed {
            lane.dropped += items.len() as u64;
            items.clear();
            return;
        }
        let before = state.entries.len();
        while let Some(item) = items.front() {
            let bytes = weight(item);
            if !lane.admits(bytes, state.bounds) {
                lane.wanted = bytes;
                break;
            }
            lane.held.items += 1;
            lane.held.bytes += bytes;
            state.bytes += bytes;
            state.entries.extend(items.pop_front().map(|item| Entry::Item(self.profile, item)));
        }
        self.wake(state, before);
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let notified = self.room.notified();
            tokio::pin!(notified);
            // Registered before looking, so that room made in between is not missed.
            notified.as_mut().enable();
            let admits = {
                let state = self.queue.lock();
                let lane = state.lanes.get(&self.profile);
                state.closed || lane.is_none_or(|lane| lane.admits(lane.wanted, state.bounds))
            };
            if !admits {
                notified.await;
            }
        })
    }

    fn dropped(&self, item: Item) {
        let (Item::Message(crate::message::Message { time, .. }) | Item::Event { time, .. }) = item;
        let mut state = self.queue.lock();
        let lane = state.lanes.entry(self.profile).or_default();
        lane.dropped += 1;
        lane.unreported += 1;
        if lane.unreported == 1 {
            lane.unreported_since = time;
            state.entries.push_back(Entry::Dropped(self.profile));
            self.queue.work.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Direction, Message};
    use crate::profile::Qos;

    #[test]
    fn what_comes_after_a_pause_does_not_wait_and_what_goes_on_is_one_batch_a_frame() {
        let now = Instant::now();
        assert_eq!(gather(None, now), Duration::ZERO);
        assert_eq!(gather(Some(now), now + GATHER), Duration::ZERO);
        assert_eq!(gather(Some(now), now + GATHER / 4), GATHER / 4 * 3);
    }

    #[test]
    fn what_waits_is_small_and_the_room_of_a_flood_is_given_back() {
        assert!(size_of::<Entry>() <= 120, "{} bytes, and 50,000 of them wait", size_of::<Entry>());
        let queue = Arc::new(Queue::new(Bounds { items: 1_000_000, bytes: usize::MAX }));
        let sink = queue.sink(ProfileId::random());
        let flood = 8 * READY;
        let mut items: VecDeque<_> = (0..flood as UnixMicros)
            .map(|time| {
                Item::Message(Message {
                    time,
                    direction: Direction::In,
                    topic: String::new(),
                    payload: bytes::Bytes::new(),
                    qos: Qos::AtMostOnce,
                    retain: false,
                    dup: false,
                    properties: None,
                })
            })
            .collect();
        sink.accept_batch(&mut items);
        let mut taken = VecDeque::new();
        assert_eq!(queue.wait(Duration::ZERO, &mut taken), Work::Entries);
        assert_eq!(taken.len(), flood);
        taken.clear();
        assert!(taken.capacity() >= flood);
        assert_eq!(queue.wait(Duration::ZERO, &mut taken), Work::Idle);
        assert!(taken.capacity() <= 2 * READY, "{}", taken.capacity());
    }
}
