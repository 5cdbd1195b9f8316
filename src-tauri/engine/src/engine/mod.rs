//! The root: wires profiles, secrets, sessions, history and the local broker, and hands out one value,
//! [`Engine`], which is all that the window holds. In: one call a command. Out: answers, and
//! [`Engine::events`], which tells what changed since it was last asked, coalesced and bounded.

mod certificates;
mod connection;
mod demo;
mod outbox;
mod purge;
mod recordings;
mod secrets;
mod transfer;
mod types;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attempts::{self, Attempts};
use crate::broker::devices::Devices;
use crate::broker::{self, BrokerOptions, BrokerStatus, LocalBroker};
use crate::draft;
use crate::endpoint::{Endpoint, EndpointParts, Scheme};
use crate::error::{Error, ErrorCode, Result};
use crate::history::{
    Comparison, Difference, History, MessageDetail, Page, RetentionRules, RowFilter, Seek, Seq,
    StorageHealth, ViewId,
};
use crate::identity;
use crate::library::{Folder, FolderId, Library, LibraryTree};
use crate::message::UnixMicros;
use crate::probe::{self, ProbeConfig, ProbeReport};
use crate::profile::{Profile, ProfileDraft, ProfileId, SessionOptions, Settings, Subscription};
use crate::secret::{Secret, SecretEdit, SecretField, Secrets};
use crate::session::{self, Publication, PublishOutcome, SessionConfig, SubscriptionState};
use crate::topic;
use crate::trace::Trace;
use crate::vault::{Keep, Keyring, Vault, VaultState};

use certificates::missing_for_the_key;
pub use certificates::{CertificateReplacement, CertificateRole, LibraryCertificate};
use connection::{Connection, Stored};
use outbox::Outbox;
use recordings::Transfers;
pub use recordings::{TransferCounts, TransferId, TransferKind, TransferState, TransferStatus};
pub use transfer::ImportInput;
use transfer::Planned;
pub use types::*;

/// Everything behind the window. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    data_dir: PathBuf,
    library: Arc<Library>,
    history: History,
    attempts: Arc<Attempts>,
    outbox: Arc<Outbox>,
    vault: Vault,
    connections: Mutex<HashMap<ProfileId, Arc<Connection>>>,
    tests: Mutex<Cancellations>,
    probes: Mutex<Cancellations>,
    broker: tokio::sync::Mutex<BrokerState>,
    devices: tokio::sync::Mutex<Option<Devices>>,
    planned: Mutex<Planned>,
    transfers: Mutex<Transfers>,
    /// Tasks of these.
    under_way: TaskTracker,
    shutdown: CancellationToken,
}

/// What can be cancelled, by the draft that it is about.
type Cancellations = HashMap<ProfileId, CancellationToken>;

#[derive(Default)]
struct BrokerState {
    running: Option<LocalBroker>,
    error: Option<Error>,
    /// It starts when the vault opens.
    waits_for_vault: bool,
}

/// Keys of [`Library::value`] that the engine itself uses; the window's own have other names.
const BROKER_OPTIONS: &str = "engine.broker.options";
const BROKER_WANTED: &str = "engine.broker.wanted";
const KEEPING: &str = "engine.history.keeping";
/// The owner of the local broker's password in the vault. No connection has this id: theirs are random (RFC 9562, 5.4).
const BROKER: ProfileId = ProfileId(uuid::Uuid::from_u128(0x6c6f_6361_6c20_0000_0000_6272_6f6b_6572));

impl Engine {
    /// Opens the databases in `data_dir` (created when missing) and starts the tasks that watch them.
    /// Call it inside a tokio runtime.
    ///
    /// # Errors
    /// `storage`: a database cannot be opened, is damaged, or comes from a newer version.
    pub fn open(data_dir: &Path) -> Result<Self> {
        // Unit tests leave the keyring of whoever runs them alone.
        let keyring = if cfg!(test) { Keyring::none() } else { Keyring::of_the_system() };
        Self::open_with(data_dir, keyring)
    }

    /// As [`Self::open`], with this keyring.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(data_dir: &Path, keyring: Keyring) -> Result<Self> {
        let library = Arc::new(Library::open(&data_dir.join("heliograph.db"))?);
        let history = History::open(&data_dir.join("messages.db"))?;
        let outbox = Arc::<Outbox>::default();
        let vault_changed = Arc::<Notify>::default();
        let vault = {
            let (outbox, changed) = (outbox.clone(), vault_changed.clone());
            Vault::new(data_dir, library.clone(), keyring, move || {
                outbox.vault();
                changed.notify_one();
            })
        };
        let attempts = Arc::new(Attempts::open(&data_dir.join("attempts.db"))?);
        let inner = Arc::new(Inner {
            data_dir: data_dir.to_owned(),
            library,
            history,
            attempts,
            outbox,
            vault,
            connections: Mutex::default(),
            tests: Mutex::default(),
            probes: Mutex::default(),
            broker: tokio::sync::Mutex::default(),
            devices: tokio::sync::Mutex::default(),
            planned: Mutex::default(),
            transfers: Mutex::default(),
            under_way: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        });
        inner.follow_keeping();
        let engine = Self { inner };
        engine.follow_history();
        engine.follow_rates();
        engine.follow_other_processes();
        engine.follow_deletions(vault_changed);
        engine.follow_idleness();
        Ok(engine)
    }

    /// What changed since the last call; waits until something did. Bounded whatever the message rate: for
    /// each connection at most one entry of a kind. Meant for one caller, which paces itself.
    pub async fn events(&self) -> Vec<EngineEvent> {
        let dirty = self.inner.outbox.wait().await;
        let mut events = Vec::new();
        if dirty.library {
            events.push(EngineEvent::LibraryChanged);
        }
        let connections = lock(&self.inner.connections).clone();
        for id in &dirty.connections {
            if let Some(connection) = connections.get(id) {
                events.push(EngineEvent::Connection(self.status_of(connection)));
            }
        }
        let pulses: Vec<_> = (dirty.pulses.difference(&dirty.connections))
            .filter_map(|id| connections.get(id))
            .map(|connection| connection.pulse(self.stored(connection.id)))
            .collect();
        if !pulses.is_empty() {
            events.push(EngineEvent::Pulse { connections: pulses });
        }
        for ((id, test), trace) in dirty.traces {
            events.push(EngineEvent::Trace { id, test, trace });
        }
        if dirty.vault
            && let Ok(status) = self.vault_status().await
        {
            events.push(EngineEvent::Vault(status));
        }
        if dirty.broker {
            events.push(EngineEvent::Broker(self.broker_status().await));
        }
        events.extend(dirty.transfers.into_iter().filter_map(|id| self.tell_transfer(id)));
        events.extend(dirty.notices.into_iter().map(|(code, error)| EngineEvent::Notice { code, error }));
        events
    }

    /// Disconnects everything cleanly, stops the local broker and writes what is still in memory.
    pub async fn close(&self) {
        self.inner.shutdown.cancel();
        let connections: Vec<_> = lock(&self.inner.connections).values().cloned().collect();
        let goodbyes = connections.iter().map(|connection| connection.disconnect());
        let bound = Duration::from_secs(2);
        let _ = tokio::time::timeout(bound, futures_util::future::join_all(goodbyes)).await;
        if let Some(devices) = self.inner.devices.lock().await.take() {
            devices.stop().await;
        }
        if let Some(broker) = self.inner.broker.lock().await.running.take() {
            broker.stop().await;
        }
        // What was sent and received until now belongs to a recording.
        self.end_transfers().await;
        let attempts = self.inner.attempts.clone();
        let _ = tokio::task::spawn_blocking(move || attempts.close()).await;
        if let Err(error) = self.inner.history.close().await {
            tracing::error!(%error, "messages in memory could not be written");
        }
    }

    fn status_of(&self, connection: &Connection) -> ConnectionStatus {
        let saved = self.inner.library.profile(connection.id).ok();
        connection.status(self.stored(connection.id), saved.as_ref())
    }

    fn stored(&self, id: ProfileId) -> Stored {
        let history = &self.inner.history;
        Stored { rows: history.stored(id), let_go: history.let_go(id), live_only: history.live_only(id) }
    }

    fn follow_history(&self) {
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let mut commits = inner.history.changes();
            let mut health = inner.history.health();
            let mut damage = inner.history.damage();
            damage.mark_changed();
            let mut failing = false;
            let mut known = HashMap::new();
            loop {
                tokio::select! {
                    () = inner.shutdown.cancelled() => return,
                    changed = commits.changed() => if changed.is_err() { return },
                    // While nothing can be written there are no commits.
                    changed = health.changed() => if changed.is_err() { return },
                    changed = damage.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        // Each time that some is found, also when that is the same again.
                        if let found @ Some(_) = damage.borrow_and_update().clone() {
                            inner.outbox.notice(NoticeCode::StorageDamaged, found);
                        }
                    }
                }
                let mut ids: Vec<_> = lock(&inner.connections).keys().copied().collect();
                ids.retain(|&id| {
                    let history = &inner.history;
                    let rows = (history.stored(id), history.let_go(id), history.live_only(id));
                    known.insert(id, rows) != Some(rows)
                });
                inner.outbox.pulse(ids);
                let now = health.borrow_and_update().clone();
                match now {
                    StorageHealth::Failing { error } if !failing => {
                        failing = true;
                        inner.outbox.notice(NoticeCode::StorageFailing, Some(error));
                    }
                    StorageHealth::Ok if failing => {
                        failing = false;
                        inner.outbox.notice(NoticeCode::StorageRecovered, None);
                    }
                    _ => {}
                }
            }
        });
    }

    /// Rates are measured four times a second; a connection whose rates moved and that nothing was told about is told
    /// about, and so is a transfer that has come further.
    fn follow_rates(&self) {
        let engine = self.clone();
        tokio::spawn(async move {
            let inner = &engine.inner;
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            loop {
                tokio::select! {
                    () = inner.shutdown.cancelled() => return,
                    _ = tick.tick() => {}
                }
                engine.moved_transfers().into_iter().for_each(|id| inner.outbox.transfer(id));
                let connections: Vec<_> = lock(&inner.connections).values().cloned().collect();
                let moved = connections.iter().filter(|connection| connection.measure_late()).map(|c| c.id);
                inner.outbox.pulse(moved.collect::<Vec<_>>());
            }
        });
    }

    /// `helio` may change the same profiles.
    fn follow_other_processes(&self) {
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(1));
            loop {
                tokio::select! {
                    () = inner.shutdown.cancelled() => return,
                    _ = tick.tick() => if inner.library.changed() {
                        inner.follow_keeping();
                        inner.outbox.library();
                    },
                }
            }
        });
    }
}

impl Inner {
    /// Tells the history how much to keep, as it is set now.
    fn follow_keeping(&self) {
        let read = || -> Result<RetentionRules> {
            let Keeping { each, max_bytes_in_all } = self.keeping()?;
            let mut of = HashMap::new();
            for entry in self.library.tree()?.profiles {
                if let Some(own) = self.library.profile(entry.id)?.settings.retention {
                    of.insert(entry.id, own);
                }
            }
            Ok(RetentionRules { each, of, max_bytes_in_all })
        };
        match read() {
            Ok(rules) => self.history.set_retention(rules),
            // What was set before goes on to hold.
            Err(error) => tracing::warn!(%error, "how much to keep cannot be read"),
        }
    }

    fn keeping(&self) -> Result<Keeping> {
        let saved = self.library.value(KEEPING)?;
        Ok(saved.and_then(|saved| serde_json::from_value(saved).ok()).unwrap_or_default())
    }
}

/// Saved connections.
impl Engine {
    /// Everything the sidebar lists.
    ///
    /// # Errors
    /// `storage`.
    pub fn library_tree(&self) -> Result<LibraryTree> {
        self.inner.library.tree()
    }

    /// A saved connection.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub fn profile(&self, id: ProfileId) -> Result<Profile> {
        self.inner.library.profile(id)
    }

    /// A draft with the defaults, a random id and a random client identifier.
    pub fn new_draft(&self) -> ProfileDraft {
        let id = ProfileId::random();
        let digits = id.0.simple().to_string();
        let client_id = format!("heliograph-{}", &digits[..8]);
        let session = SessionOptions { client_id, ..SessionOptions::default() };
        ProfileDraft {
            id,
            name: String::new(),
            endpoint: EndpointParts::default(),
            settings: Settings { session, ..Settings::default() },
        }
    }

    /// What there is to say about a draft. Reads the files it names, with the passphrase among the edits, else
    /// that of the saved connection; dials nothing.
    ///
    /// # Errors
    /// `invalid_input` when a secret is not of its encoding; `storage`.
    pub async fn check_draft(&self, draft: ProfileDraft, edits: Vec<SecretEdit>) -> Result<DraftReport> {
        self.with_vault(move |vault| {
            let key_file = &draft.settings.client_certificate.key_file;
            let (secrets, locked) = vault.at_hand(draft.id, key_file, &edits)?;
            let mut report = draft::check(&draft, &secrets);
            // What is stored is stored; whether it fits is known once the vault is open.
            for (field, code) in [
                (SecretField::KeyPassphrase, "passphrase_required"),
                (SecretField::PrivateKey, "private_key_missing"),
            ] {
                if locked.contains(&field) {
                    report.problems.retain(|problem| problem.code != code);
                }
            }
            Ok(report)
        })
        .await
    }

    /// Takes a URL apart for the form.
    ///
    /// # Errors
    /// `invalid_input` with the part in `details.field`.
    pub fn parse_endpoint(&self, text: &str, fallback: Scheme) -> Result<ParsedEndpoint> {
        let parsed =
            Endpoint::parse_url(text, fallback).map_err(|error| Error::endpoint(error.field, error))?;
        let password = parsed.password.and_then(|secret| secret.expose_text().ok().map(str::to_owned));
        let url = parsed.endpoint.url();
        Ok(ParsedEndpoint { endpoint: parsed.endpoint.into(), url, username: parsed.username, password })
    }

    /// Saves a draft and its secrets. The subscriptions of a connection that exists stay as they are:
    /// [`Self::save_subscription`] changes them one by one.
    ///
    /// # Errors
    /// `invalid_input` when the endpoint cannot be dialled, `file` when the vault cannot be written, `storage`.
    pub async fn save_profile(
        &self,
        draft: ProfileDraft,
        folder: Option<FolderId>,
        secrets: Vec<SecretEdit>,
    ) -> Result<Profile> {
        let profile = draft::build(draft)?;
        self.set_secrets(profile.id, secrets).await?;
        let profile = self.inner.library.save_form(profile, folder)?;
        self.library_changed(profile.id);
        Ok(profile)
    }

    /// Renames a connection.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub fn rename_profile(&self, id: ProfileId, name: &str) -> Result<()> {
        self.inner.library.rename_profile(id, name)?;
        self.library_changed(id);
        Ok(())
    }

    /// Copies a connection with its secrets, next to itself.
    ///
    /// # Errors
    /// `not_found`, `vault_locked`: its secrets cannot be copied now; `file`, `storage`.
    pub async fn duplicate_profile(&self, id: ProfileId) -> Result<Profile> {
        let library = self.inner.library.clone();
        let copy = self.with_vault(move |vault| {
            // Read first: a copy without its secrets would be no copy.
            let secrets = vault.all_of(id)?;
            let copy = library.duplicate(id)?;
            vault.put_all(copy.id, &secrets)?;
            Ok(copy)
        });
        let copy = copy.await?;
        self.library_changed(copy.id);
        Ok(copy)
    }

    /// Disconnects and deletes a connection; [`Self::restore_profile`] undoes it.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub async fn delete_profile(&self, id: ProfileId) -> Result<()> {
        let connection = lock(&self.inner.connections).get(&id).cloned();
        if let Some(connection) = connection {
            connection.disconnect().await;
        }
        self.inner.library.delete(id)?;
        self.library_changed(id);
        Ok(())
    }

    /// What is kept of a connection that cannot be read, as it stands in the file.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub fn damaged_profile(&self, id: &str) -> Result<String> {
        self.inner.library.damaged_text(id)
    }

    /// Undoes [`Self::delete_profile`].
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub fn restore_profile(&self, id: ProfileId) -> Result<()> {
        self.inner.library.restore(id)?;
        self.library_changed(id);
        Ok(())
    }

    /// Puts a connection into a folder (or the top) at an index.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub fn move_profile(&self, id: ProfileId, folder: Option<FolderId>, index: usize) -> Result<()> {
        self.inner.library.move_profile(id, folder, index)?;
        self.library_changed(id);
        Ok(())
    }

    /// Makes a folder at the end.
    ///
    /// # Errors
    /// `storage`.
    pub fn create_folder(&self, name: &str) -> Result<Folder> {
        let id = self.inner.library.create_folder(name)?;
        self.inner.outbox.library();
        Ok(Folder { id, name: name.to_owned(), collapsed: false })
    }

    /// Renames a folder.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub fn rename_folder(&self, id: FolderId, name: &str) -> Result<()> {
        self.inner.library.rename_folder(id, name)?;
        self.inner.outbox.library();
        Ok(())
    }

    /// Deletes a folder; its connections move to the top. [`Self::restore_folder`] undoes it.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub fn delete_folder(&self, id: FolderId) -> Result<()> {
        self.inner.library.delete_folder(id)?;
        self.inner.outbox.library();
        Ok(())
    }

    /// Undoes [`Self::delete_folder`].
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub fn restore_folder(&self, id: FolderId) -> Result<()> {
        self.inner.library.restore_folder(id)?;
        self.inner.outbox.library();
        Ok(())
    }

    /// Remembers whether the sidebar shows a folder closed.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub fn collapse_folder(&self, id: FolderId, collapsed: bool) -> Result<()> {
        self.inner.library.collapse_folder(id, collapsed)?;
        self.inner.outbox.library();
        Ok(())
    }

    /// Moves a folder to an index.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub fn move_folder(&self, id: FolderId, index: usize) -> Result<()> {
        self.inner.library.move_folder(id, index)?;
        self.inner.outbox.library();
        Ok(())
    }

    /// What is in a certificate or key file.
    ///
    /// # Errors
    /// `internal` only: what is wrong with the file is in the report.
    pub async fn inspect_file(&self, path: String) -> Result<FileReport> {
        blocking(move || Ok(identity::report_file(&path, None))).await
    }

    fn library_changed(&self, id: ProfileId) {
        self.inner.follow_keeping();
        self.inner.outbox.library();
        self.inner.outbox.connection(id);
    }
}

/// Connections.
impl Engine {
    /// Every connection that was used since the engine started.
    pub fn connections(&self) -> Vec<ConnectionStatus> {
        let connections: Vec<_> = lock(&self.inner.connections).values().cloned().collect();
        connections.iter().map(|connection| self.status_of(connection)).collect()
    }

    /// The connection of a profile, made known (idle) when it is new: its stored rows and subscriptions are
    /// there before it ever connects.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub fn open_connection(&self, id: ProfileId) -> Result<ConnectionStatus> {
        let connection = self.connection(id)?;
        Ok(self.status_of(&connection))
    }

    /// Starts connecting; what follows is told by events.
    ///
    /// # Errors
    /// `already_connected`, `secret_needed`, `vault_locked`, `not_found`, `storage`.
    pub async fn connect(&self, id: ProfileId) -> Result<()> {
        let profile = self.inner.library.profile(id)?;
        let wanted = profile.clone();
        let secrets = self
            .with_vault(move |vault| vault.secrets_for(&wanted, |given| missing_for_the_key(&wanted, given)))
            .await?;
        let connection = self.connection(id)?;
        connection.connect(SessionConfig { profile, secrets, keep_trying: false })
    }

    /// Disconnects cleanly, or gives up connecting.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn disconnect(&self, id: ProfileId) -> Result<()> {
        self.connection(id)?.disconnect().await;
        Ok(())
    }

    /// Ends the wait before a retry.
    ///
    /// # Errors
    /// `not_found`.
    pub fn retry_now(&self, id: ProfileId) -> Result<()> {
        self.connection(id)?.retry_now();
        Ok(())
    }

    /// Gives up retrying.
    ///
    /// # Errors
    /// `not_found`.
    pub fn stop_retrying(&self, id: ProfileId) -> Result<()> {
        self.connection(id)?.stop_retrying();
        Ok(())
    }

    /// One attempt with a draft as it stands, then DISCONNECT. Secrets that are not edited are those of the
    /// saved connection.
    ///
    /// # Errors
    /// `invalid_input`, `vault_locked`, `cancelled`.
    pub async fn test_connection(&self, draft: ProfileDraft, edits: Vec<SecretEdit>) -> Result<Trace> {
        let profile = draft::build(draft)?;
        let id = profile.id;
        let wanted = profile.clone();
        let secrets = self.with_vault(move |vault| vault.secrets_for_draft(&wanted, &edits)).await?;
        let outbox = self.inner.outbox.clone();
        let observer = Arc::new(move |trace: Trace| outbox.trace(id, true, trace));
        let config = SessionConfig { profile, secrets, keep_trying: false };
        one_at_a_time(&self.inner.tests, id, session::test(config, observer)).await
    }

    /// Ends a test that is under way.
    pub fn cancel_test(&self, id: ProfileId) {
        cancel(&self.inner.tests, id);
    }

    /// Finds out what the port of a draft speaks, without credentials of the broker. Only ever at a person's
    /// request, within [`probe::TIMEOUT_S`]. Secrets that are not edited are those of the saved connection.
    ///
    /// # Errors
    /// `invalid_input`, `cancelled`.
    pub async fn probe(&self, draft: ProfileDraft, edits: Vec<SecretEdit>) -> Result<ProbeReport> {
        let profile = draft::build(draft)?;
        let id = profile.id;
        let mut wanted = profile.clone();
        // A probe goes through the proxy and shows the server nothing else, so nothing else is taken out of the vault.
        wanted.settings = Settings { proxy: profile.settings.proxy.clone(), ..Settings::default() };
        let secrets = self.with_vault(move |vault| vault.secrets_for_draft(&wanted, &edits)).await?;
        let config = ProbeConfig { profile, secrets, timeout_s: probe::TIMEOUT_S };
        one_at_a_time(&self.inner.probes, id, probe::probe(config, |_| {})).await
    }

    /// Ends a probe that is under way.
    pub fn cancel_probe(&self, id: ProfileId) {
        cancel(&self.inner.probes, id);
    }

    /// The latest attempts of a connection, newest first, those of earlier runs included; at most 50.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub async fn traces(&self, id: ProfileId) -> Result<Vec<Trace>> {
        let mut traces = self.connection(id)?.traces();
        let attempts = self.inner.attempts.clone();
        let kept = blocking(move || attempts.list(id)).await?;
        let is_known = |trace: &Trace| traces.iter().any(|t| t.started_at == trace.started_at);
        let earlier: Vec<_> = kept.into_iter().filter(|trace| !is_known(trace)).collect();
        traces.extend(earlier);
        traces.truncate(attempts::KEPT);
        Ok(traces)
    }

    /// Adds or replaces a subscription of the saved connection, and sends the difference when connected.
    ///
    /// # Errors
    /// `invalid_input` for the filter, `refused`, `connection_lost`, `storage`.
    pub async fn save_subscription(
        &self,
        id: ProfileId,
        subscription: Subscription,
    ) -> Result<SubscriptionState> {
        topic::check_filter(&subscription.filter)
            .map_err(|error| Error::topic("filter", "The topic filter", error))?;
        self.inner.library.edit(id, |profile| {
            let list = &mut profile.settings.subscriptions;
            match list.iter_mut().find(|known| known.filter == subscription.filter) {
                Some(known) => *known = subscription.clone(),
                None => list.push(subscription.clone()),
            }
        })?;
        self.connection(id)?.save_subscription(subscription).await
    }

    /// Removes a subscription of the saved connection, and unsubscribes when connected.
    ///
    /// # Errors
    /// `refused`, `connection_lost`, `storage`.
    pub async fn delete_subscription(&self, id: ProfileId, filter: &str) -> Result<()> {
        self.inner.library.edit(id, |profile| {
            profile.settings.subscriptions.retain(|known| known.filter != filter);
        })?;
        self.connection(id)?.delete_subscription(filter).await
    }

    /// Publishes and waits for the outcome.
    ///
    /// # Errors
    /// `invalid_input`, `not_connected`, `limit_exceeded`, `refused`, `connection_lost`, `file`.
    pub async fn publish(&self, id: ProfileId, request: PublishRequest) -> Result<PublishOutcome> {
        topic::check_name(&request.topic).map_err(|error| Error::topic("topic", "The topic", error))?;
        let PublishRequest { topic, payload, qos, retain, properties } = request;
        let payload: Bytes = blocking(move || draft::payload_bytes(&payload)).await?;
        let publication = Publication { topic, payload, qos, retain, properties };
        self.connection(id)?.publish(publication).await
    }

    fn connection(&self, id: ProfileId) -> Result<Arc<Connection>> {
        if let Some(connection) = lock(&self.inner.connections).get(&id) {
            return Ok(connection.clone());
        }
        let profile = self.inner.library.profile(id)?;
        let sink = self.inner.history.split(id);
        let mut connections = lock(&self.inner.connections);
        let make = || Connection::new(profile, sink, self.inner.outbox.clone(), self.inner.attempts.clone());
        let connection = connections.entry(id).or_insert_with(make).clone();
        self.inner.outbox.connection(id);
        Ok(connection)
    }
}

/// Messages.
impl Engine {
    /// Opens a view on the rows of a connection.
    ///
    /// # Errors
    /// `invalid_input` for the filter, `storage`.
    pub async fn open_view(&self, id: ProfileId, filter: RowFilter) -> Result<OpenView> {
        let (view, count) = self.inner.history.open_view(id, filter).await?;
        Ok(OpenView { view, count })
    }

    /// Closes a view.
    pub fn close_view(&self, view: ViewId) {
        self.inner.history.close_view(view);
    }

    /// Ends the search of a view where it is, or goes on with it.
    ///
    /// # Errors
    /// `not_found`.
    pub fn stop_search(&self, view: ViewId, stopped: bool) -> Result<()> {
        self.inner.history.stop_search(view, stopped)
    }

    /// Rows of a view.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub async fn page(&self, view: ViewId, start: u64, limit: u32) -> Result<Page> {
        self.inner.history.page(view, start, limit).await
    }

    /// How much is kept of messages.
    ///
    /// # Errors
    /// `storage`.
    pub fn keeping(&self) -> Result<Keeping> {
        self.inner.keeping()
    }

    /// Sets how much is kept of messages; what is beyond goes soon after.
    ///
    /// # Errors
    /// `storage`.
    pub fn set_keeping(&self, keeping: Keeping) -> Result<()> {
        let value = serde_json::to_value(keeping).unwrap_or(Value::Null);
        self.inner.library.set_value(KEEPING, value)?;
        self.inner.follow_keeping();
        Ok(())
    }

    /// Where the first row of a view stands that is from the time on.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub async fn index_at(&self, view: ViewId, time: UnixMicros) -> Result<u64> {
        self.inner.history.index_at(view, time).await
    }

    /// The newest rows of a view, at most `limit`; without those up to the number `after`, which the asker has.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub async fn tail(&self, view: ViewId, limit: u32, after: Option<Seq>) -> Result<Page> {
        self.inner.history.tail(view, limit, after).await
    }

    /// Where a row stands in a view.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub async fn index_of(&self, view: ViewId, seq: Seq) -> Result<Option<u64>> {
        self.inner.history.index_of(view, seq).await
    }

    /// A message but for its payload.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub async fn message_detail(&self, id: ProfileId, seq: Seq) -> Result<MessageDetail> {
        self.inner.history.detail(id, seq).await
    }

    /// A part of a payload.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub async fn message_payload(&self, id: ProfileId, seq: Seq, offset: u64, limit: u64) -> Result<Vec<u8>> {
        self.inner.history.payload(id, seq, offset, limit).await
    }

    /// Writes a whole payload to a file and says how many bytes.
    ///
    /// # Errors
    /// `not_found`, `storage`, `file`.
    pub async fn save_message_payload(&self, id: ProfileId, seq: Seq, path: &Path) -> Result<u64> {
        self.inner.history.save_payload(id, seq, path).await
    }

    /// Pins a message, so that no limit lets go of it, or takes the pin away.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub async fn pin_message(&self, id: ProfileId, seq: Seq, pinned: bool) -> Result<()> {
        self.inner.history.pin(id, seq, pinned).await
    }

    /// Compares the payloads of two messages, of any size.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub async fn compare_payloads(&self, id: ProfileId, a: Seq, b: Seq) -> Result<Comparison> {
        self.inner.history.compare(id, a, b).await
    }

    /// The first difference of two payloads from an offset on; or the last one before it, `backwards`.
    ///
    /// # Errors
    /// `not_found`, `storage`.
    pub async fn find_difference(
        &self,
        id: ProfileId,
        a: Seq,
        b: Seq,
        offset: u64,
        backwards: bool,
    ) -> Result<Option<Difference>> {
        let seek = if backwards { Seek::Previous(offset) } else { Seek::Next(offset) };
        self.inner.history.find_difference(id, a, b, seek).await
    }

    /// Deletes all rows of a connection and says how many.
    ///
    /// # Errors
    /// `storage`.
    pub async fn clear_history(&self, id: ProfileId) -> Result<u64> {
        let count = self.inner.history.clear(id).await?;
        self.inner.outbox.connection(id);
        Ok(count)
    }
}

/// The local broker.
impl Engine {
    /// What the local broker is doing.
    pub async fn broker_status(&self) -> BrokerStatus {
        let state = self.inner.broker.lock().await;
        self.broker_status_of(&state)
    }

    /// Starts the local broker, or starts it again with other options. A password is kept for later runs, as secrets
    /// are, and an empty one forgotten; without one, and with a user name, it is the one that is kept.
    ///
    /// # Errors
    /// `broker`: a port is in use, or its certificates cannot be written. `vault_locked`: the password is in the vault,
    /// and that is not open. `file`, `storage`.
    pub async fn start_broker(
        &self,
        options: BrokerOptions,
        password: Option<Secret>,
    ) -> Result<BrokerStatus> {
        let login = !options.username.is_empty();
        let password = self.with_vault(move |vault| match password {
            Some(password) if login && password.expose().is_empty() => vault.forget(BROKER).map(|()| None),
            Some(password) if login => {
                let mut secrets = Secrets::default();
                secrets.put(SecretField::Password, Some(password.clone()));
                if vault.status()?.keep != Keep::Never {
                    vault.put_all(BROKER, &secrets)?;
                }
                Ok(Some(password))
            }
            None if login => Ok(vault.all_of(BROKER)?.get(&SecretField::Password).cloned()),
            _ => Ok(None),
        });
        let password = password.await?;
        let mut state = self.inner.broker.lock().await;
        if let Some(earlier) = state.running.take() {
            earlier.stop().await;
        }
        self.inner
            .library
            .set_value(BROKER_OPTIONS, serde_json::to_value(&options).unwrap_or(Value::Null))?;
        let started = LocalBroker::start(&self.broker_dir(), &options, password).await;
        self.inner.outbox.broker();
        match started {
            Ok(broker) => {
                state.running = Some(broker);
                state.error = None;
                state.waits_for_vault = false;
                self.inner.library.set_value(BROKER_WANTED, Value::Bool(true))?;
                Ok(self.broker_status_of(&state))
            }
            Err(error) => {
                state.error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Starts the local broker when it ran as the window was last closed. One that demands a password waits for the
    /// vault that keeps it, and stays off when it was not kept.
    ///
    /// # Errors
    /// As [`Self::start_broker`].
    pub async fn resume_broker(&self) -> Result<()> {
        let wanted = self.inner.library.value(BROKER_WANTED)? == Some(Value::Bool(true));
        let options = self.broker_options();
        let login = !options.username.is_empty();
        if !wanted || self.inner.broker.lock().await.running.is_some() {
            return Ok(());
        }
        if login && self.with_vault(|vault| vault.places(BROKER)).await?.is_empty() {
            return Ok(());
        }
        match self.start_broker(options, None).await {
            Err(error) if error.code == ErrorCode::VaultLocked => {
                let mut state = self.inner.broker.lock().await;
                state.error = Some(error);
                state.waits_for_vault = true;
                self.inner.outbox.broker();
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    /// Starts the local broker when the vault that it waited for may have opened.
    async fn resume_broker_with_vault(&self) {
        let open = self.vault_status().await.is_ok_and(|status| status.state == VaultState::Open);
        if open && std::mem::take(&mut self.inner.broker.lock().await.waits_for_vault) {
            let _ = self.resume_broker().await;
        }
    }

    /// Gives a connection to the local broker the broker's own password.
    ///
    /// # Errors
    /// `vault_locked`, `file`, `storage`.
    pub async fn lend_broker_password(&self, id: ProfileId) -> Result<()> {
        self.with_vault(move |vault| vault.put_all(id, &vault.all_of(BROKER)?)).await
    }

    /// Stops the local broker and frees its ports.
    ///
    /// # Errors
    /// `storage`.
    pub async fn stop_broker(&self) -> Result<BrokerStatus> {
        let mut state = self.inner.broker.lock().await;
        if let Some(broker) = state.running.take() {
            broker.stop().await;
        }
        state.error = None;
        state.waits_for_vault = false;
        self.inner.library.set_value(BROKER_WANTED, Value::Bool(false))?;
        self.inner.outbox.broker();
        Ok(self.broker_status_of(&state))
    }

    fn broker_dir(&self) -> PathBuf {
        self.inner.data_dir.join("broker")
    }

    fn broker_options(&self) -> BrokerOptions {
        let saved = self.inner.library.value(BROKER_OPTIONS).ok().flatten();
        saved.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
    }

    fn broker_status_of(&self, state: &BrokerState) -> BrokerStatus {
        BrokerStatus {
            running: state.running.is_some(),
            urls: state.running.as_ref().map(|broker| broker.urls().to_vec()).unwrap_or_default(),
            error: state.error.clone(),
            files: broker::existing_certificates(&self.broker_dir()),
            options: self.broker_options(),
            password_place: self.inner.vault.places(BROKER).ok().and_then(|kept| Some(kept.first()?.place)),
        }
    }
}

/// The window.
impl Engine {
    /// Facts about this installation.
    pub fn app_info(&self) -> AppInfo {
        AppInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            platform: std::env::consts::OS.to_owned(),
            data_dir: self.inner.data_dir.display().to_string(),
            history_bytes: self.history_bytes(),
        }
    }

    /// A value the window keeps: drafts, sizes, settings. Never a secret.
    ///
    /// # Errors
    /// `storage`.
    pub fn value(&self, key: &str) -> Result<Option<Value>> {
        self.inner.library.value(&window_key(key))
    }

    /// Keeps a value for the window.
    ///
    /// # Errors
    /// `storage`.
    pub fn set_value(&self, key: &str, value: &Value) -> Result<()> {
        self.inner.library.set_value(&window_key(key), value.clone())
    }
}

impl Engine {
    /// The database with its log; a file that is not there yet counts nothing.
    fn history_bytes(&self) -> u64 {
        let size =
            |name: &str| std::fs::metadata(self.inner.data_dir.join(name)).map_or(0, |file| file.len());
        size("messages.db") + size("messages.db-wal")
    }
}

/// The window's keys cannot touch the engine's own.
fn window_key(key: &str) -> String {
    format!("window.{key}")
}

/// Does the work unless it is cancelled; cancels an earlier one for the same draft.
async fn one_at_a_time<T>(
    running: &Mutex<Cancellations>,
    id: ProfileId,
    work: impl Future<Output = T>,
) -> Result<T> {
    let cancel = CancellationToken::new();
    if let Some(earlier) = lock(running).insert(id, cancel.clone()) {
        earlier.cancel();
    }
    tokio::select! {
        done = work => {
            lock(running).remove(&id);
            Ok(done)
        }
        () = cancel.cancelled() => Err(Error::new(ErrorCode::Cancelled, "It was cancelled")),
    }
}

fn cancel(running: &Mutex<Cancellations>, id: ProfileId) {
    if let Some(cancel) = lock(running).remove(&id) {
        cancel.cancel();
    }
}

/// Runs what waits for a disk away from the tasks that serve sockets.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorCode::Internal, "A background task failed")))
}

/// A poisoned lock guards values that are replaced whole, so they are still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
