//! The end of a deleted connection: when it cannot be restored any more, its secrets and its history go as well. What
//! waits for the vault is tried when that opens.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{Engine, lock};
use crate::error::{ErrorCode, Result};

/// How often a window that stays open looks.
const EVERY: Duration = Duration::from_secs(3_600);

impl Engine {
    /// Looks when the engine starts, every hour from then on, and when the vault may have opened.
    pub(super) fn follow_deletions(&self, vault_changed: Arc<Notify>) {
        let engine = self.clone();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(EVERY);
            loop {
                tokio::select! {
                    () = engine.inner.shutdown.cancelled() => return,
                    _ = tick.tick() => {}
                    () = vault_changed.notified() => engine.resume_broker_with_vault().await,
                }
                if let Err(error) = engine.purge().await {
                    tracing::warn!(%error, "what belonged to deleted connections could not be deleted yet");
                }
            }
        });
    }

    /// Deletes what belonged to connections that were deleted more than a day ago. What cannot be deleted now
    /// is tried again by the next call, also after a restart; secrets wait for the vault to be open.
    async fn purge(&self) -> Result<()> {
        for id in self.inner.library.purge()? {
            lock(&self.inner.connections).remove(&id);
            let secrets = self.with_vault(move |vault| vault.forget(id)).await;
            self.inner.history.clear(id).await?;
            self.inner.attempts.forget(id);
            match secrets {
                Ok(()) => self.inner.library.forgotten(id)?,
                Err(error) if error.code == ErrorCode::VaultLocked => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::RowFilter;
    use crate::message::{EventFacts, EventKind, Item};
    use crate::profile::{Profile, ProfileId};
    use crate::secret::{Secret, SecretEdit, SecretField};
    use crate::vault::{Keep, Keyring};

    /// Longer than any of it takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    async fn rows(engine: &Engine, id: ProfileId) -> u64 {
        engine.open_view(id, RowFilter::default()).await.expect("a view").count.rows
    }

    /// A saved connection with a password and one row of history.
    async fn used(engine: &Engine, host: &str) -> Profile {
        let mut draft = engine.new_draft();
        draft.endpoint.host = host.to_owned();
        draft.settings.login.enabled = true;
        let password = SecretEdit::set(SecretField::Password, "canary".to_owned());
        let profile = engine.save_profile(draft, None, vec![password]).await.expect("saved");
        let facts = EventFacts::Connection { url: host.to_owned(), client_id: String::new() };
        let item = Item::Event { time: 1, kind: EventKind::Connected, facts: Box::new(facts) };
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

    /// Whether secrets are there, or known to be gone.
    fn expected(engine: &Engine, profile: &Profile) -> bool {
        !engine
            .inner
            .vault
            .secrets_for(profile, |_| None)
            .is_ok_and(|secrets| secrets.set_fields().is_empty())
    }

    async fn secrets(engine: &Engine, id: ProfileId) -> usize {
        engine.secrets_set(id).await.expect("asked").len()
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
        assert_eq!((rows(&engine, gone.id).await, secrets(&engine, gone.id).await), (1, 1));
        engine.restore_profile(undone.id).expect("restored");

        long_ago(folder.path());
        engine.purge().await.expect("purged");
        assert_eq!((rows(&engine, gone.id).await, secrets(&engine, gone.id).await), (0, 0));
        assert!(!expected(&engine, &gone));
        for profile in [undone, kept] {
            assert_eq!((rows(&engine, profile.id).await, secrets(&engine, profile.id).await), (1, 1));
            assert!(expected(&engine, &profile));
        }
        engine.close().await;
    }

    /// In a vault that is locked then: the history goes at once, the secrets once it opens.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_left_over_goes_when_the_engine_starts() {
        let folder = tempfile::tempdir().expect("folder");
        let open = || Engine::open_with(folder.path(), Keyring::none()).expect("opened");
        let passphrase = || Secret::new("correct horse");
        let engine = open();
        engine.choose_vault(Keep::Passphrase, Some(passphrase())).await.expect("a vault");
        let gone = used(&engine, "gone.example").await;
        engine.delete_profile(gone.id).await.expect("deleted");
        engine.close().await;
        drop(engine);
        long_ago(folder.path());

        let engine = open();
        let mut commits = engine.inner.history.changes();
        let emptied = async {
            while rows(&engine, gone.id).await > 0 {
                commits.changed().await.expect("the history lives");
            }
        };
        tokio::time::timeout(PATIENCE, emptied).await.expect("the history goes when the engine starts");
        assert_eq!(secrets(&engine, gone.id).await, 1, "the vault is locked");

        engine.unlock_vault(passphrase()).await.expect("unlocked");
        let forgotten = async {
            // Nobody is told of it, since nobody sees what was deleted.
            while secrets(&engine, gone.id).await > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, forgotten).await.expect("the secrets go when the vault opens");
        engine.close().await;
    }
}
