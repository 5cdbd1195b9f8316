//! Messages that are shown and never stored: those that arrive for subscriptions that say so, and for no other. In:
//! what a session received. Out: the newest of them, as rows that a view can show, filter and open like stored ones.
//! Lives in memory alone, bounded in messages and bytes; their numbers are above all that a stored row can have.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::store;
use super::view::{Filter, Wanted};
use super::{MessageDetail, Page, Row, RowContent, RowFilter, Seq, Shared, ViewCount, lock};
use crate::error::Result;
use crate::message::{Direction, Item, Message, MessageSink, UnixMicros};
use crate::profile::{ProfileId, Subscription};
use crate::topic;

/// Messages that are held of a connection,
const ROWS: usize = 10_000;
/// and the most bytes of payload; the newest one is held whatever its size.
const BYTES: usize = 64 << 20;
/// Topics whose verdict is remembered.
const TOPICS: usize = 20_000;
/// The first number: the one after the last that a stored row can have.
const FIRST: Seq = store::SEQ_MASK + 1;

/// Whether a row is one of these.
pub(super) fn is_live(seq: Seq) -> bool {
    seq >= FIRST
}

/// What is held of every profile.
#[derive(Default)]
pub(super) struct Live(Mutex<HashMap<ProfileId, Ring>>);

/// The newest messages of one profile.
struct Ring {
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
    /// Number of the first one.
    first: Seq,
}

impl Default for Ring {
    fn default() -> Self {
        Self { messages: VecDeque::new(), bytes: 0, first: FIRST }
    }
}

impl Ring {
    fn push(&mut self, message: Message) {
        self.bytes += message.payload.len();
        self.messages.push_back(Arc::new(message));
        while self.messages.len() > ROWS || (self.bytes > BYTES && self.messages.len() > 1) {
            let Some(oldest) = self.messages.pop_front() else { return };
            self.bytes -= oldest.payload.len();
            self.first += 1;
        }
    }

    /// The one after the last.
    fn end(&self) -> Seq {
        self.first + self.messages.len() as Seq
    }

    fn at(&self, seq: Seq) -> Option<&Arc<Message>> {
        self.messages.get(usize::try_from(seq - self.first).ok()?)
    }
}

impl Live {
    fn push(&self, profile: ProfileId, message: Message) {
        lock(&self.0).entry(profile).or_default().push(message);
    }

    /// How many messages of a profile were shown live only since the engine started.
    pub(super) fn passed(&self, profile: ProfileId) -> u64 {
        lock(&self.0).get(&profile).map_or(0, |ring| (ring.end() - FIRST).unsigned_abs())
    }

    /// Lets go of what is held of a profile; the numbers go on.
    pub(super) fn clear(&self, profile: ProfileId) {
        if let Some(ring) = lock(&self.0).get_mut(&profile) {
            ring.first = ring.end();
            ring.messages.clear();
            ring.bytes = 0;
        }
    }

    /// A message, while it is held.
    pub(super) fn message(&self, profile: ProfileId, seq: Seq) -> Option<Arc<Message>> {
        lock(&self.0).get(&profile)?.at(seq).cloned()
    }

    /// A whole message but for its payload.
    pub(super) fn detail(&self, profile: ProfileId, seq: Seq) -> Option<MessageDetail> {
        let rings = lock(&self.0);
        let ring = rings.get(&profile)?;
        let message = ring.at(seq)?;
        let earlier = usize::try_from(seq - ring.first).ok()?;
        let previous = ring
            .messages
            .iter()
            .take(earlier)
            .rposition(|before| (&before.topic, before.direction) == (&message.topic, message.direction));
        let time = |place: usize| ring.messages.get(place).map(|before| message.time - before.time);
        Some(MessageDetail {
            row: row(seq, message),
            properties: message.properties().clone(),
            since_previous_micros: previous.and_then(time),
            previous_seq: previous.map(|place| ring.first + place as Seq),
        })
    }

    /// The number of the first message that is held, and those from a number on.
    fn from(&self, profile: ProfileId, seq: Seq) -> (Seq, Vec<(Seq, Arc<Message>)>) {
        let rings = lock(&self.0);
        let Some(ring) = rings.get(&profile) else { return (FIRST, Vec::new()) };
        let start = seq.max(ring.first);
        let new = (start..ring.end()).filter_map(|seq| Some((seq, ring.at(seq)?.clone())));
        (ring.first, new.collect())
    }
}

/// What a view has found among the messages that are held.
pub(super) struct LiveView {
    profile: ProfileId,
    filter: Option<Filter>,
    found: Mutex<Found>,
}

struct Found {
    rows: VecDeque<Seq>,
    /// The next one to look at.
    next: Seq,
    /// Rows that left at the beginning.
    gone: i64,
}

impl LiveView {
    /// # Errors
    /// `invalid_input` on what is wrong with the filter.
    pub(super) fn new(profile: ProfileId, filter: &RowFilter) -> Result<Self> {
        let found = Found { rows: VecDeque::new(), next: FIRST, gone: 0 };
        Ok(Self { profile, filter: Filter::new(filter)?, found: Mutex::new(found) })
    }

    /// Looks at what has arrived, and hands out what was found with it.
    fn look<T>(&self, live: &Live, tell: impl FnOnce(&Found) -> T) -> T {
        let mut found = lock(&self.found);
        let (first, new) = live.from(self.profile, found.next);
        while found.rows.front().is_some_and(|seq| *seq < first) {
            found.rows.pop_front();
            found.gone += 1;
        }
        found.next = new.last().map_or(found.next.max(first), |(seq, _)| seq + 1);
        let admitted = |message: &Message| self.filter.as_ref().is_none_or(|filter| filter.admits(message));
        found.rows.extend(new.iter().filter(|(_, message)| admitted(message)).map(|(seq, _)| *seq));
        tell(&found)
    }

    pub(super) fn page(&self, live: &Live, wanted: Wanted) -> Page {
        let (start, seqs, count) = self.look(live, |found| {
            let rows = found.rows.len() as u64;
            let known =
                wanted.since().map_or(0, |since| found.rows.partition_point(|seq| *seq < since) as u64);
            let wanted = wanted.among(rows, known);
            let start = wanted.start;
            let seqs = wanted.filter_map(|index| found.rows.get(usize::try_from(index).ok()?).copied());
            (start, seqs.collect::<Vec<_>>(), ViewCount { rows, origin: found.gone, ..ViewCount::default() })
        });
        let held = lock(&live.0).get(&self.profile).map_or(0, |ring| ring.messages.len() as u64);
        let rows = seqs.into_iter().filter_map(|seq| Some(row(seq, &*live.message(self.profile, seq)?)));
        Page { start, rows: rows.collect(), count: ViewCount { stored: held, searched: held, ..count } }
    }

    pub(super) fn index_of(&self, live: &Live, seq: Seq) -> Option<u64> {
        self.look(live, |found| found.rows.binary_search(&seq).ok()).map(|index| index as u64)
    }

    pub(super) fn index_at(&self, live: &Live, time: UnixMicros) -> u64 {
        let before = |seq: &Seq| live.message(self.profile, *seq).is_none_or(|message| message.time < time);
        self.look(live, |found| found.rows.partition_point(before)) as u64
    }
}

/// A message as a table shows it.
fn row(seq: Seq, message: &Message) -> Row {
    let size = message.payload.len();
    let (preview, preview_hex) = store::preview(&message.payload, false);
    let content = RowContent::Message {
        direction: message.direction,
        topic: message.topic.clone(),
        qos: message.qos,
        retain: message.retain,
        dup: message.dup,
        size: size as u64,
        preview,
        preview_hex,
        content_type: message.properties().content_type.clone(),
    };
    Row { seq, time: message.time, pinned: false, content }
}

/// Between a session and the history: what only subscriptions want that are live only is shown, all else is stored.
pub struct LiveSplit {
    profile: ProfileId,
    stored: Arc<dyn MessageSink>,
    live: Arc<Live>,
    shared: Arc<Shared>,
    /// Whether any subscription is live only; else nothing is looked at.
    any: AtomicBool,
    rules: Mutex<Rules>,
}

#[derive(Default)]
struct Rules {
    /// Topic filters of subscriptions that are on, and whether they are live only.
    filters: Vec<(String, bool)>,
    /// Whether messages of a topic are live only, so that a topic is matched once and not once a message.
    topics: HashMap<String, bool>,
}

impl Rules {
    /// Whether an item is shown and not stored.
    fn shows(&mut self, item: &Item) -> bool {
        matches!(item, Item::Message(message)
            if message.direction == Direction::In && self.is_live_only(&message.topic))
    }

    /// Whether some subscription that matches is live only and none stores.
    fn is_live_only(&mut self, name: &str) -> bool {
        if let Some(known) = self.topics.get(name) {
            return *known;
        }
        let mut matching = self.filters.iter().filter(|(filter, _)| topic::matches(filter, name)).peekable();
        let live_only = matching.peek().is_some() && matching.all(|(_, live_only)| *live_only);
        if self.topics.len() >= TOPICS {
            self.topics.clear();
        }
        self.topics.insert(name.to_owned(), live_only);
        live_only
    }
}

impl LiveSplit {
    pub(super) fn new(
        profile: ProfileId,
        stored: Arc<dyn MessageSink>,
        live: Arc<Live>,
        shared: Arc<Shared>,
    ) -> Self {
        let (any, rules) = (AtomicBool::new(false), Mutex::default());
        Self { profile, stored, live, shared, any, rules }
    }

    /// From now on these subscriptions decide.
    pub fn follow(&self, subscriptions: &[Subscription]) {
        let on = subscriptions.iter().filter(|subscription| subscription.enabled);
        let filters: Vec<_> = on.map(|on| (on.filter.clone(), on.live_only)).collect();
        self.any.store(filters.iter().any(|(_, live_only)| *live_only), Ordering::Release);
        let mut rules = lock(&self.rules);
        if rules.filters != filters {
            *rules = Rules { filters, topics: HashMap::new() };
        }
    }
}

impl MessageSink for LiveSplit {
    fn try_accept(&self, item: Item) -> std::result::Result<(), Item> {
        let mut one = VecDeque::from([item]);
        self.accept_batch(&mut one);
        one.pop_front().map_or(Ok(()), Err)
    }

    fn accept_batch(&self, items: &mut VecDeque<Item>) {
        if !self.any.load(Ordering::Acquire) {
            return self.stored.accept_batch(items);
        }
        let mut rules = lock(&self.rules);
        let mut shown = false;
        while let Some(item) = items.front() {
            if rules.shows(item) {
                if let Some(Item::Message(message)) = items.pop_front() {
                    self.live.push(self.profile, message);
                    shown = true;
                }
                continue;
            }
            // Those that are to be stored side by side are handed over together.
            let run = items.iter().position(|item| rules.shows(item)).unwrap_or(items.len());
            let mut rest = items.split_off(run);
            self.stored.accept_batch(items);
            let is_full = !items.is_empty();
            items.append(&mut rest);
            if is_full {
                break;
            }
        }
        if shown {
            self.shared.changed();
        }
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.stored.room()
    }

    fn dropped(&self, item: Item) {
        self.stored.dropped(item);
    }
}
