//! How long to wait before the next attempt: exponential with full jitter. Pure; randomness is passed in.

use std::time::Duration;

use crate::profile::Timing;

/// The waits between attempts.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    initial: Duration,
    max: Duration,
    limit: Option<u32>,
    retries: u32,
}

impl Backoff {
    /// From a profile's bounds.
    pub(super) fn new(timing: &Timing) -> Self {
        let initial = Duration::from_secs(timing.reconnect_initial_s.max(1).into());
        Self {
            initial,
            max: Duration::from_secs(timing.reconnect_max_s.into()).max(initial),
            limit: timing.reconnect_attempts,
            retries: 0,
        }
    }

    /// The next wait, a share `random` (0 to 1) of a ceiling that doubles each time; `None` when the
    /// attempts are used up.
    pub(super) fn next(&mut self, random: f64) -> Option<Duration> {
        if self.limit.is_some_and(|limit| self.retries >= limit) {
            return None;
        }
        let doubled = 2u32.checked_pow(self.retries).and_then(|factor| self.initial.checked_mul(factor));
        self.retries += 1;
        Some(doubled.map_or(self.max, |wait| wait.min(self.max)).mul_f64(random.clamp(0.0, 1.0)))
    }

    /// The longest wait of all.
    pub(super) fn longest(&self) -> Duration {
        self.max
    }

    /// How many waits were handed out since the last reset.
    pub(super) fn retries(&self) -> u32 {
        self.retries
    }

    /// Starts again from the shortest wait.
    pub(super) fn reset(&mut self) {
        self.retries = 0;
    }
}

/// A random number from 0 to 1.
pub(super) fn random() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u128() >> 96;
    bits as f64 / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(initial: u16, max: u16, attempts: Option<u32>) -> Backoff {
        Backoff::new(&Timing {
            reconnect_initial_s: initial,
            reconnect_max_s: max,
            reconnect_attempts: attempts,
            ..Timing::default()
        })
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_maximum() {
        let mut waits = backoff(1, 10, None);
        let seconds: Vec<u64> = (0..6).filter_map(|_| waits.next(1.0)).map(|w| w.as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
        waits.reset();
        assert_eq!(waits.next(1.0), Some(Duration::from_secs(1)));
    }

    #[test]
    fn jitter_is_full() {
        let mut waits = backoff(4, 60, None);
        assert_eq!(waits.next(0.0), Some(Duration::ZERO));
        assert_eq!(waits.next(0.25), Some(Duration::from_secs(2)));
        assert!((0..1000).all(|_| (0.0..=1.0).contains(&random())));
    }

    #[test]
    fn attempts_are_limited_and_many_do_not_overflow() {
        let mut waits = backoff(1, 60, Some(2));
        assert!(waits.next(0.5).is_some() && waits.next(0.5).is_some());
        assert_eq!(waits.next(0.5), None);
        let mut endless = backoff(1, 60, None);
        for _ in 0..100 {
            assert!(endless.next(1.0).is_some_and(|w| w <= Duration::from_secs(60)));
        }
        assert_eq!(backoff(0, 0, None).next(1.0), Some(Duration::from_secs(1)));
    }
}
