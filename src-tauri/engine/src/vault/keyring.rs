//! The system's keyring: Secret Service, Keychain or Credential Manager. In: the name of a key. Out: its bytes, or
//! the one of a few reasons why not. A keyring may ask the person for a password and so take as long as they like:
//! every call has a thread of its own and a bound in time, and there is never more than one.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyring_core::api::CredentialStoreApi;
use zeroize::Zeroizing;

/// The service under which keys are filed.
const SERVICE: &str = "heliograph";
/// How long a caller waits. Enough for a keyring that must be started first; a person who is being asked for a
/// password takes longer, and the answer is used when it comes.
const PATIENCE: Duration = Duration::from_secs(8);

/// Why the keyring gives no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyringError {
    /// It works, and has no entry of that name. The only one that may lead to a new key.
    NoEntry,
    /// There is no keyring here, or none that runs.
    NoService,
    /// It is locked, and was not unlocked when it asked.
    Locked,
    /// It, or the system, does not let us.
    Denied,
    /// It has not answered yet; it may be asking the person.
    Silent,
    /// It answered something that makes no sense.
    Failed,
}

/// What a call is about.
#[derive(Clone)]
pub(super) enum Request {
    /// The secret of this name.
    Read(String),
    /// File a secret under this name.
    Write(String, Zeroizing<Vec<u8>>),
    /// Remove what is filed under this name.
    Delete(String),
}

/// The answer to a call; the bytes are empty but for [`Request::Read`].
pub(super) type Answer = Result<Zeroizing<Vec<u8>>, KeyringError>;

/// The keyring of this session, or none. Cheap to clone.
#[derive(Clone)]
pub struct Keyring(Option<Arc<Desk>>);

struct Desk {
    patience: Duration,
    busy: Mutex<bool>,
    free: Condvar,
}

impl Keyring {
    /// The system's, unless `HELIOGRAPH_KEYRING=off` says to do as if there were none.
    pub fn of_the_system() -> Self {
        if std::env::var_os("HELIOGRAPH_KEYRING").is_some_and(|value| value == "off") {
            return Self::none();
        }
        Self::with_patience(PATIENCE)
    }

    /// The system's; callers wait this long at most.
    pub fn with_patience(patience: Duration) -> Self {
        Self(Some(Arc::new(Desk { patience, busy: Mutex::new(false), free: Condvar::new() })))
    }

    /// As on a machine without a keyring.
    pub fn none() -> Self {
        Self(None)
    }

    /// Blocks, for a bounded time. An answer that comes later than that goes to `late`, on another thread.
    pub(super) fn call(&self, request: Request, late: impl FnOnce(Answer) + Send + 'static) -> Answer {
        let desk = self.0.clone().ok_or(KeyringError::NoService)?;
        if !desk.take() {
            return Err(KeyringError::Silent);
        }
        let answer = Arc::new(Slot::default());
        let (thread_desk, thread_answer) = (desk.clone(), answer.clone());
        let thread = std::thread::Builder::new().name("keyring".into()).spawn(move || {
            let outcome = perform(&request);
            thread_desk.release();
            if let Some(outcome) = thread_answer.put(outcome) {
                late(outcome);
            }
        });
        if thread.is_err() {
            desk.release();
            return Err(KeyringError::Failed);
        }
        answer.take(desk.patience)
    }
}

impl Desk {
    /// Waits for a call that is under way; `false` when it does not end.
    fn take(&self) -> bool {
        let busy = lock(&self.busy);
        let waited = self.free.wait_timeout_while(busy, self.patience, |busy| *busy);
        let (mut busy, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !std::mem::replace(&mut *busy, true)
    }

    fn release(&self) {
        *lock(&self.busy) = false;
        self.free.notify_one();
    }
}

/// Where an answer is handed over, unless nobody waits for it any more.
#[derive(Default)]
struct Slot {
    state: Mutex<(Option<Answer>, bool)>,
    filled: Condvar,
}

impl Slot {
    /// Gives the answer back when nobody waits.
    fn put(&self, answer: Answer) -> Option<Answer> {
        let mut state = lock(&self.state);
        if state.1 {
            return Some(answer);
        }
        state.0 = Some(answer);
        self.filled.notify_one();
        None
    }

    fn take(&self, patience: Duration) -> Answer {
        let waited = self.filled.wait_timeout_while(lock(&self.state), patience, |state| state.0.is_none());
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.1 = true;
        state.0.take().unwrap_or(Err(KeyringError::Silent))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn perform(request: &Request) -> Answer {
    let nothing = || Zeroizing::new(Vec::new());
    let done = connect().and_then(|store| match request {
        Request::Read(name) => store.build(SERVICE, name, None)?.get_secret().map(Zeroizing::new),
        Request::Write(name, secret) => {
            store.build(SERVICE, name, None)?.set_secret(secret).map(|()| nothing())
        }
        Request::Delete(name) => match store.build(SERVICE, name, None)?.delete_credential() {
            Ok(()) | Err(keyring_core::Error::NoEntry) => Ok(nothing()),
            Err(error) => Err(error),
        },
    });
    done.map_err(|error| {
        let kind = classify(&error);
        if kind != KeyringError::NoEntry {
            // Of the errors only these carry bytes of an entry; they are never written down.
            let shown = match &error {
                keyring_core::Error::BadEncoding(_) | keyring_core::Error::BadDataFormat(..) => {
                    "the entry is not as it was written".to_owned()
                }
                other => other.to_string(),
            };
            tracing::info!(?kind, error = shown, "the keyring gave no key");
        }
        kind
    })
}

/// A new connection for every call, so that a keyring that was started, unlocked or restarted is found.
#[cfg(all(unix, not(target_os = "macos")))]
fn connect() -> keyring_core::Result<Arc<impl CredentialStoreApi>> {
    zbus_secret_service_keyring_store::Store::new()
}

#[cfg(target_os = "macos")]
fn connect() -> keyring_core::Result<Arc<impl CredentialStoreApi>> {
    apple_native_keyring_store::keychain::Store::new()
}

#[cfg(windows)]
fn connect() -> keyring_core::Result<Arc<impl CredentialStoreApi>> {
    windows_native_keyring_store::Store::new()
}

fn classify(error: &keyring_core::Error) -> KeyringError {
    match error {
        keyring_core::Error::NoEntry => KeyringError::NoEntry,
        keyring_core::Error::NoStorageAccess(cause) | keyring_core::Error::PlatformFailure(cause) => {
            classify_platform(cause.as_ref())
        }
        _ => KeyringError::Failed,
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
fn classify_platform(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> KeyringError {
    use secret_service::Error as Service;
    match cause.downcast_ref::<Service>() {
        Some(Service::Locked | Service::Prompt | Service::PromptDisconnected) => KeyringError::Locked,
        Some(Service::Unavailable) => KeyringError::NoService,
        // Without a default collection there is nowhere to put a key.
        Some(Service::NoResult) => KeyringError::NoService,
        Some(Service::Zbus(error)) => classify_bus(error),
        Some(Service::ZbusFdo(error)) => classify_bus_name(error),
        _ => KeyringError::Failed,
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
fn classify_bus(error: &zbus::Error) -> KeyringError {
    match error {
        // There is no session bus to speak on.
        zbus::Error::InputOutput(_)
        | zbus::Error::Address(_)
        | zbus::Error::Handshake(_)
        | zbus::Error::Connection(..) => KeyringError::NoService,
        zbus::Error::FDO(error) => classify_bus_name(error),
        zbus::Error::MethodError(name, ..) => match name.as_str() {
            "org.freedesktop.DBus.Error.AccessDenied" | "org.freedesktop.DBus.Error.AuthFailed" => {
                KeyringError::Denied
            }
            "org.freedesktop.DBus.Error.ServiceUnknown"
            | "org.freedesktop.DBus.Error.NameHasNoOwner"
            | "org.freedesktop.DBus.Error.Disconnected"
            | "org.freedesktop.DBus.Error.NoServer" => KeyringError::NoService,
            "org.freedesktop.DBus.Error.NoReply" | "org.freedesktop.DBus.Error.Timeout" => {
                KeyringError::Silent
            }
            "org.freedesktop.Secret.Error.IsLocked" => KeyringError::Locked,
            name if name.starts_with("org.freedesktop.DBus.Error.Spawn") => KeyringError::NoService,
            _ => KeyringError::Failed,
        },
        _ => KeyringError::Failed,
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
fn classify_bus_name(error: &zbus::fdo::Error) -> KeyringError {
    use zbus::fdo::Error as Bus;
    match error {
        Bus::AccessDenied(_) | Bus::AuthFailed(_) => KeyringError::Denied,
        Bus::ServiceUnknown(_)
        | Bus::NameHasNoOwner(_)
        | Bus::NoServer(_)
        | Bus::NoNetwork(_)
        | Bus::Disconnected(_)
        | Bus::SpawnExecFailed(_)
        | Bus::SpawnForkFailed(_)
        | Bus::SpawnChildExited(_)
        | Bus::SpawnChildSignaled(_)
        | Bus::SpawnFailed(_)
        | Bus::SpawnFailedToSetup(_)
        | Bus::SpawnConfigInvalid(_)
        | Bus::SpawnServiceNotValid(_)
        | Bus::SpawnServiceNotFound(_)
        | Bus::SpawnPermissionsInvalid(_)
        | Bus::SpawnFileInvalid(_)
        | Bus::SpawnNoMemory(_) => KeyringError::NoService,
        Bus::NoReply(_) | Bus::Timeout(_) | Bus::TimedOut(_) => KeyringError::Silent,
        Bus::ZBus(error) => classify_bus(error),
        _ => KeyringError::Failed,
    }
}

#[cfg(target_os = "macos")]
fn classify_platform(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> KeyringError {
    // OSStatus values of Security/SecBase.h.
    match cause.downcast_ref::<security_framework::base::Error>().map(|error| error.code()) {
        // errSecInteractionNotAllowed, errSecInteractionRequired: locked, and nobody can be asked.
        Some(-25308 | -25315) => KeyringError::Locked,
        // wrPermErr, errSecInvalidOwnerEdit, errSecAuthFailed, errSecUserCanceled, errSecReadOnly.
        Some(-61 | -25244 | -25293 | -128 | -25292) => KeyringError::Denied,
        // errSecNotAvailable, errSecNoSuchKeychain, errSecNoDefaultKeychain.
        Some(-25291 | -25294 | -25307) => KeyringError::NoService,
        _ => KeyringError::Failed,
    }
}

#[cfg(windows)]
fn classify_platform(_: &(dyn std::error::Error + Send + Sync + 'static)) -> KeyringError {
    // The Credential Manager belongs to the log-on session: there when that is, and never locked by itself.
    KeyringError::NoService
}
