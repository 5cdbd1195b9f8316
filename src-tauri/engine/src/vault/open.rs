//! Opening the vault and changing it, with every way in which that can fail told apart.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Instant;

use zeroize::Zeroizing;

use super::key::{Key, KeyId, random};
use super::keyring::{Answer, KeyringError, Request};
use super::sealed::{Damage, KeySource, Sealed};
use super::{Inner, Keep, OpenKey, Vault, VaultState};
use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::secret::{Secret, SecretField};

/// How often a change starts over because another process changed the file meanwhile.
const ATTEMPTS: usize = 8;
/// How many late answers in a row lead to another try.
const MAX_LATE: u32 = 3;

/// What is in the data folder.
pub(super) enum Found {
    /// No vault.
    Nothing,
    /// A whole vault, still sealed.
    Sealed(Box<Sealed>),
    /// A file that this version cannot use, and leaves as it is.
    Trouble(VaultState),
}

impl Vault {
    /// Reads the file. One that is damaged is set aside.
    pub(super) fn find(&self) -> Found {
        match self.inner.file.read() {
            Ok(None) => Found::Nothing,
            Ok(Some(bytes)) => match Sealed::parse(&bytes) {
                Ok(sealed) => Found::Sealed(Box::new(sealed)),
                Err(Damage::Newer) => Found::Trouble(VaultState::NewerVersion),
                Err(Damage::Changed) => {
                    self.set_damaged_aside(|sealed| matches!(sealed, Err(Damage::Changed)))
                }
            },
            Err(error) => {
                tracing::warn!(%error, "the vault cannot be read");
                Found::Trouble(VaultState::Unreadable)
            }
        }
    }

    /// The vault with its key, or `None` when there is none (any more).
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub(super) fn open(&self) -> std::result::Result<Option<(Sealed, Key)>, VaultState> {
        let mut found = self.find();
        for _ in 0..ATTEMPTS {
            let sealed = match found {
                Found::Nothing => return Ok(None),
                Found::Trouble(trouble) => return Err(trouble),
                Found::Sealed(sealed) => *sealed,
            };
            let key = self.key_of(&sealed)?;
            if sealed.verify(&key).is_ok() {
                return Ok(Some((sealed, key)));
            }
            // The key is this vault's, so it is the vault that somebody changed.
            found = self.set_damaged_aside(|now| {
                now.as_ref().is_ok_and(|now| now.key_id() == sealed.key_id() && now.verify(&key).is_err())
            });
        }
        Err(VaultState::Unreadable)
    }

    /// Whether the key of this vault is at hand.
    pub(super) fn is_open(&self, sealed: &Sealed) -> bool {
        self.state().key.as_ref().is_some_and(|key| key.id == sealed.key_id())
    }

    pub(super) fn install(&self, id: KeyId, key: Key) {
        let mut state = self.state();
        state.key = Some(OpenKey { id, key, used: Instant::now() });
        state.trouble = None;
        state.late = 0;
    }

    /// The vault, when it has a passphrase.
    ///
    /// # Errors
    /// `not_found`, `vault_locked`: the file cannot be used.
    pub(super) fn with_passphrase(&self) -> Result<Sealed> {
        match self.find() {
            Found::Sealed(sealed) if sealed.source() != KeySource::Keyring => Ok(*sealed),
            Found::Trouble(state) => Err(state.error(Keep::Passphrase, &[])),
            _ => Err(Error::not_found("The vault with a passphrase")),
        }
    }

    /// Reaches the keyring: opens the vault, or looks whether one could be made.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn probe(&self) -> std::result::Result<(), VaultState> {
        if self.open()?.is_some() {
            return Ok(());
        }
        let id = random().map_err(|_| VaultState::Failed)?;
        match self.ask(Request::Read(account(&id)), id) {
            Err(KeyringError::NoEntry) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err(VaultState::Failed),
        }
    }

    /// Writes what is held in memory into the vault, if it can be opened; with `create`, also if it must be made.
    ///
    /// # Errors
    /// `file`: it cannot be written.
    pub(super) fn keep_what_is_held(&self, create: bool) -> Result<()> {
        if matches!(self.keep()?, Keep::Session | Keep::Never) {
            return Ok(());
        }
        let held = self.state().memory.clone();
        if held.is_empty() {
            return Ok(());
        }
        let needed = create && held.values().any(|held| held.value.is_some());
        let written = self.change(needed, |sealed, key| {
            held.iter().try_for_each(|(address, held)| sealed.put(key, address.clone(), held.value.as_ref()))
        })?;
        let mut state = self.state();
        match written {
            Ok(true) => {
                state.trouble = None;
                state.memory.retain(|address, now| {
                    held.get(address).is_none_or(|written| written.generation != now.generation)
                });
            }
            // No vault: what was cleared is nowhere, what was set waits.
            Ok(false) => state.memory.retain(|_, held| held.value.is_some()),
            Err(trouble) => state.trouble = Some(trouble),
        }
        Ok(())
    }

    /// Changes the file in its turn; `Ok(false)` when there is none and none is to be made. What another process
    /// did meanwhile is kept.
    ///
    /// # Errors
    /// `file`, `internal`; inside, why the vault cannot be opened.
    pub(super) fn change(
        &self,
        create: bool,
        edit: impl Fn(&mut Sealed, &Key) -> Result<()>,
    ) -> Result<std::result::Result<bool, VaultState>> {
        for _ in 0..ATTEMPTS {
            // The key first: the keyring may take its time, and nobody else should wait for it.
            let (mut sealed, key) = match self.open() {
                Ok(Some(open)) => open,
                Ok(None) if !create || self.keep()? != Keep::Keyring => return Ok(Ok(false)),
                Ok(None) => match self.make_key()? {
                    Ok((id, key)) => {
                        let made = Sealed::for_keyring(id, &key)?;
                        let turn = self.inner.file.turn()?;
                        if !matches!(self.inner.file.read(), Ok(None)) {
                            // Another process was faster.
                            drop(turn);
                            self.drop_key(&id);
                            continue;
                        }
                        self.inner.file.replace(&turn, &made.to_bytes(&key)?)?;
                        drop(turn);
                        self.install(id, key.clone());
                        (made, key)
                    }
                    Err(state) => return Ok(Err(state)),
                },
                Err(state) => return Ok(Err(state)),
            };
            let turn = self.inner.file.turn()?;
            match self.inner.file.read()?.map(|bytes| Sealed::parse(&bytes)) {
                Some(Ok(now)) if now.key_id() == sealed.key_id() && now.verify(&key).is_ok() => sealed = now,
                _ => continue,
            }
            edit(&mut sealed, &key)?;
            self.inner.file.replace(&turn, &sealed.to_bytes(&key)?)?;
            return Ok(Ok(true));
        }
        Err(self.busy())
    }

    /// Seals everything under a new key, with this passphrase or in the keyring; what is in memory goes in too.
    ///
    /// # Errors
    /// `vault_locked`: the old vault cannot be opened, or there is no keyring; `file`, `internal`.
    pub(super) fn seal_anew(&self, passphrase: Option<&Secret>) -> Result<()> {
        let held = self.state().memory.clone();
        for _ in 0..ATTEMPTS {
            let old = self.open().map_err(|state| self.refusal(state))?;
            let (id, key, mut new) = if let Some(passphrase) = passphrase {
                let (id, key) = (random()?, Key::random()?);
                let new = Sealed::for_passphrase(id, &key, passphrase)?;
                (id, key, new)
            } else {
                if old.is_none() && held.values().all(|held| held.value.is_none()) {
                    // The first secret makes it, and says then whether there is a keyring.
                    self.state().trouble = None;
                    return Ok(());
                }
                if old.as_ref().is_some_and(|(old, _)| old.source() == KeySource::Keyring) {
                    return self.keep_what_is_held(false);
                }
                let made = self.make_key()?;
                let (id, key) = made.map_err(|state| state.error(Keep::Keyring, &[]))?;
                let new = Sealed::for_keyring(id, &key)?;
                (id, key, new)
            };
            if let Some((old, old_key)) = &old {
                for address in old.addresses() {
                    let value = old.open(old_key, address).map_err(|_| self.refusal(VaultState::KeyWrong))?;
                    new.put(&key, address.clone(), value.as_ref())?;
                }
            }
            for (address, held) in &held {
                new.put(&key, address.clone(), held.value.as_ref())?;
            }
            let bytes = new.to_bytes(&key)?;
            let turn = self.inner.file.turn()?;
            let now = self.inner.file.read()?.map(|bytes| Sealed::parse(&bytes));
            let unchanged = match (&old, &now) {
                (None, None) => true,
                (Some((old, _)), Some(Ok(now))) => old == now,
                _ => false,
            };
            if !unchanged {
                drop(turn);
                if passphrase.is_none() {
                    self.drop_key(&id);
                }
                continue;
            }
            self.inner.file.replace(&turn, &bytes)?;
            drop(turn);
            self.install(id, key);
            self.state().memory.retain(|address, now| {
                held.get(address).is_none_or(|written| written.generation != now.generation)
            });
            if let Some((old, _)) = old.filter(|(old, _)| old.source() == KeySource::Keyring) {
                self.drop_key(&old.key_id());
            }
            return Ok(());
        }
        Err(self.busy())
    }

    fn busy(&self) -> Error {
        let message = "The vault is being changed by another program all the time: try again";
        Error::because(ErrorCode::File, ErrorReason::VaultBusy, message)
            .with("path", self.inner.file.path().display().to_string())
    }

    /// Deletes the vault; with `remember`, its secrets are in memory from then on, else nowhere.
    ///
    /// # Errors
    /// `vault_locked`: it cannot be opened, so what is in it would be lost; `invalid_input`: it holds private keys,
    /// which nobody could type again; `file`.
    pub(super) fn leave(&self, remember: bool) -> Result<()> {
        let old = self.open().map_err(|state| self.refusal(state))?;
        if let Some((old, key)) = &old {
            let imported = SecretField::PrivateKey.key();
            if old.addresses().any(|(_, field)| *field == imported) {
                let message = "The vault holds private keys that were imported, and they would be lost: export them in \
                               the certificate library, and remove them there, first";
                return Err(Error::invalid("keep", ErrorReason::VaultHoldsKeys, message));
            }
            let mut taken = Vec::new();
            for address in old.addresses().filter(|_| remember) {
                let value = old.open(key, address).map_err(|_| self.refusal(VaultState::KeyWrong))?;
                taken.push((address.clone(), value));
            }
            let known: Vec<_> = self.state().memory.keys().cloned().collect();
            let turn = self.inner.file.turn()?;
            self.inner.file.delete(&turn)?;
            drop(turn);
            self.hold(taken.into_iter().filter(|(address, _)| !known.contains(address)));
            if old.source() == KeySource::Keyring {
                self.drop_key(&old.key_id());
            }
        }
        let mut state = self.state();
        if !remember {
            state.memory.clear();
        }
        state.memory.retain(|_, held| held.value.is_some());
        state.key = None;
        state.trouble = None;
        Ok(())
    }

    fn refusal(&self, state: VaultState) -> Error {
        let keep = self.keep().unwrap_or_default();
        state.error(keep, &[])
    }

    fn key_of(&self, sealed: &Sealed) -> std::result::Result<Key, VaultState> {
        let id = sealed.key_id();
        if let Some(open) = self.state().key.as_mut().filter(|key| key.id == id) {
            open.used = Instant::now();
            return Ok(open.key.clone());
        }
        if sealed.source() != KeySource::Keyring {
            return Err(VaultState::Locked);
        }
        let bytes = self.ask(Request::Read(account(&id)), id)?;
        let key = fitting(&bytes, sealed)?;
        self.install(id, key.clone());
        Ok(key)
    }

    /// A new key in the keyring: only where that works and says that it has none of the name, and only for a
    /// vault that is not there.
    fn make_key(&self) -> Result<std::result::Result<(KeyId, Key), VaultState>> {
        let (id, key) = (random()?, Key::random()?);
        match self.ask(Request::Read(account(&id)), id) {
            Err(KeyringError::NoEntry) => {}
            Err(error) => return Ok(Err(error.into())),
            Ok(_) => return Ok(Err(VaultState::Failed)),
        }
        let secret = Zeroizing::new(key.expose().to_vec());
        if let Err(error) = self.ask(Request::Write(account(&id), secret), id) {
            return Ok(Err(error.into()));
        }
        // A keyring that forgets at once is none.
        match self.ask(Request::Read(account(&id)), id) {
            Ok(bytes) if bytes.as_slice() == key.expose() => Ok(Ok((id, key))),
            Ok(_) => Ok(Err(VaultState::KeyCorrupt)),
            Err(error) => Ok(Err(error.into())),
        }
    }

    /// Removes a key that no vault needs any more; one that stays is of no use to anybody.
    fn drop_key(&self, id: &KeyId) {
        if let Err(error) = self.inner.keyring.call(Request::Delete(account(id)), |_| {}) {
            tracing::info!(?error, "an old key stays in the keyring");
        }
    }

    /// One call to the keyring. What it says too late is used all the same.
    fn ask(&self, request: Request, id: KeyId) -> Answer {
        let vault: Weak<Inner> = Arc::downgrade(&self.inner);
        let reads = matches!(request, Request::Read(_));
        self.inner.keyring.call(request, move |answer| {
            let Some(inner) = vault.upgrade() else { return };
            Self { inner }.answered_late(id, reads, answer);
        })
    }

    fn answered_late(&self, id: KeyId, read: bool, answer: Answer) {
        let vault = match self.find() {
            Found::Sealed(sealed) if sealed.key_id() == id => Some(sealed),
            _ => None,
        };
        match (answer, vault) {
            (Ok(bytes), Some(sealed)) if read => match fitting(&bytes, &sealed) {
                Ok(key) => self.install(id, key),
                Err(state) => self.state().trouble = Some(state),
            },
            // It works by now: the next try will find it, and what waits goes in.
            (Ok(_) | Err(KeyringError::NoEntry), None) => self.state().trouble = None,
            (Ok(_), Some(_)) => {}
            (Err(error), _) => self.state().trouble = Some(error.into()),
        }
        let late = {
            let mut state = self.state();
            state.late += 1;
            state.late
        };
        // A keyring that is always late is not asked over and over.
        if late <= MAX_LATE
            && let Err(error) = self.keep_what_is_held(true)
        {
            tracing::warn!(%error, "secrets stay in memory");
        }
        (self.inner.changed)();
    }

    /// Renames the file if, in our turn, it still is what `damaged` says.
    fn set_damaged_aside(&self, damaged: impl Fn(&std::result::Result<Sealed, Damage>) -> bool) -> Found {
        let moved = self.inner.file.turn().and_then(|turn| {
            let Some(bytes) = self.inner.file.read()? else { return Ok((Found::Nothing, None)) };
            let parsed = Sealed::parse(&bytes);
            if damaged(&parsed) {
                let aside = self.inner.file.set_aside(&turn, "damaged")?;
                return Ok((Found::Nothing, aside));
            }
            let found = match parsed {
                Ok(sealed) => Found::Sealed(Box::new(sealed)),
                Err(Damage::Newer) => Found::Trouble(VaultState::NewerVersion),
                Err(Damage::Changed) => Found::Trouble(VaultState::Unreadable),
            };
            Ok((found, None))
        });
        match moved {
            Ok((found, aside)) => {
                if let Some(path) = aside {
                    self.was_set_aside(path);
                }
                found
            }
            Err(error) => {
                tracing::error!(%error, "the vault is damaged and cannot be set aside");
                Found::Trouble(VaultState::Unreadable)
            }
        }
    }

    fn was_set_aside(&self, path: PathBuf) {
        tracing::error!(path = %path.display(), "the vault was damaged or changed, and is set aside");
        let mut state = self.state();
        state.set_aside = Some(path);
        state.key = None;
        drop(state);
        (self.inner.changed)();
    }
}

/// The keyring's bytes as the key of this vault.
fn fitting(bytes: &[u8], sealed: &Sealed) -> std::result::Result<Key, VaultState> {
    let key = Key::from_bytes(bytes).ok_or(VaultState::KeyCorrupt)?;
    if sealed.is_key(&key) { Ok(key) } else { Err(VaultState::KeyWrong) }
}

/// The name under which a key is filed.
fn account(id: &KeyId) -> String {
    format!("vault-{}", hex::encode(id))
}
