//! Where secrets are kept. In: secrets of profiles, by field. Out: the secrets that a connection needs, and facts
//! about where they are. On disk they are sealed ([`sealed`]) in one file ([`file`]), whose key is in the system's
//! keyring ([`keyring`]) or opens with a passphrase ([`key`]). What cannot be kept there is in memory for the run.
//!
//! Never does it: make a key because a keyring did not answer; overwrite a file that it does not understand; keep
//! a secret in the open. The window and `helio` may use one vault at once.
//!
//! Every call may wait for a disk, for Argon2id or (for a bounded time) for the keyring: async callers use
//! `spawn_blocking`.

mod file;
mod key;
mod keyring;
mod open;
mod sealed;
pub(crate) mod sealed_text;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::identity::{KeyPlace, VaultKey, is_token};
use crate::library::Library;
use crate::profile::{Profile, ProfileId, ProxyKind, Settings};
use crate::secret::{Secret, SecretEdit, SecretField, Secrets};

use file::VaultFile;
use key::{Key, KeyId};
use open::Found;
use sealed::{Address, KeySource, Sealed};

pub use keyring::Keyring;
pub use status::{Keep, SecretPlace, StoredSecret, VaultState, VaultStatus};

/// Settings in the library; the window's own have other names.
const KEEP: &str = "engine.secrets.keep";
const AUTO_LOCK: &str = "engine.secrets.auto_lock_minutes";
/// Which secrets were set, by name, so that a later run asks for those that are gone.
const EXPECTED: &str = "engine.secrets.expected";

/// Minutes after which a vault with a passphrase locks itself, unless the person chose others.
const DEFAULT_AUTO_LOCK: u32 = 15;
/// A day: longer is "never".
const MAX_AUTO_LOCK: u32 = 24 * 60;
/// The shortest passphrase that is taken.
pub const MIN_PASSPHRASE: usize = 8;

/// The secrets of all profiles. Cheap to clone; all clones are the same vault.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    file: VaultFile,
    keyring: Keyring,
    library: Arc<Library>,
    state: Mutex<State>,
    changed: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    key: Option<OpenKey>,
    /// Why the vault could not be opened when it was last tried.
    trouble: Option<VaultState>,
    /// What is not in the file: secrets set, or (`None`) cleared, since.
    memory: BTreeMap<Address, Held>,
    generation: u64,
    set_aside: Option<PathBuf>,
    /// Answers of the keyring that came too late, since it last answered in time.
    late: u32,
}

struct OpenKey {
    id: KeyId,
    key: Key,
    used: Instant,
}

#[derive(Clone)]
struct Held {
    value: Option<Secret>,
    /// Tells a value from a later one at the same address.
    generation: u64,
}

impl Vault {
    /// The vault in `folder`. Opens nothing and asks nobody. `changed` is called, on any thread, when
    /// [`Self::status`] may have changed by itself.
    pub fn new(
        folder: &Path,
        library: Arc<Library>,
        keyring: Keyring,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let inner = Inner {
            file: VaultFile::in_folder(folder),
            keyring,
            library,
            state: Mutex::default(),
            changed: Box::new(changed),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Sets or clears secrets of a profile. Where the vault cannot be opened they are in memory, and go into it
    /// as soon as it opens.
    ///
    /// # Errors
    /// `invalid_input`: one is not of its encoding, or too long (nothing is changed then); `file`: the vault
    /// cannot be written (they are in memory then); `storage`.
    pub fn set(&self, id: ProfileId, edits: &[SecretEdit]) -> Result<()> {
        let decoded = edits.iter().map(|edit| Ok((edit.field.clone(), edit.decode()?)));
        let decoded = decoded.collect::<Result<Vec<_>>>()?;
        if decoded.is_empty() {
            return Ok(());
        }
        if decoded
            .iter()
            .any(|(_, value)| value.as_ref().is_some_and(|v| v.expose().len() > sealed::MAX_SECRET))
        {
            return Err(sealed::too_long());
        }
        self.hold(decoded.into_iter().map(|(field, value)| ((id.0, field.key()), value)));
        self.keep_held(id)
    }

    /// Which secrets of a profile are set, and where they are. Never their values; needs no key.
    ///
    /// # Errors
    /// `storage`.
    pub fn places(&self, id: ProfileId) -> Result<Vec<StoredSecret>> {
        let keep = self.keep()?;
        let mut places = BTreeMap::new();
        if let Found::Sealed(sealed) = self.find() {
            let place = match sealed.source() {
                KeySource::Keyring => SecretPlace::Keyring,
                KeySource::Passphrase(_) => SecretPlace::Passphrase,
            };
            places.extend(
                owned_by(&sealed, id).filter_map(|field| Some((SecretField::from_key(field)?, place))),
            );
        }
        let place = if keep == Keep::Never { SecretPlace::Once } else { SecretPlace::Session };
        for ((owner, field), held) in &self.state().memory {
            let Some(field) = SecretField::from_key(field).filter(|_| *owner == id.0) else { continue };
            match held.value {
                Some(_) => places.insert(field, place),
                None => places.remove(&field),
            };
        }
        Ok(places.into_iter().map(|(field, place)| StoredSecret { field, place }).collect())
    }

    /// The secrets that connecting takes; of what is not used, none. `wanting` says what else it takes, given these:
    /// only the key itself tells whether it is encrypted.
    ///
    /// # Errors
    /// `vault_locked`: some are in the vault and it cannot be opened, `details.state` says why; `secret_needed`:
    /// some were set in an earlier run and are gone with it, or are wanting; both name them in `details.fields`. `storage`.
    pub fn secrets_for(
        &self,
        profile: &Profile,
        wanting: impl FnOnce(&Secrets) -> Option<SecretField>,
    ) -> Result<Secrets> {
        let mut secrets = Secrets::default();
        let mut missing = self.complete(profile, &mut secrets, &[])?;
        missing.extend(wanting(&secrets).filter(|field| !missing.contains(field)));
        if !missing.is_empty() {
            let message = format!("{} needs a secret that is not kept", profile.name);
            let fields = serde_json::to_value(missing).unwrap_or(Value::Null);
            return Err(Error::new(ErrorCode::SecretNeeded, message).with("fields", fields));
        }
        if self.keep()? == Keep::Never {
            let key = key_in_use(&profile.settings).map(|name| name.0);
            self.state().memory.retain(|(owner, _), _| *owner != profile.id.0 && Some(*owner) != key);
        }
        Ok(secrets)
    }

    /// Adds to `secrets` those that connecting takes and that are not among them, but for `except`. Returns those
    /// that were set in an earlier run and are gone with it.
    ///
    /// # Errors
    /// `vault_locked`, `storage`.
    pub fn complete(
        &self,
        profile: &Profile,
        secrets: &mut Secrets,
        except: &[SecretField],
    ) -> Result<Vec<SecretField>> {
        let given = [&secrets.set_fields(), except].concat();
        let kept = self.used(profile.id, &profile.settings, &given)?;
        for field in kept.set_fields() {
            secrets.put(field.clone(), kept.get(&field).cloned());
        }
        let missing = |field: &SecretField| {
            secrets.get(field).is_none() && is_used(field, &profile.settings) && !except.contains(field)
        };
        Ok(self.expected(profile.id)?.into_iter().filter(missing).collect())
    }

    /// The secrets of a draft: those of the saved profile with the edits on top.
    ///
    /// # Errors
    /// `vault_locked`, `invalid_input`, `storage`.
    pub fn secrets_for_draft(&self, draft: &Profile, edits: &[SecretEdit]) -> Result<Secrets> {
        let edited: Vec<_> = edits.iter().map(|edit| edit.field.clone()).collect();
        let mut secrets = self.used(draft.id, &draft.settings, &edited)?;
        secrets.apply(edits)?;
        Ok(secrets)
    }

    /// The secrets of a draft as far as nobody has to be asked for them, the key in the vault that `key_file` names
    /// among them, and which are in a vault that is not open.
    ///
    /// # Errors
    /// `invalid_input`: an edit is not of its encoding; `storage`.
    pub fn at_hand(
        &self,
        id: ProfileId,
        key_file: &str,
        edits: &[SecretEdit],
    ) -> Result<(Secrets, Vec<SecretField>)> {
        let (mut secrets, mut locked) = self.own_at_hand(id, edits)?;
        if let Some(name) = KeyPlace::in_vault(key_file) {
            let (key, hidden) = self.own_at_hand(ProfileId(name.0), &[])?;
            secrets.put(SecretField::PrivateKey, key.get(&SecretField::PrivateKey).cloned());
            locked.extend(hidden);
        }
        Ok((secrets, locked))
    }

    fn own_at_hand(&self, id: ProfileId, edits: &[SecretEdit]) -> Result<(Secrets, Vec<SecretField>)> {
        let open = matches!(self.find(), Found::Sealed(sealed) if self.is_open(&sealed));
        let places = if open { Vec::new() } else { self.places(id)? };
        let sealed = places.into_iter().filter(|stored| {
            let kept = matches!(stored.place, SecretPlace::Keyring | SecretPlace::Passphrase);
            kept && !edits.iter().any(|edit| edit.field == stored.field)
        });
        let locked: Vec<_> = sealed.map(|stored| stored.field).collect();
        let edited = |field: &SecretField| edits.iter().any(|edit| edit.field == *field);
        let mut secrets = self.read(id, |field| !locked.contains(field) && !edited(field))?;
        secrets.apply(edits)?;
        Ok((secrets, locked))
    }

    /// All secrets of a profile, used or not.
    ///
    /// # Errors
    /// `vault_locked`, `storage`.
    pub fn all_of(&self, id: ProfileId) -> Result<Secrets> {
        self.read(id, |_| true)
    }

    /// Sets all of `secrets`, as [`Self::set`].
    ///
    /// # Errors
    /// `file`, `storage`.
    pub fn put_all(&self, id: ProfileId, secrets: &Secrets) -> Result<()> {
        let fields = secrets.set_fields().into_iter();
        self.hold(fields.map(|field| ((id.0, field.key()), secrets.get(&field).cloned())));
        self.keep_held(id)
    }

    /// Keeps a private key in the vault, or not at all: one that is gone with the run could not be typed again.
    ///
    /// # Errors
    /// `invalid_input`: secrets are not kept here; `vault_locked`: the vault cannot be opened; `file`, `storage`.
    pub fn keep_key(&self, name: VaultKey, key: &Secret) -> Result<()> {
        let keep = self.keep()?;
        if matches!(keep, Keep::Session | Keep::Never) {
            let message = "Keys are imported into the vault, and there is none: choose the keyring or a passphrase in \
                           the settings first";
            return Err(Error::invalid("keep", ErrorReason::NoVaultForKeys, message));
        }
        let address = (name.0, SecretField::PrivateKey.key());
        let kept = match self.change(true, |sealed, master| sealed.put(master, address.clone(), Some(key)))? {
            Ok(true) => Ok(()),
            Ok(false) => Err(VaultState::Empty),
            Err(state) => {
                self.state().trouble = Some(state);
                Err(state)
            }
        };
        (self.inner.changed)();
        kept.map_err(|state| state.error(keep, &[SecretField::PrivateKey]))
    }

    /// Takes a private key along that came with a connection, by the rules of its other secrets: what it came from still
    /// holds it. One that is here already stays as it is.
    ///
    /// # Errors
    /// `file`, `storage`.
    pub fn put_key(&self, name: VaultKey, key: &Secret) -> Result<()> {
        if self.has_key(name)? {
            return Ok(());
        }
        let mut secrets = Secrets::default();
        secrets.put(SecretField::PrivateKey, Some(key.clone()));
        self.put_all(ProfileId(name.0), &secrets)
    }

    /// The names of all private keys that are here. Needs no key of its own.
    pub fn keys(&self) -> BTreeSet<VaultKey> {
        let private = SecretField::PrivateKey.key();
        let mut keys = BTreeSet::new();
        if let Found::Sealed(sealed) = self.find() {
            keys.extend(
                sealed.addresses().filter(|(_, field)| *field == private).map(|(name, _)| VaultKey(*name)),
            );
        }
        for ((name, _), held) in self.state().memory.iter().filter(|((_, field), _)| *field == private) {
            match held.value {
                Some(_) => keys.insert(VaultKey(*name)),
                None => keys.remove(&VaultKey(*name)),
            };
        }
        keys
    }

    /// A private key that was imported; `None` when this vault does not hold it.
    ///
    /// # Errors
    /// `vault_locked`, `storage`.
    pub fn private_key(&self, name: VaultKey) -> Result<Option<Secret>> {
        let found = self.read(ProfileId(name.0), |field| *field == SecretField::PrivateKey)?;
        match (found.get(&SecretField::PrivateKey), self.find()) {
            (None, Found::Trouble(state)) => Err(state.error(self.keep()?, &[SecretField::PrivateKey])),
            (key, _) => Ok(key.cloned()),
        }
    }

    /// Whether this vault holds a private key. Needs no key of its own.
    ///
    /// # Errors
    /// `storage`.
    pub fn has_key(&self, name: VaultKey) -> Result<bool> {
        Ok(self.places(ProfileId(name.0))?.iter().any(|stored| stored.field == SecretField::PrivateKey))
    }

    /// Deletes a private key.
    ///
    /// # Errors
    /// `vault_locked`, `file`, `storage`.
    pub fn forget_key(&self, name: VaultKey) -> Result<()> {
        self.forget(ProfileId(name.0))?;
        (self.inner.changed)();
        Ok(())
    }

    /// Wipes the secrets of a profile, and that there were any. Asks no keyring: it can be tried again.
    ///
    /// # Errors
    /// `vault_locked`: some are in the vault, and it is not open; `file`, `storage`.
    pub fn forget(&self, id: ProfileId) -> Result<()> {
        self.state().memory.retain(|(owner, _), _| *owner != id.0);
        if let Found::Sealed(sealed) = self.find()
            && owned_by(&sealed, id).next().is_some()
        {
            if !self.is_open(&sealed) {
                return Err(VaultState::Locked.error(self.keep()?, &[]));
            }
            let removed = self.change(false, |sealed, key| {
                let fields: Vec<_> = owned_by(sealed, id).map(str::to_owned).collect();
                fields.into_iter().try_for_each(|field| sealed.put(key, (id.0, field), None))
            })?;
            removed.map_err(|state| state.error(Keep::Keyring, &[]))?;
        }
        self.expect(id)
    }

    /// Whether there is a vault, whether it is open, and what is in it. Asks no keyring.
    ///
    /// # Errors
    /// `storage`.
    pub fn status(&self) -> Result<VaultStatus> {
        let chosen = self.chosen()?;
        let found = self.find();
        let keep = effective(chosen, &found);
        let stored = if let Found::Sealed(sealed) = &found { sealed.addresses().count() } else { 0 };
        let state = self.state();
        let in_memory = state.memory.values().filter(|held| held.value.is_some()).count();
        let trouble = state.trouble;
        let now = match (&found, keep) {
            (_, Keep::Session | Keep::Never) => VaultState::Off,
            (Found::Trouble(trouble), _) => *trouble,
            (Found::Nothing, _) => trouble.unwrap_or(VaultState::Empty),
            (Found::Sealed(sealed), _) if state.key.as_ref().is_some_and(|key| key.id == sealed.key_id()) => {
                VaultState::Open
            }
            (Found::Sealed(_), Keep::Passphrase) => VaultState::Locked,
            (Found::Sealed(_), Keep::Keyring) => trouble.unwrap_or(VaultState::Closed),
        };
        let nowhere = matches!(now, VaultState::NoService | VaultState::Denied | VaultState::Failed);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(VaultStatus {
            keep,
            state: now,
            path: self.inner.file.path().display().to_string(),
            stored: number(stored),
            in_memory: number(in_memory),
            choice_needed: nowhere && chosen.is_none() && in_memory > 0 && stored == 0,
            auto_lock_minutes: self.auto_lock_minutes()?,
            set_aside: state.set_aside.as_ref().map(|path| path.display().to_string()),
        })
    }

    /// Tries to open the vault, or, where there is none yet, to reach the keyring. The keyring may ask the person.
    ///
    /// # Errors
    /// `storage`.
    pub fn check(&self) -> Result<VaultStatus> {
        match effective(self.chosen()?, &self.find()) {
            Keep::Keyring => {
                let trouble = self.probe().err();
                self.state().trouble = trouble;
                if trouble.is_none() {
                    self.keep_what_is_held(true)?;
                }
            }
            Keep::Passphrase | Keep::Session | Keep::Never => {}
        }
        self.status()
    }

    /// Opens a vault that has a passphrase. What was held in memory meanwhile goes into it.
    ///
    /// # Errors
    /// `passphrase_wrong`; `not_found`: there is no such vault; `file`, `storage`.
    pub fn unlock(&self, passphrase: &Secret) -> Result<VaultStatus> {
        let sealed = self.with_passphrase()?;
        let key = sealed.unwrap(passphrase)?;
        self.install(sealed.key_id(), key);
        self.keep_what_is_held(false)?;
        (self.inner.changed)();
        self.status()
    }

    /// Forgets the key. Connections that are up keep the secrets that they use.
    pub fn lock(&self) {
        let mut state = self.state();
        state.key = None;
        state.trouble = None;
        drop(state);
        (self.inner.changed)();
    }

    /// Locks a vault with a passphrase that was not used for as long as the person chose.
    pub fn lock_if_idle(&self, now: Instant) {
        let idle = self.state().key.as_ref().map(|key| now.saturating_duration_since(key.used));
        let Some(idle) = idle else { return };
        let minutes = self.auto_lock_minutes().unwrap_or(DEFAULT_AUTO_LOCK);
        if minutes > 0
            && idle >= Duration::from_secs(u64::from(minutes) * 60)
            && matches!(self.find(), Found::Sealed(sealed) if sealed.source() != KeySource::Keyring)
        {
            self.lock();
        }
    }

    /// Changes the passphrase: everything is sealed anew, with a new key.
    ///
    /// # Errors
    /// `passphrase_wrong`, `invalid_input`: the new one is too short; `not_found`, `file`, `storage`.
    pub fn change_passphrase(&self, current: &Secret, new: &Secret) -> Result<VaultStatus> {
        check_passphrase(new)?;
        let sealed = self.with_passphrase()?;
        let key = sealed.unwrap(current)?;
        self.install(sealed.key_id(), key);
        self.seal_anew(Some(new))?;
        (self.inner.changed)();
        self.status()
    }

    /// Keeps secrets somewhere else from now on, and takes those that are there along; with `never` they are
    /// forgotten.
    ///
    /// # Errors
    /// `vault_locked`: the vault that would be left cannot be opened; `invalid_input`: the passphrase is missing
    /// or too short; `file`, `storage`.
    pub fn choose(&self, keep: Keep, passphrase: Option<&Secret>) -> Result<VaultStatus> {
        match (keep, passphrase) {
            (Keep::Keyring, _) => {
                self.seal_anew(None)?;
                self.put_value(KEEP, json!(keep))?;
            }
            (Keep::Passphrase, Some(passphrase)) => {
                check_passphrase(passphrase)?;
                self.seal_anew(Some(passphrase))?;
                self.put_value(KEEP, json!(keep))?;
            }
            (Keep::Passphrase, None) => {
                let message = "A vault with a passphrase needs one";
                return Err(Error::invalid("passphrase", ErrorReason::VaultPassphraseMissing, message));
            }
            (Keep::Session | Keep::Never, _) => {
                self.leave(keep == Keep::Session)?;
                self.put_value(KEEP, json!(keep))?;
            }
        }
        self.keep_what_is_held(true)?;
        (self.inner.changed)();
        self.status()
    }

    /// After how many minutes without use a vault with a passphrase locks itself; 0 is never.
    ///
    /// # Errors
    /// `invalid_input`: more than a day; `storage`.
    pub fn set_auto_lock(&self, minutes: u32) -> Result<VaultStatus> {
        if minutes > MAX_AUTO_LOCK {
            let message = "A day (1440 minutes) at most; 0 for never";
            return Err(Error::invalid("auto_lock_minutes", ErrorReason::AutoLockTooLong, message));
        }
        self.put_value(AUTO_LOCK, json!(minutes))?;
        self.status()
    }

    /// Renames the vault's file, so that a new one can begin: for a key that is lost, or a forgotten passphrase.
    ///
    /// # Errors
    /// `file`, `storage`.
    pub fn start_anew(&self) -> Result<VaultStatus> {
        let turn = self.inner.file.turn()?;
        let aside = self.inner.file.set_aside(&turn, "set-aside")?;
        drop(turn);
        let mut state = self.state();
        state.key = None;
        state.trouble = None;
        state.set_aside = aside.or(state.set_aside.take());
        drop(state);
        if effective(self.chosen()?, &Found::Nothing) == Keep::Keyring {
            self.keep_what_is_held(true)?;
        }
        (self.inner.changed)();
        self.status()
    }

    /// What the person chose, or where secrets go without a choice.
    fn keep(&self) -> Result<Keep> {
        Ok(effective(self.chosen()?, &self.find()))
    }

    fn chosen(&self) -> Result<Option<Keep>> {
        let value = self.inner.library.value(KEEP)?;
        Ok(value.and_then(|value| serde_json::from_value(value).ok()))
    }

    fn auto_lock_minutes(&self) -> Result<u32> {
        let value = self.inner.library.value(AUTO_LOCK)?;
        Ok(value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or(DEFAULT_AUTO_LOCK))
    }

    fn put_value(&self, key: &str, value: Value) -> Result<()> {
        self.inner.library.set_value(key, value)
    }

    fn hold(&self, values: impl Iterator<Item = (Address, Option<Secret>)>) {
        let mut state = self.state();
        for (address, value) in values {
            state.generation += 1;
            let generation = state.generation;
            state.memory.insert(address, Held { value, generation });
        }
    }

    fn keep_held(&self, id: ProfileId) -> Result<()> {
        let kept = self.keep_what_is_held(true);
        self.expect(id)?;
        (self.inner.changed)();
        kept
    }

    /// Those that connecting takes, but for `except`.
    fn used(&self, id: ProfileId, settings: &Settings, except: &[SecretField]) -> Result<Secrets> {
        let mut secrets = self.read(id, |field| is_used(field, settings) && !except.contains(field))?;
        if let Some(name) = key_in_use(settings).filter(|_| !except.contains(&SecretField::PrivateKey)) {
            secrets.put(SecretField::PrivateKey, self.private_key(name)?);
        }
        Ok(secrets)
    }

    fn read(&self, id: ProfileId, wanted: impl Fn(&SecretField) -> bool) -> Result<Secrets> {
        let mut secrets = Secrets::default();
        let mut held = BTreeSet::new();
        for ((owner, field), value) in &self.state().memory {
            let Some(field) = SecretField::from_key(field).filter(|_| *owner == id.0) else { continue };
            held.insert(field.clone());
            if wanted(&field) {
                secrets.put(field, value.value.clone());
            }
        }
        let in_file = |sealed: &Sealed| -> Vec<SecretField> {
            let fields = owned_by(sealed, id).filter_map(SecretField::from_key);
            fields.filter(|field| !held.contains(field) && wanted(field)).collect()
        };
        let fields = match self.find() {
            Found::Sealed(sealed) => in_file(&sealed),
            // Nobody can tell what is in it: what is missing is said by name, by whoever knows.
            Found::Trouble(_) | Found::Nothing => Vec::new(),
        };
        if fields.is_empty() {
            return Ok(secrets);
        }
        let keep = self.keep()?;
        let (sealed, key) = match self.open() {
            Ok(Some(open)) => open,
            // It was damaged, and is set aside now.
            Ok(None) => return Ok(secrets),
            Err(state) => {
                self.state().trouble = Some(state);
                (self.inner.changed)();
                return Err(state.error(keep, &fields));
            }
        };
        for field in in_file(&sealed) {
            match sealed.open(&key, &(id.0, field.key())) {
                Ok(value) => secrets.put(field, value),
                Err(_) => return Err(VaultState::KeyWrong.error(keep, &[field])),
            }
        }
        Ok(secrets)
    }

    /// Remembers by name which secrets are set.
    fn expect(&self, id: ProfileId) -> Result<()> {
        let fields: Vec<_> = self.places(id)?.into_iter().map(|stored| stored.field).collect();
        let mut all = self.inner.library.value(EXPECTED)?.unwrap_or_else(|| json!({}));
        let Value::Object(map) = &mut all else {
            return self.put_value(EXPECTED, json!({ id.to_string(): fields }));
        };
        let before = map.get(&id.to_string());
        if fields.is_empty() {
            if map.remove(&id.to_string()).is_none() {
                return Ok(());
            }
        } else {
            let fields = json!(fields);
            if before == Some(&fields) {
                return Ok(());
            }
            map.insert(id.to_string(), fields);
        }
        self.put_value(EXPECTED, all)
    }

    fn expected(&self, id: ProfileId) -> Result<Vec<SecretField>> {
        let all = self.inner.library.value(EXPECTED)?.unwrap_or(Value::Null);
        let fields = all.get(id.to_string()).cloned().unwrap_or(Value::Null);
        Ok(serde_json::from_value(fields).unwrap_or_default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A vault that is there decides how it is opened; session and never do without one.
fn effective(chosen: Option<Keep>, found: &Found) -> Keep {
    match (chosen.unwrap_or_default(), found) {
        (Keep::Session, _) => Keep::Session,
        (Keep::Never, _) => Keep::Never,
        (_, Found::Sealed(sealed)) => match sealed.source() {
            KeySource::Keyring => Keep::Keyring,
            KeySource::Passphrase(_) => Keep::Passphrase,
        },
        (chosen, _) => chosen,
    }
}

fn owned_by(sealed: &Sealed, id: ProfileId) -> impl Iterator<Item = &str> {
    sealed.addresses().filter(move |(owner, _)| *owner == id.0).map(|(_, field)| field.as_str())
}

/// The imported key that connecting with these settings takes.
fn key_in_use(settings: &Settings) -> Option<VaultKey> {
    let certificate = &settings.client_certificate;
    KeyPlace::in_vault(&certificate.key_file).filter(|_| certificate.enabled)
}

fn check_passphrase(passphrase: &Secret) -> Result<()> {
    let characters = passphrase.expose_text().map_or(passphrase.expose().len(), |text| text.chars().count());
    if characters < MIN_PASSPHRASE {
        let message = format!("The passphrase needs {MIN_PASSPHRASE} characters at least");
        return Err(Error::invalid("passphrase", ErrorReason::PassphraseTooShort, message)
            .with("least", MIN_PASSPHRASE));
    }
    Ok(())
}

/// Whether connecting with these settings takes the secret.
fn is_used(field: &SecretField, settings: &Settings) -> bool {
    match field {
        SecretField::Password => settings.login.enabled,
        SecretField::KeyPassphrase => {
            let key_file = &settings.client_certificate.key_file;
            settings.client_certificate.enabled
                && match KeyPlace::of(key_file) {
                    Ok(KeyPlace::WithCertificate | KeyPlace::File(_)) => true,
                    Ok(KeyPlace::Vault(name)) => name.wants_passphrase(),
                    Ok(KeyPlace::Token(_)) | Err(_) => false,
                }
        }
        SecretField::TokenPin => {
            settings.client_certificate.enabled && is_token(&settings.client_certificate.key_file)
        }
        // It has a name of its own, whatever connections use it.
        SecretField::PrivateKey => false,
        SecretField::ProxyPassword => settings.proxy.kind != ProxyKind::None,
        SecretField::WebsocketHeader(name) => {
            settings.websocket.headers.iter().any(|h| h.secret && h.name.eq_ignore_ascii_case(name))
        }
    }
}
