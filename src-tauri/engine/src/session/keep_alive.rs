//! When a PINGREQ is due and when the peer is given up (MQTT 5, 3.1.2.10 and 3.12). In: what passes, and the time of it.
//! Out: what to do, and when to ask again. Pure.
//!
//! The peer is given up when a PINGREQ has had no answer and no byte of a packet has come for a whole keep alive.
//! So a packet that takes longer than that to arrive, with the PINGRESP behind it, ends nothing.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How many PINGREQ without an answer are remembered.
const UNANSWERED: usize = 8;

/// The keep alive of one connection.
#[derive(Debug, Default)]
pub(super) struct KeepAlive(Option<Running>);

#[derive(Debug)]
struct Running {
    period: Duration,
    /// When something was last written.
    wrote: Instant,
    /// When a byte of a packet last came.
    heard: Instant,
    /// The PINGREQ that wait for an answer, oldest first.
    asked: VecDeque<Instant>,
    round_trip: Option<Duration>,
}

impl KeepAlive {
    /// 0 is off.
    pub(super) fn every(seconds: u16, now: Instant) -> Self {
        let running = Running {
            period: Duration::from_secs(seconds.into()),
            wrote: now,
            heard: now,
            asked: VecDeque::new(),
            round_trip: None,
        };
        Self((seconds > 0).then_some(running))
    }

    pub(super) fn wrote(&mut self, now: Instant) {
        if let Some(running) = &mut self.0 {
            running.wrote = now;
        }
    }

    /// Bytes of a packet came then, if any did.
    pub(super) fn heard(&mut self, then: Option<Instant>) {
        if let (Some(running), Some(then)) = (&mut self.0, then) {
            running.heard = running.heard.max(then);
        }
    }

    /// PINGRESP came.
    pub(super) fn answered(&mut self, now: Instant) {
        if let Some(running) = &mut self.0
            && let Some(asked) = running.asked.pop_front()
        {
            running.round_trip = Some(now - asked);
        }
    }

    /// How long the answer took that came last; told once.
    pub(super) fn round_trip(&mut self) -> Option<Duration> {
        self.0.as_mut()?.round_trip.take()
    }

    /// Whether a PINGREQ is due; then it counts as written.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        let Some(running) = &mut self.0 else { return false };
        if now < running.wrote + running.period {
            return false;
        }
        running.wrote = now;
        running.asked.truncate(UNANSWERED - 1);
        running.asked.push_back(now);
        true
    }

    /// Whether the peer is to be given up.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.0.as_ref().and_then(Running::over_at).is_some_and(|over| now >= over)
    }

    /// When something will be due.
    pub(super) fn next(&self) -> Option<Instant> {
        let running = self.0.as_ref()?;
        let ask = running.wrote + running.period;
        Some(running.over_at().map_or(ask, |over| over.min(ask)))
    }
}

impl Running {
    fn over_at(&self) -> Option<Instant> {
        Some((*self.asked.front()?).max(self.heard) + self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_after_a_question_ends_it_and_bytes_of_a_packet_do_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut alive = KeepAlive::every(10, start);
        assert!(!alive.ask(at(9)) && alive.next() == Some(at(10)));
        alive.wrote(at(5));
        assert!(!alive.ask(at(14)) && alive.ask(at(15)), "what is written is as good");
        assert_eq!(alive.next(), Some(at(25)));
        alive.heard(Some(at(20)));
        assert!(!alive.is_over(at(29)) && alive.is_over(at(30)));
        // Due again though the first was not answered: the broker counts as well.
        assert!(alive.ask(at(25)));
        alive.answered(at(29));
        assert_eq!((alive.round_trip(), alive.round_trip()), (Some(Duration::from_secs(14)), None));
        alive.answered(at(29));
        assert_eq!(alive.round_trip(), Some(Duration::from_secs(4)));
        alive.answered(at(29));
        assert_eq!(alive.round_trip(), None, "nobody asked");
        assert!(!alive.is_over(at(1_000)), "nothing is waited for");

        let mut off = KeepAlive::every(0, start);
        assert!(!off.ask(at(100_000)) && !off.is_over(at(100_000)) && off.next().is_none());
    }
}
