//! The subscriptions of a session: what is wanted, what the broker was told, and what it said. Pure.

use super::SubscriptionState;
use crate::profile::{Qos, Subscription};

/// Wanted subscriptions in order, and filters that a resumed session still holds although nobody wants them.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    wanted: Vec<Entry>,
    unwanted: Vec<String>,
    last_id: u32,
}

#[derive(Debug)]
struct Entry {
    subscription: Subscription,
    /// Its Subscription Identifier; stable while the session lives.
    id: u32,
    state: SubscriptionState,
    /// What the broker's session holds, as far as we were told.
    held: Option<Qos>,
}

impl Subscriptions {
    pub(super) fn new(saved: &[Subscription]) -> Self {
        let mut subscriptions = Self::default();
        for subscription in saved {
            subscriptions.put(subscription.clone());
        }
        subscriptions
    }

    /// Adds a subscription, or changes the one with its filter; the broker has to be told.
    pub(super) fn put(&mut self, subscription: Subscription) {
        self.unwanted.retain(|filter| *filter != subscription.filter);
        match self.wanted.iter_mut().find(|entry| entry.subscription.filter == subscription.filter) {
            Some(entry) => {
                if entry.held.is_some() && !subscription.enabled {
                    self.unwanted.push(subscription.filter.clone());
                }
                entry.subscription = subscription;
                entry.state = SubscriptionState::Inactive;
                entry.held = None;
            }
            None => {
                self.last_id += 1;
                let state = SubscriptionState::Inactive;
                self.wanted.push(Entry { subscription, id: self.last_id, state, held: None });
            }
        }
    }

    /// Forgets a subscription; the broker may still hold it.
    pub(super) fn remove(&mut self, filter: &str) {
        self.wanted.retain(|entry| entry.subscription.filter != filter);
        if !self.is_unwanted(filter) {
            self.unwanted.push(filter.to_owned());
        }
    }

    /// Whether the broker may hold a filter that nobody wants.
    pub(super) fn is_unwanted(&self, filter: &str) -> bool {
        self.unwanted.iter().any(|unwanted| unwanted == filter)
    }

    /// The broker no longer holds a filter.
    pub(super) fn gone(&mut self, filter: &str) {
        self.unwanted.retain(|unwanted| unwanted != filter);
    }

    /// Marks a filter as sent and hands out what to send; `None` when it is switched off or forgotten.
    pub(super) fn send(&mut self, filter: &str) -> Option<(Subscription, u32)> {
        let entry = self.entry(filter).filter(|entry| entry.subscription.enabled)?;
        entry.state = SubscriptionState::Pending;
        Some((entry.subscription.clone(), entry.id))
    }

    /// Records the broker's answer.
    pub(super) fn answered(&mut self, filter: &str, state: SubscriptionState) {
        if let Some(entry) = self.entry(filter) {
            entry.held = match state {
                SubscriptionState::Granted { qos } => Some(qos),
                _ => None,
            };
            entry.state = state;
        }
    }

    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        for entry in &mut self.wanted {
            entry.state = SubscriptionState::Inactive;
        }
    }

    /// A connection is there: which filters to subscribe to and to unsubscribe from, depending on whether the
    /// broker resumed the session.
    pub(super) fn connected(&mut self, session_present: bool) -> (Vec<String>, Vec<String>) {
        if !session_present {
            self.unwanted.clear();
        }
        let mut missing = Vec::new();
        for entry in self.wanted.iter_mut().filter(|entry| entry.subscription.enabled) {
            match entry.held.filter(|_| session_present) {
                Some(qos) => entry.state = SubscriptionState::Granted { qos },
                None => {
                    entry.held = None;
                    entry.state = SubscriptionState::Pending;
                    missing.push(entry.subscription.filter.clone());
                }
            }
        }
        (missing, self.unwanted.clone())
    }

    pub(super) fn states(&self) -> Vec<(Subscription, SubscriptionState)> {
        self.wanted.iter().map(|entry| (entry.subscription.clone(), entry.state.clone())).collect()
    }

    fn entry(&mut self, filter: &str) -> Option<&mut Entry> {
        self.wanted.iter_mut().find(|entry| entry.subscription.filter == filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(filter: &str) -> Subscription {
        Subscription { filter: filter.into(), enabled: true, ..Subscription::default() }
    }

    #[test]
    fn a_new_session_is_told_all_and_a_resumed_one_what_changed() {
        let off = Subscription { enabled: false, ..subscription("off") };
        let mut table = Subscriptions::new(&[subscription("a"), subscription("b"), off]);
        assert_eq!(table.connected(false), (vec!["a".into(), "b".into()], vec![]));
        for filter in ["a", "b"] {
            table.send(filter).expect("enabled");
            table.answered(filter, SubscriptionState::Granted { qos: Qos::AtLeastOnce });
        }
        assert!(table.send("off").is_none());

        table.disconnected();
        table.remove("b");
        table.put(subscription("c"));
        assert_eq!(table.connected(true), (vec!["c".into()], vec!["b".into()]));
        assert_eq!(table.states()[0].1, SubscriptionState::Granted { qos: Qos::AtLeastOnce });

        table.put(Subscription { enabled: false, ..subscription("a") });
        assert!(table.is_unwanted("a"), "switching off is told to the broker");
        table.disconnected();
        assert_eq!(table.connected(true), (vec!["c".into()], vec!["b".into(), "a".into()]));
        assert_eq!(table.connected(false), (vec!["c".into()], vec![]));
    }

    #[test]
    fn identifiers_stay_with_their_filters() {
        let mut table = Subscriptions::new(&[subscription("a"), subscription("b")]);
        table.remove("a");
        table.put(subscription("c"));
        table.put(Subscription { qos: Qos::ExactlyOnce, ..subscription("b") });
        assert_eq!(table.send("b").map(|(_, id)| id), Some(2));
        assert_eq!(table.send("c").map(|(_, id)| id), Some(3));
    }
}
