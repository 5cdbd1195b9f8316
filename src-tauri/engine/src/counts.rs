//! What passed to a sink: messages and bytes, in and out, given up, and received for each topic filter. In: items on
//! their way to the sink. Out: the same items, and numbers that are read at any time. Keeps no message.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::message::{Direction, Item, MessageSink};
use crate::topic;

/// How many topics are remembered with the subscriptions they match.
const MAX_MATCHED_TOPICS: usize = 20_000;

/// Counted where messages pass, without a lock but for the per-subscription counts.
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
    counts: Vec<u64>,
    /// Which filters a topic matches, so that a topic is matched once and not once a message.
    topics: HashMap<String, Vec<usize>>,
}

impl Matched {
    fn follow(&mut self, filters: Vec<String>) {
        if filters == self.filters {
            return;
        }
        let old: HashMap<_, _> = self.filters.drain(..).zip(self.counts.drain(..)).collect();
        self.counts = filters.iter().map(|f| old.get(f).copied().unwrap_or(0)).collect();
        self.filters = filters;
        self.topics.clear();
    }

    fn count(&mut self, name: &str) {
        if !self.topics.contains_key(name) {
            if self.topics.len() >= MAX_MATCHED_TOPICS {
                self.topics.clear();
            }
            let matching = self.filters.iter().enumerate().filter(|(_, filter)| topic::matches(filter, name));
            self.topics.insert(name.to_owned(), matching.map(|(index, _)| index).collect());
        }
        for &index in self.topics.get(name).into_iter().flatten() {
            self.counts[index] += 1;
        }
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
        self.by_filter().follow(filters);
    }

    /// Messages received for each topic filter.
    pub fn matched(&self) -> HashMap<String, u64> {
        let matched = self.by_filter();
        matched.filters.iter().cloned().zip(matched.counts.iter().copied()).collect()
    }

    fn by_filter(&self) -> MutexGuard<'_, Matched> {
        self.matched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct CountingSink {
    inner: Arc<dyn MessageSink>,
    counts: Arc<Counts>,
}

impl MessageSink for CountingSink {
    fn try_accept(&self, item: Item) -> Result<(), Item> {
        let Item::Message(message) = &item else { return self.inner.try_accept(item) };
        let (direction, bytes) = (message.direction, message.payload.len() as u64);
        let topic = (direction == Direction::In).then(|| message.topic.clone());
        self.inner.try_accept(item)?;
        if let Some(topic) = topic {
            self.counts.received.fetch_add(1, Ordering::Relaxed);
            self.counts.received_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.counts.by_filter().count(&topic);
        } else {
            self.counts.sent.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
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
