//! The end of a deleted connection: when it cannot be restored any more, its secrets and its history go as well.

use std::time::Duration;

use serde_json::Value;

use super::{Engine, SECRETS_EXPECTED, lock};
use crate::error::Result;
use crate::profile::ProfileId;

/// How often a window that stays open looks.
const EVERY: Duration = Duration::from_secs(3_600);

impl Engine {
    /// Looks when the engine starts, and every hour from then on.
    pub(super) fn follow_deletions(&self) {
        let engine = self.clone();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(EVERY);
            loop {
                tokio::select! {
                    () = engine.inner.shutdown.cancelled() => return,
                    _ = tick.tick() => if let Err(error) = engine.purge().await {
                        tracing::warn!(%error, "what belonged to deleted connections could not be deleted yet");
                    },
                }
            }
        });
    }

    /// Deletes what belonged to connections that were deleted more than a day ago. What cannot be deleted now
    /// is tried again by the next call, also after a restart.
    async fn purge(&self) -> Result<()> {
        for id in self.inner.library.purge()? {
            lock(&self.inner.connections).remove(&id);
            self.forget_secrets(id)?;
            self.inner.history.clear(id).await?;
            self.inner.library.forgotten(id)?;
        }
        Ok(())
    }

    /// Wipes the secrets of a connection, and that there were any.
    fn forget_secrets(&self, id: ProfileId) -> Result<()> {
        lock(&self.inner.secrets).remove(&id);
        let Some(Value::Object(mut expected)) = self.inner.library.value(SECRETS_EXPECTED)? else {
            return Ok(());
        };
        match expected.remove(&id.to_string()) {
            Some(_) => self.inner.library.set_value(SECRETS_EXPECTED, Value::Object(expected)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::RowFilter;
    use crate::message::{EventKind, Item};
    use crate::profile::Profile;
    use crate::secret::{SecretEdit, SecretField};

    async fn rows(engine: &Engine, id: ProfileId) -> u64 {
        engine.open_view(id, RowFilter::default()).await.expect("a view").count.rows
    }

    /// A saved connection with a password and one row of history.
    async fn used(engine: &Engine, host: &str) -> Profile {
        let mut draft = engine.new_draft();
        draft.endpoint.host = host.to_owned();
        draft.settings.login.enabled = true;
        let password = SecretEdit::set(SecretField::Password, "canary".to_owned());
        let profile = engine.save_profile(draft, None, &[password]).expect("saved");
        let item = Item::Event { time: 1, kind: EventKind::Connected, text: host.to_owned() };
        engine.inner.history.sink(profile.id).try_accept(item).expect("room");
        engine.inner.history.flush().await.expect("written");
        profile
    }

    /// Moves every deletion two days into the past.
    fn long_ago(folder: &std::path::Path) {
        let file = rusqlite::Connection::open(folder.join("heliograph.db")).expect("opened beside");
        let sql = "UPDATE profile SET deleted_at = deleted_at - 172800000000 WHERE deleted_at IS NOT NULL";
        file.execute(sql, []).expect("moved");
    }

    fn expected(engine: &Engine, id: ProfileId) -> bool {
        let kept = engine.inner.library.value(SECRETS_EXPECTED).expect("read");
        kept.is_some_and(|kept| kept.get(id.to_string()).is_some())
    }

    #[tokio::test]
    async fn secrets_and_history_go_with_the_undo_time_and_not_before() {
        let folder = tempfile::tempdir().expect("folder");
        let engine = Engine::open(folder.path()).expect("opened");
        let (gone, undone, kept) = (
            used(&engine, "gone.example").await,
            used(&engine, "undone.example").await,
            used(&engine, "kept.example").await,
        );
        for id in [gone.id, undone.id] {
            engine.delete_profile(id).await.expect("deleted");
        }
        engine.purge().await.expect("looked");
        assert_eq!((rows(&engine, gone.id).await, engine.secrets_set(gone.id).len()), (1, 1));
        engine.restore_profile(undone.id).expect("restored");

        long_ago(folder.path());
        engine.purge().await.expect("purged");
        assert_eq!((rows(&engine, gone.id).await, engine.secrets_set(gone.id).len()), (0, 0));
        assert!(!expected(&engine, gone.id));
        for id in [undone.id, kept.id] {
            assert_eq!((rows(&engine, id).await, engine.secrets_set(id).len()), (1, 1));
            assert!(expected(&engine, id));
        }
        engine.close().await;
    }

    #[tokio::test]
    async fn what_was_left_over_goes_when_the_engine_starts() {
        let folder = tempfile::tempdir().expect("folder");
        let engine = Engine::open(folder.path()).expect("opened");
        let gone = used(&engine, "gone.example").await;
        engine.delete_profile(gone.id).await.expect("deleted");
        engine.close().await;
        drop(engine);
        long_ago(folder.path());
        let engine = Engine::open(folder.path()).expect("opened again");
        let mut commits = engine.inner.history.changes();
        while rows(&engine, gone.id).await > 0 {
            commits.changed().await.expect("the history lives");
        }
        engine.close().await;
    }
}
