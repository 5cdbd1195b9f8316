//! A PKCS#11 module on a thread of its own. In: work for it, and how long to wait. Out: its answer, or that it did not
//! come in time: a module that hangs keeps its thread and nobody else. Modules stay loaded until the process ends, since
//! many do not survive being unloaded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as Pkcs11Error, RvError};
use cryptoki::slot::{Slot, TokenInfo};

use super::failed;
use crate::failure::FailureCode;
use crate::identity::{IdentityError, TokenKey};
use crate::secret::Secret;

/// Work that waits for a module; more is refused.
const QUEUE: usize = 16;

type Work = Box<dyn FnOnce(&mut Loaded) + Send>;

static MODULES: LazyLock<Mutex<BTreeMap<String, Arc<Module>>>> = LazyLock::new(Mutex::default);

/// A module, whether or not it can be loaded.
#[derive(Debug)]
pub(super) struct Module {
    path: String,
    work: SyncSender<Work>,
    /// Calls that were given up and have not ended.
    overdue: Arc<AtomicU32>,
}

/// A module on its thread.
#[derive(Default)]
pub(super) struct Loaded {
    context: Option<Pkcs11>,
    /// The PIN that a token refused last, by the token's serial number.
    refused: BTreeMap<String, Secret>,
}

impl Module {
    /// The module at `path`; its thread starts with the first use.
    pub(super) fn at(path: &str) -> Arc<Self> {
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        let module = modules.entry(path.to_owned()).or_insert_with(|| Arc::new(Self::start(path)));
        Arc::clone(module)
    }

    fn start(path: &str) -> Self {
        let (work, queue): (SyncSender<Work>, Receiver<Work>) = sync_channel(QUEUE);
        let name = "pkcs11".to_owned();
        // Without a thread the queue closes, and every call says so.
        let _ = std::thread::Builder::new().name(name).spawn(move || {
            let mut loaded = Loaded::default();
            while let Ok(work) = queue.recv() {
                work(&mut loaded);
            }
        });
        Self { path: path.to_owned(), work, overdue: Arc::default() }
    }

    /// Does work on the module's thread and waits for its answer.
    ///
    /// # Errors
    /// What the work says; `token_timeout`: it took longer, or the module hangs since an earlier call.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce(&mut Loaded) -> Result<T, IdentityError> + Send + 'static,
    ) -> Result<T, IdentityError> {
        if self.overdue.load(Ordering::Acquire) > 0 {
            return Err(self.silent("It has not come back from an earlier call"));
        }
        let (answer, answered) = sync_channel(1);
        let overdue = Arc::clone(&self.overdue);
        let job: Work = Box::new(move |loaded| {
            // Nobody listens any more when it took too long.
            if answer.send(work(loaded)).is_err() {
                overdue.fetch_sub(1, Ordering::AcqRel);
            }
        });
        if self.work.try_send(job).is_err() {
            return Err(self.silent("It has more to do than it gets done"));
        }
        match answered.recv_timeout(patience) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                self.overdue.fetch_add(1, Ordering::AcqRel);
                // It may have come in between.
                if let Ok(result) = answered.try_recv() {
                    self.overdue.fetch_sub(1, Ordering::AcqRel);
                    return result;
                }
                Err(self.silent(&format!("It did not answer within {} seconds", patience.as_secs())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(IdentityError::new(
                FailureCode::TokenFailed,
                &self.path,
                format!("{} failed", self.path),
                "Its thread ended while it worked",
            )),
        }
    }

    /// Lets the module's thread do this when it gets to it; not at all when it has no room.
    pub(super) fn leave(&self, work: impl FnOnce() + Send + 'static) {
        let _ = self.work.try_send(Box::new(move |_| work()));
    }

    fn silent(&self, cause: &str) -> IdentityError {
        let message = format!("The PKCS#11 module {} does not answer", self.path);
        let cause = format!("{cause}: likely the token or its reader waits for something");
        IdentityError::new(FailureCode::TokenTimeout, &self.path, message, cause)
    }
}

impl Loaded {
    /// The module, loaded and initialised.
    ///
    /// # Errors
    /// `token_module_unusable`, `token_failed`.
    pub(super) fn context(&mut self, path: &str) -> Result<Pkcs11, IdentityError> {
        if let Some(context) = &self.context {
            return Ok(context.clone());
        }
        let unusable = |cause: String| {
            let message = format!("{path} cannot be used as a PKCS#11 module");
            IdentityError::new(FailureCode::TokenModuleUnusable, path, message, cause)
        };
        if !std::path::Path::new(path).is_absolute() {
            // A bare name would be looked for wherever libraries are.
            return Err(unusable("Its whole path is needed".to_owned()));
        }
        let context = Pkcs11::new(path).map_err(|error| match error {
            Pkcs11Error::LibraryLoading(_) if !std::path::Path::new(path).exists() => {
                unusable("There is no such file".to_owned())
            }
            Pkcs11Error::LibraryLoading(error) => unusable(format!("It cannot be loaded: {error}")),
            Pkcs11Error::MissingSymbol(_) | Pkcs11Error::NullFunctionPointer => {
                unusable("It is a library, but not one that speaks PKCS#11".to_owned())
            }
            other => failed(path, &other),
        })?;
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Pkcs11Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => {
                let error = failed(path, &error);
                return Err(unusable(format!("It does not start. {}", error.cause)));
            }
        }
        self.context = Some(context.clone());
        Ok(context)
    }

    /// The tokens that are there, with their slots.
    pub(super) fn tokens(&mut self, path: &str) -> Result<Vec<(Slot, TokenInfo)>, IdentityError> {
        let context = self.context(path)?;
        let slots = context.get_slots_with_token().map_err(|error| failed(path, &error))?;
        let mut tokens = Vec::new();
        for slot in slots {
            // One that was taken out in this moment is not there.
            let Ok(info) = context.get_token_info(slot) else { continue };
            if info.token_initialized() {
                tokens.push((slot, info));
            }
        }
        Ok(tokens)
    }

    /// The token that a URI names.
    ///
    /// # Errors
    /// `token_not_found`: none or several; `token_module_unusable`, `token_failed`.
    pub(super) fn token(&mut self, wanted: &TokenKey) -> Result<(Slot, TokenInfo), IdentityError> {
        let mut tokens = self.tokens(&wanted.module)?;
        let labels: Vec<_> = tokens.iter().map(|(_, info)| info.label().to_owned()).collect();
        tokens.retain(|(_, info)| {
            let pairs = [
                (&wanted.token, info.label()),
                (&wanted.serial, info.serial_number()),
                (&wanted.manufacturer, info.manufacturer_id()),
                (&wanted.model, info.model()),
            ];
            pairs.iter().all(|(wanted, is)| wanted.is_empty() || wanted == is)
        });
        let name = if wanted.token.is_empty() { &wanted.serial } else { &wanted.token };
        let fail = |message: String, cause: String| {
            Err(IdentityError::new(FailureCode::TokenNotFound, name, message, cause))
        };
        match (tokens.pop(), tokens.is_empty()) {
            (Some(token), true) => Ok(token),
            (Some(_), false) => fail(
                format!("Several tokens match {name}"),
                "Choose one by its serial number: pkcs11:serial=…".to_owned(),
            ),
            (None, _) if labels.is_empty() => fail(
                format!("The token {name} is not there"),
                "The module sees no token: it is not plugged in, or its reader's service does not run"
                    .to_owned(),
            ),
            (None, _) => fail(
                format!("The token {name} is not there"),
                format!("The module sees {}", labels.join(", ")),
            ),
        }
    }

    /// What a token says of itself now.
    pub(super) fn info(&self, slot: Slot) -> Option<TokenInfo> {
        self.context.as_ref()?.get_token_info(slot).ok()
    }

    pub(super) fn was_refused(&self, serial: &str, pin: &Secret) -> bool {
        self.refused.get(serial).is_some_and(|refused| refused.expose() == pin.expose())
    }

    pub(super) fn refuse(&mut self, serial: &str, pin: &Secret) {
        self.refused.insert(serial.to_owned(), pin.clone());
    }

    pub(super) fn forget_refused(&mut self, serial: &str) {
        self.refused.remove(serial);
    }
}
