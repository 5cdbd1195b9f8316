//! Messages on their way into files and out of them, each at a person's request: exports, recordings, imports,
//! replays. In: one call that begins it, one that steers it. Out: how far it has come, as a mark in the outbox at most
//! four times a second, and what it came to, once. At most 16 are under way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use ts_rs::TS;

use super::{Engine, EngineEvent, blocking, lock};
use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::history::{ExportOrder, Exported, Imported, RowFilter};
use crate::profile::{ProfileDraft, ProfileId, Retention};
use crate::recording::{self, LineProblem, Lines, Progress, RecordingFormat};
use crate::replay::{self, ReplayControl, ReplayOptions, Replayed};

/// How many may be under way at once.
const MOST: usize = 16;
/// How long a window that closes waits for their ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// Names a transfer.
pub type TransferId = u32;

/// What a transfer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum TransferKind {
    /// Stored messages go into a file.
    Export,
    /// What arrives goes into a file.
    Record,
    /// Messages of a file become stored ones.
    Import,
    /// Messages of a file are published.
    Replay,
}

/// How a transfer does.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "state", rename_all = "snake_case")]
#[ts(export)]
pub enum TransferState {
    /// It is under way.
    Running,
    /// It is held.
    Paused,
    /// It came to its end, or was stopped where that is its end.
    Done,
    /// It ended before its end.
    Failed {
        /// Why; `cancelled` when the person stopped it.
        error: Error,
    },
}

/// What a transfer came to, or has come to so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct TransferCounts {
    /// Messages written, taken in or published.
    pub messages: u64,
    /// Events that were left out of an export.
    pub events: u64,
    /// Stored messages that were left out, since the database is damaged where they stand.
    pub damaged: u64,
    /// Lines of a file that are no messages.
    pub unreadable: u64,
    /// Imported messages that are older than one before them.
    pub earlier: u64,
    /// Publications that were refused.
    pub refused: u64,
    /// Publications that were lost with the connection.
    pub lost: u64,
    /// The first lines with problems.
    pub problems: Vec<LineProblem>,
}

/// A transfer as the window shows it.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct TransferStatus {
    /// Its name.
    pub id: TransferId,
    /// Whose messages.
    pub connection: ProfileId,
    /// What it does.
    pub kind: TransferKind,
    /// The file.
    pub path: String,
    /// How it does.
    pub state: TransferState,
    /// How much of it is done, from 0 to 1; `None` where there is no end to be seen.
    pub share: Option<f64>,
    /// Counts.
    pub counts: TransferCounts,
}

/// The transfers that are under way, or have just ended.
#[derive(Default)]
pub(super) struct Transfers {
    next: TransferId,
    all: BTreeMap<TransferId, Arc<Transfer>>,
}

struct Transfer {
    connection: ProfileId,
    kind: TransferKind,
    path: PathBuf,
    progress: Arc<Progress>,
    control: ReplayControl,
    ended: Mutex<Option<(TransferState, TransferCounts)>>,
    /// What was told last.
    told: Mutex<(u64, u64)>,
}

impl Transfer {
    fn status(&self, id: TransferId) -> TransferStatus {
        let (done, of) = self.progress.share();
        let running = if self.control.is_paused() { TransferState::Paused } else { TransferState::Running };
        let counts = TransferCounts { messages: self.progress.messages(), ..TransferCounts::default() };
        let (state, counts) = lock(&self.ended).clone().unwrap_or((running, counts));
        let share = (of > 0 && self.kind != TransferKind::Record).then(|| done as f64 / of as f64);
        let path = self.path.display().to_string();
        TransferStatus { id, connection: self.connection, kind: self.kind, path, state, share, counts }
    }

    /// Whether it has come further since it was told.
    fn moved(&self) -> bool {
        let now = (self.progress.messages(), self.progress.share().0);
        std::mem::replace(&mut *lock(&self.told), now) != now
    }
}

/// Transfers of messages.
impl Engine {
    /// Begins to write the stored messages that a filter lets through to a file.
    ///
    /// # Errors
    /// `limit_exceeded`: too many transfers are under way. What else may go wrong is told by its end.
    pub fn export_messages(
        &self,
        id: ProfileId,
        filter: RowFilter,
        format: RecordingFormat,
        path: &Path,
    ) -> Result<TransferId> {
        let order = ExportOrder { profile: id, filter, format };
        let history = self.inner.history.clone();
        let target = path.to_owned();
        self.begin(id, TransferKind::Export, path, |progress, control| async move {
            history.export(order, &target, progress, control.stop).await.map(Outcome::from)
        })
    }

    /// Begins to write the messages that arrive from now on to a file, until it is stopped.
    ///
    /// # Errors
    /// `file`: it cannot be written; `limit_exceeded`; `storage`.
    pub async fn record_messages(&self, id: ProfileId, path: &Path) -> Result<TransferId> {
        let recording = self.inner.history.record(id, path).await?;
        self.begin(id, TransferKind::Record, path, |progress, control| async move {
            recording.run(progress, control.stop).await.map(Outcome::from)
        })
    }

    /// Begins to take the messages of a file in, into a connection that is made for them: with the settings of this
    /// one, but without its subscriptions, its secrets and its limits of what is kept. So they stand by themselves, in
    /// the order of their times, and none of this one's own goes to make room. Returns the new connection; it is gone
    /// again when nothing could be taken in, or when it is stopped.
    ///
    /// # Errors
    /// `file`: it cannot be read; `limit_exceeded`, `not_found`, `storage`.
    pub async fn import_messages(&self, id: ProfileId, path: &Path) -> Result<ProfileId> {
        let file = path.to_owned();
        blocking(move || Lines::open(&file).map(drop).map_err(|error| recording::unreadable(&file, &error)))
            .await?;
        let profile = self.inner.library.profile(id)?;
        let folder = self.inner.library.tree()?.profiles.into_iter().find(|entry| entry.id == id);
        let fresh = self.new_draft();
        let mut settings = profile.settings;
        settings.session.client_id = fresh.settings.session.client_id;
        settings.subscriptions.clear();
        settings.retention = Some(Retention { max_bytes: None, max_rows: None, max_age_s: None });
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let draft = ProfileDraft { id: fresh.id, name, endpoint: profile.endpoint.into(), settings };
        let made = self.save_profile(draft, folder.and_then(|entry| entry.folder), Vec::new()).await?.id;
        let (engine, file) = (self.clone(), path.to_owned());
        let begun = self.begin(made, TransferKind::Import, path, |progress, control| async move {
            let imported = engine.inner.history.import(made, &file, progress, control.stop).await;
            let imported = imported.and_then(|imported| match imported.messages {
                0 => Err(recording::no_recording(&file, &imported.problems)),
                _ => Ok(imported),
            });
            if imported.is_err() {
                engine.unmake(made).await;
            }
            imported.map(Outcome::from)
        });
        if begun.is_err() {
            self.unmake(made).await;
        }
        begun.map(|_| made)
    }

    /// Begins to publish the messages of a file over a connection.
    ///
    /// # Errors
    /// `invalid_input` on the options; `not_connected`, `not_found`, `limit_exceeded`.
    pub fn replay_file(&self, id: ProfileId, path: &Path, options: ReplayOptions) -> Result<TransferId> {
        options.check()?;
        let session = self.connection(id)?.connected()?;
        let file = path.to_owned();
        self.begin(id, TransferKind::Replay, path, |progress, control| async move {
            replay::replay(session, &file, options, progress, control).await.map(Outcome::from)
        })
    }

    /// Every transfer that is under way.
    pub fn transfers(&self) -> Vec<TransferStatus> {
        lock(&self.inner.transfers).all.iter().map(|(id, transfer)| transfer.status(*id)).collect()
    }

    /// Holds a replay, or lets it go on. Another transfer goes on.
    pub fn pause_transfer(&self, id: TransferId, paused: bool) {
        if let Some(transfer) = lock(&self.inner.transfers).all.get(&id)
            && transfer.kind == TransferKind::Replay
        {
            transfer.control.pause(paused);
            self.inner.outbox.transfer(id);
        }
    }

    /// Ends a transfer: a recording is complete then, an export or import leaves nothing behind, of a replay what
    /// was sent was sent.
    pub fn stop_transfer(&self, id: TransferId) {
        if let Some(transfer) = lock(&self.inner.transfers).all.get(&id) {
            transfer.control.stop.cancel();
        }
    }

    /// Ends all and waits until they have ended; not for ever, since a disk may hang.
    pub(super) async fn end_transfers(&self) {
        for transfer in lock(&self.inner.transfers).all.values() {
            transfer.control.stop.cancel();
        }
        self.inner.under_way.close();
        if tokio::time::timeout(PATIENCE, self.inner.under_way.wait()).await.is_err() {
            tracing::warn!("a file was not written to its end");
        }
    }

    /// Those that have come further since the last call.
    pub(super) fn moved_transfers(&self) -> Vec<TransferId> {
        let transfers = lock(&self.inner.transfers);
        transfers.all.iter().filter(|(_, transfer)| transfer.moved()).map(|(id, _)| *id).collect()
    }

    /// What there is to tell of a transfer. One that has ended is told for the last time.
    pub(super) fn tell_transfer(&self, id: TransferId) -> Option<EngineEvent> {
        let mut transfers = lock(&self.inner.transfers);
        let status = transfers.all.get(&id)?.status(id);
        if matches!(status.state, TransferState::Done | TransferState::Failed { .. }) {
            transfers.all.remove(&id);
        }
        Some(EngineEvent::Transfer(status))
    }

    fn begin<W>(
        &self,
        connection: ProfileId,
        kind: TransferKind,
        path: &Path,
        work: impl FnOnce(Arc<Progress>, ReplayControl) -> W,
    ) -> Result<TransferId>
    where
        W: Future<Output = Result<Outcome>> + Send + 'static,
    {
        let transfer = Arc::new(Transfer {
            connection,
            kind,
            path: path.to_owned(),
            progress: Arc::default(),
            control: ReplayControl::default(),
            ended: Mutex::default(),
            told: Mutex::default(),
        });
        let id = {
            let mut transfers = lock(&self.inner.transfers);
            if transfers.all.len() >= MOST {
                let message =
                    format!("No more than {MOST} files can be written or read at once: wait for one");
                return Err(Error::because(ErrorCode::LimitExceeded, ErrorReason::TooManyTransfers, message)
                    .with("most", MOST));
            }
            transfers.next += 1;
            let id = transfers.next;
            transfers.all.insert(id, transfer.clone());
            id
        };
        let outbox = self.inner.outbox.clone();
        let work = work(transfer.progress.clone(), transfer.control.clone());
        self.inner.under_way.spawn(async move {
            let (state, counts) = match work.await {
                Ok(Outcome { counts, error: None }) => (TransferState::Done, counts),
                Ok(Outcome { counts, error: Some(error) }) => (TransferState::Failed { error }, counts),
                Err(error) => {
                    let messages = transfer.progress.messages();
                    (
                        TransferState::Failed { error },
                        TransferCounts { messages, ..TransferCounts::default() },
                    )
                }
            };
            *lock(&transfer.ended) = Some((state, counts));
            outbox.transfer(id);
        });
        self.inner.outbox.transfer(id);
        Ok(id)
    }

    /// Takes back a connection that was made for an import.
    async fn unmake(&self, id: ProfileId) {
        let gone = async {
            self.delete_profile(id).await?;
            self.inner.history.clear(id).await
        };
        if let Err(error) = gone.await {
            tracing::warn!(%error, "what an import made could not be taken back");
        }
    }
}

/// What a transfer came to, and why it ended before its end.
struct Outcome {
    counts: TransferCounts,
    error: Option<Error>,
}

impl From<Exported> for Outcome {
    fn from(Exported { messages, events, damaged }: Exported) -> Self {
        Self {
            counts: TransferCounts { messages, events, damaged, ..TransferCounts::default() },
            error: None,
        }
    }
}

impl From<Imported> for Outcome {
    fn from(Imported { messages, earlier, unreadable, problems }: Imported) -> Self {
        let counts = TransferCounts { messages, earlier, unreadable, problems, ..TransferCounts::default() };
        Self { counts, error: None }
    }
}

impl From<Replayed> for Outcome {
    fn from(Replayed { published, refused, lost, unreadable, problems, error }: Replayed) -> Self {
        let counts = TransferCounts {
            messages: published,
            refused,
            lost,
            unreadable,
            problems,
            ..TransferCounts::default()
        };
        Self { counts, error }
    }
}
