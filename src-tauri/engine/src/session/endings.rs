//! How the connections of one session ended, one after the other, and what that says when it repeats itself: two
//! clients that push each other out with one client identifier, or somebody between who ends idle connections.
//! In: endings. Out: a pattern. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::diagnosis::Pattern;

/// How many endings are looked at.
const REMEMBERED: usize = 5;
/// A connection that lasted longer than this was not pushed out by somebody who retries.
const DUEL: Duration = Duration::from_secs(90);
/// One that ended sooner was ended for something that this client did.
const AT_ONCE: Duration = Duration::from_millis(250);
/// Nobody ends connections that are idle for less.
const SHORTEST_IDLE: Duration = Duration::from_millis(900);
/// Shorter than this, two equal times may be chance.
const TELLING_IDLE: Duration = Duration::from_secs(10);

/// The clock and the uptime of a computer drift apart by this much only when it slept, or its clock was set.
const SLEPT: Duration = Duration::from_secs(15);

/// How long the computer slept, if it did, while a connection stood for so long by its uptime and by its clock. A
/// clock that was set back says nothing.
pub(super) fn slept(by_uptime: Duration, by_clock: Duration) -> Option<Duration> {
    Some(by_clock.saturating_sub(by_uptime)).filter(|drift| *drift >= SLEPT)
}

/// The end of one connection that nobody here asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub(super) kind: EndingKind,
    /// From CONNACK to the end.
    pub(super) lasted: Duration,
    /// From the last byte in either direction to the end.
    pub(super) idle: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndingKind {
    /// The server said that another client took the session over.
    TakenOver,
    /// The stream ended and nobody gave a reason.
    Unexplained,
    /// There was a reason.
    Explained,
}

/// The latest endings of a session.
#[derive(Debug, Default)]
pub(super) struct Endings(VecDeque<Ending>);

impl Endings {
    /// Notes an ending and says what it is part of.
    pub(super) fn note(&mut self, ending: Ending) -> Option<Pattern> {
        self.0.truncate(REMEMBERED - 1);
        self.0.push_front(ending);
        self.pattern()
    }

    /// An attempt failed in between: what closes connections is down, and no pattern of its own.
    pub(super) fn interrupted(&mut self) {
        self.0.clear();
    }

    fn pattern(&self) -> Option<Pattern> {
        let latest = self.0.front()?;
        let run = || self.0.iter().take_while(|ending| ending.kind == latest.kind);
        match latest.kind {
            EndingKind::TakenOver => {
                let rounds = run().count();
                (rounds >= 2).then_some(Pattern::Duel { certain: true, rounds })
            }
            EndingKind::Unexplained => {
                let idle = run().take_while(|ending| same(ending.idle, latest.idle)).count();
                let enough = if latest.idle >= TELLING_IDLE { 2 } else { 3 };
                if idle >= enough && latest.idle >= SHORTEST_IDLE {
                    return Some(Pattern::Idle { after: latest.idle, times: idle });
                }
                let at_once = run().take_while(|ending| ending.lasted < AT_ONCE).count();
                if at_once >= 2 {
                    return Some(Pattern::AtOnce { times: at_once });
                }
                let rounds = run().take_while(|ending| ending.lasted < DUEL).count();
                (rounds >= 2).then_some(Pattern::Duel { certain: false, rounds })
            }
            EndingKind::Explained => None,
        }
    }
}

/// As long as each other, but for what a clock and a network add.
fn same(a: Duration, b: Duration) -> bool {
    a.abs_diff(b) <= (a.max(b) / 20).max(Duration::from_millis(150))
}

#[cfg(test)]
mod tests {
    use super::*;
    use EndingKind::{Explained, TakenOver, Unexplained};

    fn after(endings: &[(EndingKind, u64, u64)]) -> Option<Pattern> {
        let mut all = Endings::default();
        let note = |&(kind, lasted, idle): &(EndingKind, u64, u64)| {
            let (lasted, idle) = (Duration::from_millis(lasted), Duration::from_millis(idle));
            all.note(Ending { kind, lasted, idle })
        };
        endings.iter().map(note).last().flatten()
    }

    #[test]
    fn a_clock_that_ran_ahead_of_the_uptime_tells_of_sleep() {
        let [short, hour] = [20, 3_600].map(Duration::from_secs);
        assert_eq!(slept(short, short + hour), Some(hour));
        assert_eq!(slept(hour, hour + Duration::from_secs(14)), None, "a clock that is corrected drifts");
        assert_eq!(slept(hour, hour), None, "a process that was stopped keeps both");
        assert_eq!(slept(hour, short), None, "a clock that was set back");
    }

    #[test]
    fn a_duel_is_recognised_in_its_second_round() {
        assert_eq!(after(&[(TakenOver, 900, 10)]), None);
        let certain = Some(Pattern::Duel { certain: true, rounds: 2 });
        assert_eq!(after(&[(TakenOver, 900, 10), (TakenOver, 90_000, 20)]), certain);
        let likely = Some(Pattern::Duel { certain: false, rounds: 2 });
        assert_eq!(after(&[(Unexplained, 900, 700), (Unexplained, 2_100, 1_900)]), likely);
        assert_eq!(after(&[(Unexplained, 900_000, 700), (Unexplained, 2_100, 1_900)]), None);
        assert_eq!(after(&[(TakenOver, 900, 10), (Explained, 900, 10), (TakenOver, 900, 10)]), None);
    }

    #[test]
    fn equal_idle_times_tell_who_ends_idle_connections() {
        let idle = |after, times| Some(Pattern::Idle { after: Duration::from_millis(after), times });
        assert_eq!(after(&[(Unexplained, 61_000, 60_020), (Unexplained, 99_000, 60_100)]), idle(60_100, 2));
        let thrice = [(Unexplained, 3_000, 3_000), (Unexplained, 3_010, 3_010), (Unexplained, 3_100, 3_100)];
        assert_eq!(after(&thrice), idle(3_100, 3));
        assert_eq!(after(&[(Unexplained, 600_000, 60_000), (Unexplained, 600_000, 70_000)]), None);
    }

    #[test]
    fn what_ends_as_soon_as_it_stands_is_no_duel() {
        let at_once = Some(Pattern::AtOnce { times: 2 });
        assert_eq!(after(&[(Unexplained, 12, 3), (Unexplained, 30, 3)]), at_once);
        let mut endings = Endings::default();
        let ending = Ending { kind: Unexplained, lasted: Duration::from_secs(5), idle: Duration::ZERO };
        endings.note(ending);
        endings.interrupted();
        assert_eq!(endings.note(ending), None);
    }
}
