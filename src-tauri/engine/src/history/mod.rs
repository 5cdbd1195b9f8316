//! What is kept: every message and every event of a connection, in SQLite, written in batches by one
//! thread; readers pull what is on screen. In: messages. Out: rows, payload bytes, counts. Never waits for
//! the disk on behalf of a session, and never drops anything without a count and a row that says so.
//!
//! [`queue`] takes items from the sessions, [`writer`] puts them into the file, [`store`] is that file,
//! [`block`] how a thousand rows stand in it, [`view`] answers what a table on screen asks for, [`compare`] tells two
//! payloads apart, [`export`] and [`import`] are the ways into other files and back. [`live`] holds what is never
//! stored.

mod block;
mod compare;
mod condition;
mod export;
mod import;
mod live;
mod queue;
mod store;
mod view;
mod writer;

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot, watch};
use ts_rs::TS;

use self::compare::Payload;
pub use self::compare::{Comparison, Difference, Seek};
pub use self::export::{ExportOrder, Exported, Recording};
pub use self::import::Imported;
pub use self::live::LiveSplit;
use self::live::{Live, LiveView};
use self::queue::{Bounds, Entry, Queue};
use self::view::{View, Wanted};
use self::writer::Writer;
use crate::database;
use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::message::{Clock, Direction, EventFacts, EventKind, MessageProperties, MessageSink, UnixMicros};
use crate::profile::{ProfileId, Qos, Retention};
use crate::whole_file;

/// Rows that one page holds at most.
pub const PAGE_ROWS: u32 = 1_000;

const VIEWS: usize = 64;
const READERS: usize = 4;
/// How long a page may search for new matches before it answers with what it has.
const SEARCH_IN_PAGE: Duration = Duration::from_millis(10);
/// How long a search in the background keeps a reader before others get their turn.
const SEARCH_AT_ONCE: Duration = Duration::from_millis(30);
/// Bytes copied at a time when a payload is saved to a file.
const COPY: u64 = 1 << 20;

/// All messages and events kept, of all profiles. Clones share it.
#[derive(Clone)]
pub struct History(Arc<Inner>);

/// Whether what arrives can be written.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum StorageHealth {
    /// It can.
    #[default]
    Ok,
    /// It cannot; it is kept in memory as far as there is room, and tried again.
    Failing {
        /// Why.
        error: Error,
    },
}

struct Inner {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    live: Arc<Live>,
    views: Mutex<HashMap<ViewId, Shown>>,
    next_view: AtomicU32,
    writer: Mutex<Option<JoinHandle<Result<()>>>>,
}

/// What a view is on.
#[derive(Clone)]
enum Shown {
    Stored(Arc<View>),
    Live(Arc<LiveView>),
}

impl Shown {
    fn close(&self) {
        if let Self::Stored(view) = self {
            view.close();
        }
    }
}

/// What the writer tells everybody.
#[derive(Default)]
struct Shared {
    changes: watch::Sender<u64>,
    health: watch::Sender<StorageHealth>,
    damage: watch::Sender<Option<Error>>,
    stored: Mutex<HashMap<ProfileId, u64>>,
    /// Rows that limits have let go of.
    let_go: Mutex<HashMap<ProfileId, u64>>,
    /// Rows that retention leaves alone for now.
    holds: Mutex<Vec<export::Held>>,
    /// Whether the writer was asked to mend what a reader met, and has not yet.
    mending: AtomicBool,
    /// The most pages that the file may have, to make a full disk; 0 leaves it alone.
    #[cfg(test)]
    page_limit: std::sync::atomic::AtomicU32,
}

impl History {
    /// Opens the file, made if missing, and starts the thread that writes to it.
    ///
    /// # Errors
    /// `storage`: the file cannot be used; it is left as it is.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, Bounds::default(), || Clock::start().now())
    }

    fn open_with(path: &Path, bounds: Bounds, now: fn() -> UnixMicros) -> Result<Self> {
        let connection = database::open(path, &store::migrations())?;
        let shared = Arc::new(Shared::default());
        let wrong = |e| database::storage(path, &e);
        if store::mend(&connection).map_err(wrong)? {
            shared.set_damage(mended(path));
        }
        let extents: HashMap<_, _> = store::extents(&connection).map_err(wrong)?.into_iter().collect();
        for (profile, extent) in &extents {
            shared.set_stored(*profile, extent.rows());
        }
        let queue = Arc::new(Queue::new(bounds));
        let readers = Arc::new(Readers::new(path));
        let file = (connection, extents, Arc::clone(&readers));
        let writer = Writer::new(file, Arc::clone(&queue), Arc::clone(&shared), now);
        let thread = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || writer.run())
            .map_err(|e| Error::new(ErrorCode::Internal, format!("A thread cannot be started: {e}")))?;
        Ok(Self(Arc::new(Inner {
            queue,
            shared,
            readers,
            live: Arc::default(),
            views: Mutex::default(),
            next_view: AtomicU32::new(1),
            writer: Mutex::new(Some(thread)),
        })))
    }

    /// Where a session puts what it received and sent; bounded in items and bytes for each profile.
    pub fn sink(&self, profile: ProfileId) -> Arc<dyn MessageSink> {
        Arc::new(self.0.queue.sink(profile))
    }

    /// The same, but that messages of subscriptions that are live only go by, and never reach the file.
    pub fn split(&self, profile: ProfileId) -> Arc<LiveSplit> {
        let Inner { live, shared, .. } = &*self.0;
        Arc::new(LiveSplit::new(profile, self.sink(profile), Arc::clone(live), Arc::clone(shared)))
    }

    /// Messages of a profile that were shown live only since the history was opened.
    pub fn live_only(&self, profile: ProfileId) -> u64 {
        self.0.live.passed(profile)
    }

    /// Ticks after each commit, and when a search got further.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.shared.changes.subscribe()
    }

    /// Whether what arrives can be written.
    pub fn health(&self) -> watch::Receiver<StorageHealth> {
        self.0.shared.health.subscribe()
    }

    /// What was found to be wrong with the file, beyond rows that say so themselves: `storage` with `details.reason` `mended`
    /// (where messages are was looked for anew) or `set_aside` (it could not be written any more and is called
    /// `details.aside` now; there is a new one).
    pub fn damage(&self) -> watch::Receiver<Option<Error>> {
        self.0.shared.damage.subscribe()
    }

    /// Rows kept of a profile.
    pub fn stored(&self, profile: ProfileId) -> u64 {
        lock(&self.0.shared.stored).get(&profile).copied().unwrap_or(0)
    }

    /// Rows of a profile that limits of what is kept have let go of since the history was opened.
    pub fn let_go(&self, profile: ProfileId) -> u64 {
        lock(&self.0.shared.let_go).get(&profile).copied().unwrap_or(0)
    }

    /// Items of a profile that were given up since the history was opened.
    pub fn dropped(&self, profile: ProfileId) -> u64 {
        self.0.queue.dropped(profile)
    }

    /// Sets how much is kept; what is beyond goes soon after.
    pub fn set_retention(&self, rules: RetentionRules) {
        // A closed history keeps what it has.
        self.0.queue.push(Entry::Retention(rules));
    }

    /// Opens a view on a profile's rows. It is live: pages show what was stored meanwhile.
    ///
    /// # Errors
    /// `invalid_input` on `text` or `topics`; `limit_exceeded` with 64 views open; `storage`.
    pub async fn open_view(&self, profile: ProfileId, filter: RowFilter) -> Result<(ViewId, ViewCount)> {
        let view = if filter.live {
            Shown::Live(Arc::new(LiveView::new(profile, &filter)?))
        } else {
            Shown::Stored(Arc::new(View::new(profile, &filter)?))
        };
        let count = self.look(&view, Wanted::Last(0, None)).await?.count;
        let id = self.0.next_view.fetch_add(1, Ordering::Relaxed);
        let mut views = lock(&self.0.views);
        if views.len() >= VIEWS {
            view.close();
            let message = format!("No more than {VIEWS} views can be open at once");
            return Err(Error::because(ErrorCode::LimitExceeded, ErrorReason::TooManyViews, message)
                .with("most", VIEWS));
        }
        views.insert(id, view);
        Ok((id, count))
    }

    /// Closes a view; its search ends.
    pub fn close_view(&self, view: ViewId) {
        if let Some(view) = lock(&self.0.views).remove(&view) {
            view.close();
        }
    }

    /// Ends the search of a view where it is, or goes on with it. What was found stays, and what arrives is looked at all
    /// the same.
    ///
    /// # Errors
    /// `not_found`: no such view.
    pub fn stop_search(&self, view: ViewId, stopped: bool) -> Result<()> {
        if let Shown::Stored(view) = self.view(view)? {
            view.stop(stopped);
            self.0.shared.changed();
        }
        Ok(())
    }

    /// Rows of a view from index `start` on, at most [`PAGE_ROWS`] of them, in order of arrival.
    ///
    /// # Errors
    /// `not_found`: no such view; `storage`.
    pub async fn page(&self, view: ViewId, start: u64, limit: u32) -> Result<Page> {
        let view = self.view(view)?;
        self.look(&view, Wanted::From(start, limit.min(PAGE_ROWS))).await
    }

    /// The newest rows of a view, at most `limit` and at most [`PAGE_ROWS`] of them, in order of arrival; without those
    /// up to the number `after`, which the asker has.
    ///
    /// # Errors
    /// `not_found`: no such view; `storage`.
    pub async fn tail(&self, view: ViewId, limit: u32, after: Option<Seq>) -> Result<Page> {
        let view = self.view(view)?;
        self.look(&view, Wanted::Last(limit.min(PAGE_ROWS), after)).await
    }

    /// Where a row stands in a view, if it is in it.
    ///
    /// # Errors
    /// `not_found`: no such view; `storage`.
    pub async fn index_of(&self, view: ViewId, seq: Seq) -> Result<Option<u64>> {
        match self.view(view)? {
            Shown::Stored(view) => self.read(move |connection| view.index_of(connection, seq)).await,
            Shown::Live(view) => Ok(view.index_of(&self.0.live, seq)),
        }
    }

    /// Where the first row of a view stands that is from the time on; its number of rows, when all are before.
    ///
    /// # Errors
    /// `not_found`: no such view; `storage`.
    pub async fn index_at(&self, view: ViewId, time: UnixMicros) -> Result<u64> {
        match self.view(view)? {
            Shown::Stored(view) => self.read(move |connection| view.index_at(connection, time)).await,
            Shown::Live(view) => Ok(view.index_at(&self.0.live, time)),
        }
    }

    /// A whole row but for its payload.
    ///
    /// # Errors
    /// `not_found`: the row is not kept any more; `storage`.
    pub async fn detail(&self, profile: ProfileId, seq: Seq) -> Result<MessageDetail> {
        if live::is_live(seq) {
            return self.0.live.detail(profile, seq).ok_or_else(|| Error::not_found("The message"));
        }
        let detail = self.read(move |connection| {
            let connection = connection.unchecked_transaction()?;
            let extent = store::extent(&connection, profile)?;
            if !extent.contains(&connection, seq)? {
                return Ok(None);
            }
            let (row, properties, back) = match store::row_at(&connection, extent.number, seq) {
                Err(error) if store::is_damage(&error) => {
                    let row = store::damaged_row(&connection, extent.number, seq)?;
                    (row, MessageProperties::default(), None)
                }
                found => found?,
            };
            let mut previous_seq = back.map(|back| seq - back);
            if let Some(previous) = previous_seq
                && !extent.contains(&connection, previous)?
            {
                previous_seq = None;
            }
            let previous = match previous_seq {
                Some(previous) => store::time_at(&connection, extent.number, previous)?,
                None => None,
            };
            let since_previous_micros = previous.map(|previous| row.time - previous);
            Ok(Some(MessageDetail { row, properties, since_previous_micros, previous_seq }))
        });
        detail.await?.ok_or_else(|| Error::not_found("The message"))
    }

    /// Up to `limit` bytes of a payload from `offset` on; fewer at its end.
    ///
    /// # Errors
    /// `not_found`: the row is not kept any more; `storage`.
    pub async fn payload(&self, profile: ProfileId, seq: Seq, offset: u64, limit: u64) -> Result<Vec<u8>> {
        if live::is_live(seq) {
            let payload = self.live_payload(profile, seq)?;
            return Ok(store::part(&payload, offset, limit).to_vec());
        }
        let bytes = self.read(move |connection| {
            let connection = connection.unchecked_transaction()?;
            let extent = store::extent(&connection, profile)?;
            if !extent.contains(&connection, seq)? {
                return Ok(None);
            }
            store::payload_part(&connection, extent.number, seq, offset, limit).map(Some)
        });
        bytes.await?.ok_or_else(|| Error::not_found("The message"))
    }

    /// Writes a payload to a file, a part at a time, and returns its size in bytes. The file is there whole or
    /// as it was before.
    ///
    /// # Errors
    /// `not_found`: the row is not kept any more; `file`: the file cannot be written; `storage`.
    pub async fn save_payload(&self, profile: ProfileId, seq: Seq, path: &Path) -> Result<u64> {
        if live::is_live(seq) {
            let (payload, target) = (self.live_payload(profile, seq)?, path.to_owned());
            let write = move || whole_file::write(&target, &payload).map(|()| payload.len() as u64);
            let broken = |e: tokio::task::JoinError| Error::new(ErrorCode::Internal, e.to_string());
            return tokio::task::spawn_blocking(write).await.map_err(broken)?;
        }
        let target = path.to_owned();
        let saved = self.read(move |connection| {
            let connection = connection.unchecked_transaction()?;
            let extent = store::extent(&connection, profile)?;
            if !extent.contains(&connection, seq)? {
                return Ok(None);
            }
            let copy = |file: &mut std::fs::File| copy_payload(&connection, extent.number, seq, file);
            let written = whole_file::replace(&target, None, copy);
            match written {
                Ok(size) => Ok(Some(Ok(size))),
                Err(Unsaved::Database(error)) => Err(error),
                Err(Unsaved::File(error)) => Ok(Some(Err(whole_file::refused(&target, &error)))),
                Err(Unsaved::Stopped(error)) => Ok(Some(Err(error))),
            }
        });
        saved.await?.ok_or_else(|| Error::not_found("The message"))?
    }

    fn live_payload(&self, profile: ProfileId, seq: Seq) -> Result<Bytes> {
        let message = self.0.live.message(profile, seq).ok_or_else(|| Error::not_found("The message"))?;
        Ok(message.payload.clone())
    }

    /// Compares the payloads of two messages.
    ///
    /// # Errors
    /// `not_found`: one of them is not there any more; `storage`.
    pub async fn compare(&self, profile: ProfileId, a: Seq, b: Seq) -> Result<Comparison> {
        self.side_by_side(profile, a, b, compare::compare).await
    }

    /// One stretch of bytes in which two payloads differ.
    ///
    /// # Errors
    /// As [`Self::compare`].
    pub async fn find_difference(
        &self,
        profile: ProfileId,
        a: Seq,
        b: Seq,
        seek: Seek,
    ) -> Result<Option<Difference>> {
        let look = move |connection: &Connection, a: &dyn Payload, b: &dyn Payload| {
            compare::seek(connection, a, b, seek)
        };
        self.side_by_side(profile, a, b, look).await
    }

    /// Shows two payloads to `look`, which reads them in parts.
    async fn side_by_side<T: Send + 'static>(
        &self,
        profile: ProfileId,
        a: Seq,
        b: Seq,
        look: impl FnOnce(&Connection, &dyn Payload, &dyn Payload) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let live = Arc::clone(&self.0.live);
        let compared = self.read(move |connection| {
            let connection = connection.unchecked_transaction()?;
            let extent = store::extent(&connection, profile)?;
            let find = |seq| -> rusqlite::Result<Option<Box<dyn Payload>>> {
                if live::is_live(seq) {
                    let message = live.message(profile, seq);
                    return Ok(message.map(|message| Box::new(message.payload.clone()) as Box<dyn Payload>));
                }
                if !extent.contains(&connection, seq)? {
                    return Ok(None);
                }
                let size = store::payload_size(&connection, extent.number, seq)?;
                Ok(Some(Box::new(StoredPayload { number: extent.number, seq, size })))
            };
            let (Some(a), Some(b)) = (find(a)?, find(b)?) else { return Ok(None) };
            look(&connection, &*a, &*b).map(Some)
        });
        compared.await?.ok_or_else(|| Error::not_found("The message"))
    }

    /// Pins a message, so that retention leaves it alone, or takes the pin away.
    ///
    /// # Errors
    /// `not_found`: it is not kept any more, or is no message; `storage`.
    pub async fn pin(&self, profile: ProfileId, seq: Seq, pinned: bool) -> Result<()> {
        self.ask(|answer| Entry::Pin { profile, seq, pinned, answer }).await
    }

    /// Lets go of everything kept of a profile, pinned or not, and returns how many rows that were. What arrives while
    /// this waits its turn comes after.
    ///
    /// # Errors
    /// `storage`.
    pub async fn clear(&self, profile: ProfileId) -> Result<u64> {
        self.0.live.clear(profile);
        self.ask(|answer| Entry::Clear(profile, answer)).await
    }

    /// Waits until everything that was accepted before stands in the file.
    ///
    /// # Errors
    /// `storage`: it cannot be written now; it is kept and tried again.
    pub async fn flush(&self) -> Result<()> {
        self.ask(Entry::Flush).await
    }

    /// Writes what is left and ends. What a sink is given afterwards counts as dropped.
    ///
    /// # Errors
    /// `storage`: what is left could not be written.
    pub async fn close(&self) -> Result<()> {
        self.0.queue.close();
        for (_, view) in lock(&self.0.views).drain() {
            view.close();
        }
        let Some(thread) = lock(&self.0.writer).take() else { return Ok(()) };
        let ended = tokio::task::spawn_blocking(move || thread.join());
        let broken = || Error::new(ErrorCode::Internal, "The thread that writes the history broke down");
        ended.await.map_err(|_| broken())?.map_err(|_| broken())?
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<Result<T>>) -> Entry) -> Result<T> {
        let closed = || Error::new(ErrorCode::Cancelled, "The history is closed");
        let (answer, answered) = oneshot::channel();
        self.0.queue.push(question(answer));
        answered.await.map_err(|_| closed())?
    }

    fn view(&self, id: ViewId) -> Result<Shown> {
        lock(&self.0.views).get(&id).cloned().ok_or_else(|| Error::not_found("The view"))
    }

    async fn look(&self, shown: &Shown, wanted: Wanted) -> Result<Page> {
        let view = match shown {
            Shown::Stored(view) => view,
            Shown::Live(view) => {
                let (view, live) = (Arc::clone(view), Arc::clone(&self.0.live));
                let broken = |e: tokio::task::JoinError| Error::new(ErrorCode::Internal, e.to_string());
                return tokio::task::spawn_blocking(move || view.page(&live, wanted)).await.map_err(broken);
            }
        };
        let reader = Arc::clone(view);
        let (more, page, met_damage) = self
            .read(move |connection| {
                let more = reader.search(connection, SEARCH_IN_PAGE)?;
                let (page, met_damage) = reader.page(connection, wanted)?;
                Ok((more, page, met_damage))
            })
            .await?;
        if met_damage && !self.0.shared.mending.swap(true, Ordering::AcqRel) {
            self.0.queue.push(Entry::Mend(view.profile()));
        }
        if more && view.begin_search() {
            tokio::spawn(self.clone().search(Arc::clone(view)));
        }
        Ok(page)
    }

    /// Searches a view to its end, in short turns.
    async fn search(self, view: Arc<View>) {
        loop {
            let searcher = Arc::clone(&view);
            let more = self.read(move |connection| searcher.search(connection, SEARCH_AT_ONCE)).await;
            if !matches!(more, Ok(true)) {
                view.end_search();
                self.0.shared.changed();
                return;
            }
            self.0.shared.changed();
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let broken = |e: &dyn std::fmt::Display| Error::new(ErrorCode::Internal, e.to_string());
        let _permit = self.0.readers.permits.acquire().await.map_err(|e| broken(&e))?;
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || inner.readers.with(work)).await.map_err(|e| broken(&e))?
    }
}

/// A payload in the file.
struct StoredPayload {
    number: i64,
    seq: Seq,
    size: u64,
}

impl Payload for StoredPayload {
    fn size(&self) -> u64 {
        self.size
    }

    fn part(&self, connection: &Connection, offset: u64, limit: u64) -> rusqlite::Result<Vec<u8>> {
        store::payload_part(connection, self.number, self.seq, offset, limit)
    }
}

/// A payload in memory.
impl Payload for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn part(&self, _: &Connection, offset: u64, limit: u64) -> rusqlite::Result<Vec<u8>> {
        Ok(store::part(self, offset, limit).to_vec())
    }
}

/// Why a payload, or many, are not in a file.
enum Unsaved {
    Database(rusqlite::Error),
    File(std::io::Error),
    Stopped(Error),
}

impl Unsaved {
    fn into_error(self, database: &Path, file: &Path) -> Error {
        match self {
            Self::Database(error) => unreadable(database, &error),
            Self::File(error) => whole_file::refused(file, &error),
            Self::Stopped(error) => error,
        }
    }
}

impl From<std::io::Error> for Unsaved {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}

fn copy_payload(
    connection: &Connection,
    number: i64,
    seq: Seq,
    file: &mut std::fs::File,
) -> std::result::Result<u64, Unsaved> {
    let mut size = 0;
    loop {
        let part = store::payload_part(connection, number, seq, size, COPY).map_err(Unsaved::Database)?;
        file.write_all(&part)?;
        size += part.len() as u64;
        if (part.len() as u64) < COPY {
            return Ok(size);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// Connections for reading, opened when needed and used again.
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
    /// Read while a connection is in use, written while there must be none.
    in_use: RwLock<()>,
}

impl Readers {
    fn new(path: &Path) -> Self {
        let (idle, permits) = (Mutex::default(), Semaphore::new(READERS));
        Self { path: path.to_owned(), idle, permits, in_use: RwLock::default() }
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        self.lend(work)?.map_err(|e| unreadable(&self.path, &e))
    }

    fn lend<T>(&self, work: impl FnOnce(&Connection) -> T) -> Result<T> {
        let _in_use = self.in_use.read().unwrap_or_else(PoisonError::into_inner);
        let idle = lock(&self.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => database::open_reader(&self.path)?,
        };
        let result = work(&connection);
        lock(&self.idle).push(connection);
        Ok(result)
    }

    /// Closes all connections; nobody opens one until what is returned is dropped.
    fn close(&self) -> RwLockWriteGuard<'_, ()> {
        let alone = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        lock(&self.idle).clear();
        alone
    }
}

/// Why something cannot be read; that only some rows are damaged is another thing than a file that is.
fn unreadable(path: &Path, error: &rusqlite::Error) -> Error {
    if !store::is_damage(error) {
        return database::storage(path, error);
    }
    let name = path.display().to_string();
    let text = format!("{name} is damaged where this message stands. Messages elsewhere in it can be read");
    Error::because(ErrorCode::Storage, ErrorReason::DamagedMessages, text).with("path", name)
}

/// What to say when a file that was damaged has been mended.
fn mended(path: &Path) -> Error {
    let name = path.display().to_string();
    let text =
        format!("{name} was damaged. Messages that can be read are there; make sure that the disk is well");
    Error::because(ErrorCode::Storage, ErrorReason::Mended, text).with("path", name)
}

/// What to say when it could not be.
fn was_set_aside(path: &Path, aside: &Path) -> Error {
    let (name, aside) = (path.display().to_string(), aside.display().to_string());
    let text = format!(
        "{name} is damaged and could not be written any more. It was renamed to {aside}; messages go into a new one. Make \
         sure that the disk is well"
    );
    Error::because(ErrorCode::Storage, ErrorReason::SetAside, text).with("path", name).with("aside", aside)
}

impl Shared {
    fn set_stored(&self, profile: ProfileId, rows: u64) {
        lock(&self.stored).insert(profile, rows);
    }

    fn add_let_go(&self, profile: ProfileId, rows: u64) {
        if rows > 0 {
            *lock(&self.let_go).entry(profile).or_default() += rows;
        }
    }

    fn set_health(&self, health: StorageHealth) {
        self.health.send_if_modified(|now| {
            let moved = *now != health;
            *now = health;
            moved
        });
    }

    fn set_damage(&self, damage: Error) {
        self.damage.send_replace(Some(damage));
    }

    fn changed(&self) {
        self.changes.send_modify(|ticks| *ticks += 1);
    }
}

/// A value guarded by a mutex is whole even if a thread that held it broke down.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much is kept in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionRules {
    /// Of each profile that has no rule of its own.
    pub each: Retention,
    /// Of these profiles instead.
    pub of: HashMap<ProfileId, Retention>,
    /// The most bytes of all profiles together; beyond, the oldest rows of all go.
    pub max_bytes_in_all: Option<u64>,
}

impl RetentionRules {
    fn of(&self, profile: ProfileId) -> Retention {
        self.of.get(&profile).copied().unwrap_or(self.each)
    }
}

/// Dense number of a row within its profile: 1, 2, 3, … in order of arrival.
pub type Seq = i64;

/// A row of the stream, as much of it as a table shows.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct Row {
    /// Its number.
    pub seq: Seq,
    /// When.
    pub time: UnixMicros,
    /// Whether retention leaves it alone because a person said so.
    pub pinned: bool,
    /// What it is.
    #[serde(flatten)]
    pub content: RowContent,
}

/// A message or an event.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[ts(export)]
pub enum RowContent {
    /// A message.
    Message {
        /// Which way.
        direction: Direction,
        /// Topic name.
        topic: String,
        /// Quality of service.
        qos: Qos,
        /// RETAIN.
        retain: bool,
        /// DUP.
        dup: bool,
        /// Payload size in bytes.
        size: u64,
        /// The first 256 bytes as one line of text, when they are UTF-8 text; else in hex pairs.
        preview: String,
        /// Whether `preview` is hex.
        preview_hex: bool,
        /// Content Type (MQTT 5), if any.
        content_type: Option<String>,
    },
    /// Something that happened to the connection.
    Event {
        /// What, by stable name.
        event: EventKind,
        /// What it is about in English: a reason code's name, a count, an error.
        text: String,
        /// The same as facts; of rows that an earlier version kept there are none.
        facts: Option<EventFacts>,
    },
    /// The file is damaged where this row stands.
    Damaged,
}

/// Which rows a view shows: those for which everything that is set holds. Empty matches everything; anything but
/// `text` and the times leaves out events, which have none of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct RowFilter {
    /// Text to find in topic or payload; a regular expression when `regex`.
    pub text: String,
    /// Whether `text` is a regular expression.
    pub regex: bool,
    /// Whether case matters in `text`.
    pub case_sensitive: bool,
    /// Topic filters, any of which must match; all topics when empty.
    pub topics: Vec<String>,
    /// Only one direction.
    pub direction: Option<Direction>,
    /// Only these qualities of service; all when empty.
    pub qos: Vec<Qos>,
    /// Only with RETAIN, or only without.
    pub retain: Option<bool>,
    /// Only pinned ones.
    pub pinned: bool,
    /// The messages that are shown live only, instead of what is stored.
    pub live: bool,
    /// Only from this time on.
    pub since: Option<UnixMicros>,
    /// Only up to this time.
    pub until: Option<UnixMicros>,
    /// Only payloads of at least so many bytes.
    pub min_size: Option<u64>,
    /// Only payloads of at most so many bytes.
    pub max_size: Option<u64>,
    /// Only with this MQTT 5 property: `name`, or `name=value`. The name is that of a user property, or
    /// `content-type`, `response-topic`, `correlation-data` (in hex), `subscription-id`, `message-expiry`.
    pub property: String,
    /// Only JSON payloads for which this holds: `$.temp_c > 70`, `$.unit == "C" && $.ok`, a path alone when it leads
    /// somewhere. See [`condition`].
    pub json: String,
}

/// Names an open view.
pub type ViewId = u32;

/// How many rows a view has now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct ViewCount {
    /// Rows that match, so far.
    pub rows: u64,
    /// Rows in the profile, matching or not.
    pub stored: u64,
    /// Rows looked at; below `stored` while the view is still searching.
    pub searched: u64,
    /// Whether the search was stopped before it was through.
    pub stopped: bool,
    /// Whether older rows that match were left out, since a filtered view holds at most 8,000,000.
    pub limited: bool,
    /// Where the view's first row stands in a count of its own: it moves by one for each row that is found
    /// before the others or goes, so that index + origin names one row for as long as the view is open. That does
    /// not hold for the first `kept` rows.
    pub origin: i64,
    /// Rows at the beginning that stay although retention has let go of what was around them: rows go from behind
    /// them.
    pub kept: u64,
    /// Pinned rows in the profile, matching or not.
    pub pinned: u64,
    /// Rows that a filter could not look at, since the file is damaged where they stand.
    pub damaged: u64,
}

/// Rows of a view from an index on, with the counts at that moment.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct Page {
    /// Index of the first row returned.
    pub start: u64,
    /// The rows.
    pub rows: Vec<Row>,
    /// Counts at that moment.
    pub count: ViewCount,
}

/// A whole message but for its payload.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[ts(export)]
pub struct MessageDetail {
    /// Its row.
    pub row: Row,
    /// MQTT 5 properties.
    pub properties: MessageProperties,
    /// Microseconds since the previous message on the same topic in the same direction, if there is one.
    pub since_previous_micros: Option<i64>,
    /// Row of that previous message.
    pub previous_seq: Option<Seq>,
}

#[cfg(test)]
mod tests;
