//! What passed to a sink: messages and bytes, in and out, given up, and received for each topic filter. In: items on
//! their way to the sink. Out: the same items, and numbers that are read at any time. Keeps no message.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::message::{Direction, Item, MessageSink};
use crate::topic;

/// How many topics are remembered with the subscriptions they match.
const MAX_MATCHED_TOPICS: usize = 20_000;

/// Counted where messages pass.
#[derive(Default)]
pub struct Counts {
    received: AtomicU64,
    received_bytes: AtomicU64,
    sent: AtomicU64,
    dropped: AtomicU64,
    matched: Mutex<Matched>,
}

/// Messages received for each topic filter.
#[derive(Default)]
struct Matched {
    filters: Vec<String>,
    /// Topics that match the same filters are counted together.
    groups: Vec<Group>,
    /// The group of a topic, so that a topic is matched once and not once a message.
    topics: HashMap<String, usize>,
    /// Received before the filters last changed.
    before: HashMap<String, u64>,
    /// What is in the batch under way, in order; kept for its room.
    batch: Vec<Seen>,
}

struct Group {
    /// By index, in order.
    filters: Vec<usize>,
    received: u64,
}

/// What an item counts for once it is taken.
enum Seen {
    Received { group: usize, bytes: u64 },
    Sent,
    Event,
}

impl Matched {
    fn follow(&mut self, filters: Vec<String>) {
        if filters == self.filters {
            return;
        }
        let mut counts = self.counts();
        counts.retain(|filter, _| filters.contains(filter));
        *self = Self { filters, before: counts, ..Self::default() };
    }

    fn counts(&self) -> HashMap<String, u64> {
        let count = |(index, filter): (usize, &String)| {
            let groups = self.groups.iter().filter(|group| group.filters.contains(&index));
            let since: u64 = groups.map(|group| group.received).sum();
            (filter.clone(), self.before.get(filter).copied().unwrap_or(0) + since)
        };
        self.filters.iter().enumerate().map(count).collect()
    }

    fn look(&mut self, item: &Item) -> Seen {
        match item {
            Item::Message(message) if message.direction == Direction::In => {
                Seen::Received { group: self.group(&message.topic), bytes: message.payload.len() as u64 }
            }
            Item::Message(_) => Seen::Sent,
            Item::Event { .. } => Seen::Event,
        }
    }

    fn group(&mut self, name: &str) -> usize {
        if let Some(&group) = self.topics.get(name) {
            return group;
        }
        let matching = self.filters.iter().enumerate().filter(|(_, filter)| topic::matches(filter, name));
        let filters: Vec<_> = matching.map(|(index, _)| index).collect();
        let known = self.groups.iter().position(|group| group.filters == filters);
        let group = known.unwrap_or_else(|| {
            self.groups.push(Group { filters, received: 0 });
            self.groups.len() - 1
        });
        if self.topics.len() >= MAX_MATCHED_TOPICS {
            self.topics.clear();
        }
        self.topics.insert(name.to_owned(), group);
        group
    }
}

impl Counts {
    /// A sink that hands everything to `inner` and counts what that takes.
    pub fn sink(self: &Arc<Self>, inner: Arc<dyn MessageSink>) -> Arc<dyn MessageSink> {
        Arc::new(CountingSink { inner, counts: self.clone() })
    }

    /// Messages that came in.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes of their payloads.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// Messages that went out.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Messages that were given up.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Counts for these topic filters from now on; those that were counted for before keep their counts.
    pub fn follow(&self, filters: Vec<String>) {
        self.matching().follow(filters);
    }

    /// Messages received for each topic filter.
    pub fn matched(&self) -> HashMap<String, u64> {
        self.matching().counts()
    }

    fn matching(&self) -> MutexGuard<'_, Matched> {
        self.matched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct CountingSink {
    inner: Arc<dyn MessageSink>,
    counts: Arc<Counts>,
}

impl MessageSink for CountingSink {
    fn try_accept(&self, item: Item) -> Result<(), Item> {
        let mut one = VecDeque::from([item]);
        self.accept_batch(&mut one);
        one.pop_front().map_or(Ok(()), Err)
    }

    fn accept_batch(&self, items: &mut VecDeque<Item>) {
        // Looked at before they are gone, counted when they are: the lock is held over both. Whoever only reads
        // counts waits for a moment; the sink beneath never asks for them.
        let mut matched = self.counts.matching();
        let mut batch = std::mem::take(&mut matched.batch);
        batch.extend(items.iter().map(|item| matched.look(item)));
        self.inner.accept_batch(items);
        let taken = batch.len() - items.len();
        let (mut received, mut received_bytes, mut sent) = (0, 0, 0);
        for seen in batch.drain(..).take(taken) {
            match seen {
                Seen::Received { group, bytes } => {
                    received += 1;
                    received_bytes += bytes;
                    matched.groups[group].received += 1;
                }
                Seen::Sent => sent += 1,
                Seen::Event => {}
            }
        }
        matched.batch = batch;
        self.counts.received.fetch_add(received, Ordering::Relaxed);
        self.counts.received_bytes.fetch_add(received_bytes, Ordering::Relaxed);
        self.counts.sent.fetch_add(sent, Ordering::Relaxed);
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.inner.room()
    }

    fn dropped(&self, item: Item) {
        if matches!(item, Item::Message(_)) {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.dropped(item);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::message::Message;
    use crate::profile::Qos;

    /// Has room for so many, and keeps their topics.
    struct Narrow {
        room: usize,
        topics: Mutex<Vec<String>>,
    }

    impl MessageSink for Narrow {
        fn try_accept(&self, item: Item) -> Result<(), Item> {
            let mut topics = self.topics.lock().expect("topics");
            match item {
                Item::Message(message) if topics.len() < self.room => topics.push(message.topic),
                item => return Err(item),
            }
            Ok(())
        }

        fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            Box::pin(std::future::pending())
        }

        fn dropped(&self, _: Item) {}
    }

    fn message(topic: &str, direction: Direction) -> Item {
        Item::Message(Message {
            time: 0,
            direction,
            topic: topic.into(),
            payload: Bytes::from_static(b"four"),
            qos: Qos::AtMostOnce,
            retain: false,
            dup: false,
            properties: None,
        })
    }

    #[test]
    fn only_what_was_taken_counts_and_the_rest_comes_back_in_order() {
        let narrow = Arc::new(Narrow { room: 4, topics: Mutex::default() });
        let counts = Arc::<Counts>::default();
        counts.follow(vec!["a/#".into(), "+/1".into(), "c".into()]);
        let sink = counts.sink(narrow.clone());
        let mut batch: VecDeque<_> = ["a/1", "b/1", "a/2"].map(|topic| message(topic, Direction::In)).into();
        batch.push_back(message("a/1", Direction::Out));
        batch.extend(["a/3", "c"].map(|topic| message(topic, Direction::In)));
        sink.accept_batch(&mut batch);
        assert_eq!(*narrow.topics.lock().expect("topics"), ["a/1", "b/1", "a/2", "a/1"]);
        assert_eq!(batch, ["a/3", "c"].map(|topic| message(topic, Direction::In)));
        assert_eq!((counts.received(), counts.received_bytes(), counts.sent()), (3, 12, 1));
        assert!(sink.try_accept(message("c", Direction::In)).is_err());
        let by_filter = |filter: &str| counts.matched().get(filter).copied();
        assert_eq!([by_filter("a/#"), by_filter("+/1"), by_filter("c")], [Some(2), Some(2), Some(0)]);

        // Who is followed on keeps its count, who is not is forgotten.
        counts.follow(vec!["+/1".into(), "b/1".into()]);
        assert_eq!([by_filter("a/#"), by_filter("+/1"), by_filter("b/1")], [None, Some(2), Some(0)]);
    }
}
