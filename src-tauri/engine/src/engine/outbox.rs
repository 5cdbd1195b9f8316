//! What the window has not been told yet: marks, not messages, so it cannot grow with the message rate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use tokio::sync::Notify;

use super::{NoticeCode, TransferId, lock};
use crate::error::Error;
use crate::profile::ProfileId;
use crate::trace::Trace;

/// More notices than this at once say the same thing over and over.
const MAX_NOTICES: usize = 16;

/// Marks of what changed.
#[derive(Default)]
pub(super) struct Dirty {
    pub library: bool,
    pub broker: bool,
    pub vault: bool,
    pub connections: BTreeSet<ProfileId>,
    pub pulses: BTreeSet<ProfileId>,
    pub traces: BTreeMap<(ProfileId, bool), Trace>,
    pub transfers: BTreeSet<TransferId>,
    pub notices: Vec<(NoticeCode, Option<Error>)>,
}

impl Dirty {
    fn is_empty(&self) -> bool {
        !self.library
            && !self.broker
            && !self.vault
            && self.connections.is_empty()
            && self.pulses.is_empty()
            && self.traces.is_empty()
            && self.transfers.is_empty()
            && self.notices.is_empty()
    }
}

/// Collects marks until somebody takes them.
#[derive(Default)]
pub(super) struct Outbox {
    dirty: Mutex<Dirty>,
    filled: Notify,
}

impl Outbox {
    /// Takes all marks; waits until there is one.
    pub async fn wait(&self) -> Dirty {
        loop {
            let dirty = std::mem::take(&mut *lock(&self.dirty));
            if !dirty.is_empty() {
                return dirty;
            }
            self.filled.notified().await;
        }
    }

    pub fn library(&self) {
        self.mark(|dirty| dirty.library = true);
    }

    pub fn broker(&self) {
        self.mark(|dirty| dirty.broker = true);
    }

    pub fn vault(&self) {
        self.mark(|dirty| dirty.vault = true);
    }

    pub fn connection(&self, id: ProfileId) {
        self.mark(|dirty| _ = dirty.connections.insert(id));
    }

    pub fn pulse(&self, ids: Vec<ProfileId>) {
        if !ids.is_empty() {
            self.mark(|dirty| dirty.pulses.extend(ids));
        }
    }

    pub fn trace(&self, id: ProfileId, test: bool, trace: Trace) {
        self.mark(|dirty| _ = dirty.traces.insert((id, test), trace));
    }

    pub fn transfer(&self, id: TransferId) {
        self.mark(|dirty| _ = dirty.transfers.insert(id));
    }

    pub fn notice(&self, code: NoticeCode, error: Option<Error>) {
        self.mark(|dirty| {
            if dirty.notices.len() < MAX_NOTICES {
                dirty.notices.push((code, error));
            }
        });
    }

    fn mark(&self, change: impl FnOnce(&mut Dirty)) {
        change(&mut lock(&self.dirty));
        self.filled.notify_one();
    }
}
