//! What came in, added up: how many, how large, how late, and exactly which were lost. In: received messages. Out: the
//! sums. Bounded: a window of the latest numbers of each publisher, and no more publishers than [`PUBLISHERS`].

use std::collections::HashMap;
use std::time::Instant;

use hdrhistogram::Histogram;
use heliograph_engine::message::Message;

use super::figures;
use super::stamp::Stamp;

/// How far behind the newest a message can be and still be known for the first or second of its number.
const WINDOW: u64 = 1 << 16;
/// How many publishers are told apart; messages of more are counted as not numbered.
const PUBLISHERS: usize = 10_000;

/// One client's sums.
pub struct Tally {
    pub messages: u64,
    pub bytes: u64,
    /// When the first and the latest came.
    pub first: Option<Instant>,
    pub last: Option<Instant>,
    /// Microseconds from publishing to receiving, by the clocks of both.
    pub latency: Histogram<u64>,
    publishers: HashMap<u64, Sequence>,
    /// Whether messages of others are not counted.
    only_these: bool,
}

/// What the numbers say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    pub publishers: usize,
    /// Numbers that should have come: from the first that came to the highest.
    pub expected: u64,
    /// Of these, those that did not.
    pub lost: u64,
    /// Came more than once.
    pub repeated: u64,
    /// Came so late that nobody knows any more whether it was for the first time.
    pub late: u64,
}

impl Tally {
    pub fn new() -> Self {
        Self {
            messages: 0,
            bytes: 0,
            first: None,
            last: None,
            latency: figures::histogram(),
            publishers: HashMap::new(),
            only_these: false,
        }
    }

    /// Of these publishers alone, whose first messages have number 0.
    pub fn of(publishers: impl Iterator<Item = u64>) -> Self {
        let publishers = publishers.map(|publisher| (publisher, Sequence::from(0))).collect();
        Self { publishers, only_these: true, ..Self::new() }
    }

    pub fn take(&mut self, message: &Message, now: Instant) {
        let stamp = Stamp::read(&message.payload);
        let known = |stamp: Stamp| self.publishers.contains_key(&stamp.publisher);
        if self.only_these && !stamp.is_some_and(known) {
            return;
        }
        self.messages += 1;
        self.bytes += message.payload.len() as u64;
        self.first.get_or_insert(now);
        self.last = Some(now);
        let Some(stamp) = stamp else { return };
        // Clocks of two computers differ; a message from the future took no time.
        self.latency.saturating_record(u64::try_from(message.time - stamp.time).unwrap_or(0).max(1));
        let room = self.publishers.len() < PUBLISHERS;
        match self.publishers.get_mut(&stamp.publisher) {
            Some(sequence) => sequence.take(stamp.number),
            None if room => {
                let mut sequence = Sequence::from(stamp.number);
                sequence.take(stamp.number);
                self.publishers.insert(stamp.publisher, sequence);
            }
            None => {}
        }
    }

    /// Forgets rates and latencies, after the warm-up; a loss stays a loss.
    pub fn restart(&mut self) {
        (self.messages, self.bytes, self.first, self.last) = (0, 0, None, None);
        self.latency.reset();
    }

    pub fn loss(&self) -> Loss {
        let mut loss = Loss::default();
        for sequence in self.publishers.values() {
            loss.add(&sequence.loss());
        }
        loss
    }
}

impl Loss {
    /// The same when it is known how many were published.
    pub fn of(self, published: u64) -> Self {
        Self { expected: published, lost: published.saturating_sub(self.came()), ..self }
    }

    /// Numbers that came.
    pub fn came(&self) -> u64 {
        self.expected - self.lost
    }

    pub fn add(&mut self, other: &Self) {
        self.publishers += other.publishers;
        self.expected += other.expected;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.late += other.late;
    }
}

/// The numbers of one publisher.
struct Sequence {
    first: u64,
    /// One more than the highest that came.
    next: u64,
    distinct: u64,
    repeated: u64,
    late: u64,
    /// A bit for each of the last [`WINDOW`] numbers: whether it came.
    came: Vec<u64>,
}

impl Sequence {
    fn from(first: u64) -> Self {
        let came = vec![0; (WINDOW / 64) as usize];
        Self { first, next: first, distinct: 0, repeated: 0, late: 0, came }
    }

    fn take(&mut self, number: u64) {
        if number >= self.next {
            if number - self.next >= WINDOW {
                self.came.fill(0);
            } else {
                for skipped in self.next..number {
                    *self.word(skipped) &= !bit(skipped);
                }
            }
            *self.word(number) |= bit(number);
            self.next = number.saturating_add(1);
            self.distinct += 1;
        } else if number < self.first || self.next - number > WINDOW {
            self.late += 1;
        } else if *self.word(number) & bit(number) == 0 {
            *self.word(number) |= bit(number);
            self.distinct += 1;
        } else {
            self.repeated += 1;
        }
    }

    fn word(&mut self, number: u64) -> &mut u64 {
        &mut self.came[(number % WINDOW / 64) as usize]
    }

    fn loss(&self) -> Loss {
        let expected = self.next - self.first;
        Loss {
            publishers: 1,
            expected,
            lost: expected.saturating_sub(self.distinct),
            repeated: self.repeated,
            late: self.late,
        }
    }
}

fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(numbers: impl IntoIterator<Item = u64>) -> Loss {
        let mut numbers = numbers.into_iter().peekable();
        let mut sequence = Sequence::from(*numbers.peek().expect("a number"));
        numbers.for_each(|number| sequence.take(number));
        sequence.loss()
    }

    fn loss(expected: u64, lost: u64, repeated: u64, late: u64) -> Loss {
        Loss { publishers: 1, expected, lost, repeated, late }
    }

    #[test]
    fn a_loss_is_exact_in_any_order() {
        assert_eq!(after(5..1_000), loss(995, 0, 0, 0));
        assert_eq!(after((0..1_000).filter(|n| n % 10 != 3)), loss(1_000, 100, 0, 0));
        assert_eq!(after([0, 3, 2, 1, 4]), loss(5, 0, 0, 0));
        assert_eq!(after([0, 1, 1, 2, 0]), loss(3, 0, 2, 0));
        // What came before the first of all was not expected.
        assert_eq!(after([7, 8, 6]), loss(2, 0, 0, 1));
    }

    #[test]
    fn numbers_that_leave_the_window_stay_lost_and_their_bits_are_used_again() {
        assert_eq!(
            after((0..3 * WINDOW).filter(|n| n % 2 == 0)),
            loss(3 * WINDOW - 1, 3 * WINDOW / 2 - 1, 0, 0)
        );
        assert_eq!(after([0, 2 * WINDOW, 1]), loss(2 * WINDOW + 1, 2 * WINDOW - 1, 0, 1));
        assert_eq!(after([0, WINDOW - 1, 1]), loss(WINDOW, WINDOW - 3, 0, 0));
    }
}
