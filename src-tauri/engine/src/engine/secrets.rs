//! Secrets of connections and the vault that keeps them, as the window may touch them: set, clear, ask which are
//! set. Their values never come back. What waits for a disk, for Argon2id or for the keyring runs away from the
//! tasks that serve sockets.

use std::time::{Duration, Instant};

use super::{Engine, blocking};
use crate::error::Result;
use crate::profile::ProfileId;
use crate::secret::{Secret, SecretEdit};
use crate::vault::{Keep, StoredSecret, Vault, VaultStatus};

/// How often it is looked whether the vault is idle.
const IDLE_TICK: Duration = Duration::from_secs(5);

impl Engine {
    /// Sets or clears secrets of a connection.
    ///
    /// # Errors
    /// `invalid_input` when one is not of its encoding (nothing is changed then); `file`: the vault cannot be
    /// written (they are in memory then); `storage`.
    pub async fn set_secrets(&self, id: ProfileId, edits: Vec<SecretEdit>) -> Result<()> {
        if edits.is_empty() {
            return Ok(());
        }
        self.with_vault(move |vault| vault.set(id, &edits)).await
    }

    /// Which secrets of a connection are set, and where they are kept. Never their values.
    ///
    /// # Errors
    /// `storage`.
    pub async fn secrets_set(&self, id: ProfileId) -> Result<Vec<StoredSecret>> {
        self.with_vault(move |vault| vault.places(id)).await
    }

    /// Where secrets are kept, and whether the vault is open. Asks no keyring.
    ///
    /// # Errors
    /// `storage`.
    pub async fn vault_status(&self) -> Result<VaultStatus> {
        self.with_vault(|vault| vault.status()).await
    }

    /// Tries to reach the keyring, and to open the vault with it.
    ///
    /// # Errors
    /// `file`, `storage`.
    pub async fn check_vault(&self) -> Result<VaultStatus> {
        self.with_vault(|vault| vault.check()).await
    }

    /// Opens a vault that has a passphrase.
    ///
    /// # Errors
    /// `passphrase_wrong`, `not_found`, `file`, `storage`.
    pub async fn unlock_vault(&self, passphrase: Secret) -> Result<VaultStatus> {
        self.with_vault(move |vault| vault.unlock(&passphrase)).await
    }

    /// Forgets the key of the vault until it is unlocked again.
    ///
    /// # Errors
    /// `storage`.
    pub async fn lock_vault(&self) -> Result<VaultStatus> {
        self.with_vault(|vault| {
            vault.lock();
            vault.status()
        })
        .await
    }

    /// Keeps secrets somewhere else from now on.
    ///
    /// # Errors
    /// `vault_locked`, `invalid_input`, `file`, `storage`.
    pub async fn choose_vault(&self, keep: Keep, passphrase: Option<Secret>) -> Result<VaultStatus> {
        self.with_vault(move |vault| vault.choose(keep, passphrase.as_ref())).await
    }

    /// Changes the passphrase of the vault.
    ///
    /// # Errors
    /// `passphrase_wrong`, `invalid_input`, `not_found`, `file`, `storage`.
    pub async fn change_vault_passphrase(&self, current: Secret, new: Secret) -> Result<VaultStatus> {
        self.with_vault(move |vault| vault.change_passphrase(&current, &new)).await
    }

    /// After how many minutes without use a vault with a passphrase locks itself; 0 is never.
    ///
    /// # Errors
    /// `invalid_input`, `storage`.
    pub async fn set_vault_auto_lock(&self, minutes: u32) -> Result<VaultStatus> {
        self.with_vault(move |vault| vault.set_auto_lock(minutes)).await
    }

    /// Renames a vault that cannot be opened any more, so that a new one can begin.
    ///
    /// # Errors
    /// `file`, `storage`.
    pub async fn start_new_vault(&self) -> Result<VaultStatus> {
        self.with_vault(|vault| vault.start_anew()).await
    }

    pub(super) async fn with_vault<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Vault) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let vault = self.inner.vault.clone();
        blocking(move || work(&vault)).await
    }

    /// Locks a vault with a passphrase that nobody used for a while.
    pub(super) fn follow_idleness(&self) {
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(IDLE_TICK);
            loop {
                tokio::select! {
                    () = inner.shutdown.cancelled() => return,
                    _ = tick.tick() => {}
                }
                let vault = inner.vault.clone();
                let _ = tokio::task::spawn_blocking(move || vault.lock_if_idle(Instant::now())).await;
            }
        });
    }
}
