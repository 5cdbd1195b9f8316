//! The one thread that writes. In: the queue. Out: committed batches, counts, and how the storage does.
//! When writing fails, it keeps what it has and tries again; nothing taken out of the queue is lost by that.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::queue::{self, Entry, Held, Queue, Work};
use super::store::{self, Extent};
use super::{Seq, Shared, StorageHealth};
use crate::database;
use crate::error::{Error, Result};
use crate::message::{Direction, EventKind, Item, Message};
use crate::profile::ProfileId;

/// A batch ends after so many rows,
const BATCH_ROWS: usize = 5_000;
/// or so many bytes.
const BATCH_BYTES: usize = 8 << 20;
/// Pauses between attempts to write: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// How long the thread sleeps when there is nothing to do at all, and when there is something to tidy up.
const IDLE: Duration = Duration::from_secs(60);
const TIDYING: Duration = Duration::from_millis(100);
/// Time in one transaction for deleting rows that are gone already.
const PURGE_TIME: Duration = Duration::from_millis(20);
const PURGE_ROWS: i64 = 500;
/// Rows that one batch may push out at the old end; more than it adds, so that the limit is reached.
const TRIM_ROWS: i64 = 20_000;
/// Free pages from which on the file is made smaller, and how many at a time.
const FREE_PAGES: i64 = 4_096;
const VACUUM_PAGES: i64 = 1_024;
/// Topics remembered of a profile; beyond, they are read from the file again.
const TOPICS: usize = 200_000;

pub(super) struct Writer {
    path: PathBuf,
    connection: Connection,
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    /// The most bytes to keep of each profile.
    retention: u64,
    open: HashMap<ProfileId, Open>,
    /// Moves when another process writes; then `open` is not true any more.
    data_version: i64,
    untidy: bool,
}

/// What the writer remembers of a profile between batches; exactly what the file says.
struct Open {
    extent: Extent,
    topics: Vec<Topic>,
    by_name: HashMap<String, usize>,
    touched: Vec<usize>,
}

struct Topic {
    id: i64,
    last_in: Seq,
    last_out: Seq,
    touched: bool,
}

/// A batch that stands in the file.
#[derive(Default)]
struct Batch {
    taken: usize,
    bytes: usize,
    freed: HashMap<ProfileId, Held>,
    reported: Vec<(ProfileId, u64)>,
    cleared: u64,
}

impl Writer {
    pub(super) fn new(
        path: PathBuf,
        connection: Connection,
        queue: Arc<Queue>,
        shared: Arc<Shared>,
        retention: u64,
    ) -> Self {
        connection.set_prepared_statement_cache_capacity(32);
        let open = HashMap::new();
        Self { path, connection, queue, shared, retention, open, data_version: 0, untidy: true }
    }

    /// Writes until the queue is closed and empty.
    ///
    /// # Errors
    /// The queue was closed while writing failed; what could not be written is lost.
    pub(super) fn run(mut self) -> Result<()> {
        let mut entries = VecDeque::new();
        loop {
            let idle = if self.untidy { TIDYING } else { IDLE };
            match self.queue.wait(idle, &mut entries) {
                Work::Entries => self.write_all(&mut entries)?,
                Work::Idle => self.tidy(),
                Work::Closed => return Ok(()),
            }
        }
    }

    fn write_all(&mut self, entries: &mut VecDeque<Entry>) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        let mut last_attempt = false;
        while !entries.is_empty() {
            match self.write(entries) {
                Ok(batch) => {
                    self.committed(batch, entries);
                    pause = FIRST_PAUSE;
                }
                Err(error) => {
                    // What is remembered may be of the batch that was rolled back.
                    self.open.clear();
                    let error = database::storage(&self.path, &error);
                    self.fail(&error, entries);
                    if last_attempt {
                        tracing::error!(
                            rows = entries.len(),
                            "closed while the history could not be written"
                        );
                        return Err(error);
                    }
                    last_attempt = self.queue.pause(pause);
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
        Ok(())
    }

    /// Writes the first entries in one transaction.
    fn write(&mut self, entries: &VecDeque<Entry>) -> rusqlite::Result<Batch> {
        let Self { connection, queue, open, retention, data_version, .. } = self;
        #[cfg(test)]
        connection.pragma_update(
            None,
            "max_page_count",
            self.shared.page_limit.load(std::sync::atomic::Ordering::Relaxed),
        )?;
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let version = transaction.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        if *data_version != version {
            open.clear();
            *data_version = version;
        }
        let mut batch = Batch::default();
        let mut insert = transaction.prepare_cached(
            "INSERT INTO entry (id, time, flags, topic, back, properties, payload) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?;
        for entry in entries {
            if batch.taken >= BATCH_ROWS || batch.bytes >= BATCH_BYTES {
                break;
            }
            batch.taken += 1;
            match entry {
                Entry::Item(profile, item) => {
                    let open = opened(open, &transaction, *profile)?;
                    let seq = open.extent.last_seq + 1;
                    let key = store::key(open.extent.number, seq);
                    let stored = match item {
                        Item::Message(message) => {
                            let properties = properties_json(message);
                            let (topic, last) = open.topic(&transaction, message)?;
                            let back = (*last > 0).then(|| seq - *last);
                            *last = seq;
                            let flags = store::message_flags(message);
                            let payload = &message.payload[..];
                            insert.execute(params![
                                key,
                                message.time,
                                flags,
                                topic,
                                back,
                                properties,
                                payload
                            ])?;
                            payload.len() + properties.map_or(0, |json| json.len())
                        }
                        Item::Event { time, kind, text } => {
                            let flags = store::event_flags(*kind);
                            insert.execute(params![
                                key,
                                time,
                                flags,
                                None::<i64>,
                                None::<i64>,
                                None::<String>,
                                text.as_bytes()
                            ])?;
                            text.len()
                        }
                    };
                    open.extent.last_seq = seq;
                    open.extent.bytes += stored as u64 + store::ROW_OVERHEAD;
                    let bytes = queue::weight(item);
                    let freed = batch.freed.entry(*profile).or_default();
                    freed.items += 1;
                    freed.bytes += bytes;
                    batch.bytes += bytes;
                }
                Entry::Dropped(profile) => {
                    let (count, since) = queue.unreported(*profile);
                    let noun = if count == 1 { "message" } else { "messages" };
                    let text = format!("{count} {noun} could not be kept: more came than could be stored");
                    let open = opened(open, &transaction, *profile)?;
                    open.extent.last_seq += 1;
                    open.extent.bytes += text.len() as u64 + store::ROW_OVERHEAD;
                    let key = store::key(open.extent.number, open.extent.last_seq);
                    let flags = store::event_flags(EventKind::Dropped);
                    insert.execute(params![
                        key,
                        since,
                        flags,
                        None::<i64>,
                        None::<i64>,
                        None::<String>,
                        text.as_bytes()
                    ])?;
                    batch.freed.entry(*profile).or_default();
                    batch.reported.push((*profile, count));
                }
                Entry::Clear(profile, _) => {
                    let open = opened(open, &transaction, *profile)?;
                    batch.cleared = open.extent.rows();
                    open.clear(&transaction)?;
                    batch.freed.entry(*profile).or_default();
                    break;
                }
                Entry::Flush(_) => break,
                Entry::Retention(bytes) => *retention = *bytes,
            }
        }
        drop(insert);
        for profile in batch.freed.keys() {
            let Some(open) = open.get_mut(profile) else { continue };
            open.save_topics(&transaction)?;
            open.trim(&transaction, *retention)?;
            open.purge(&transaction)?;
            open.save(&transaction)?;
        }
        transaction.commit()?;
        Ok(batch)
    }

    /// Takes a committed batch out and tells everybody.
    fn committed(&mut self, batch: Batch, entries: &mut VecDeque<Entry>) {
        for profile in batch.freed.keys() {
            if let Some(open) = self.open.get(profile) {
                self.untidy |= open.extent.oldest_seq < open.extent.first_seq;
                self.shared.set_stored(*profile, open.extent.rows());
            }
        }
        for (profile, count) in batch.reported {
            self.queue.reported(profile, count);
        }
        self.shared.set_health(StorageHealth::Ok);
        self.shared.changed();
        for entry in entries.drain(..batch.taken) {
            match entry {
                Entry::Clear(_, answer) => drop(answer.send(Ok(batch.cleared))),
                Entry::Flush(answer) => drop(answer.send(Ok(()))),
                _ => {}
            }
        }
        self.queue.release(&batch.freed);
    }

    fn fail(&self, error: &Error, entries: &mut VecDeque<Entry>) {
        tracing::warn!(%error, "the history cannot be written");
        self.shared.set_health(StorageHealth::Failing { message: error.message.clone() });
        for entry in queue::split_questions(entries).into_iter().chain(self.queue.take_questions()) {
            match entry {
                Entry::Clear(_, answer) => drop(answer.send(Err(error.clone()))),
                Entry::Flush(answer) => drop(answer.send(Err(error.clone()))),
                _ => {}
            }
        }
    }

    /// Deletes for good what is gone, and makes the file smaller, a little at a time.
    fn tidy(&mut self) {
        match self.tidy_some() {
            Ok(more) => self.untidy = more,
            Err(error) => {
                // Nothing is lost by it: tried again after the next batch.
                self.open.clear();
                self.untidy = false;
                tracing::debug!(%error, "the history cannot be tidied up now");
            }
        }
    }

    fn tidy_some(&mut self) -> rusqlite::Result<bool> {
        let Self { connection, open, data_version, .. } = self;
        let pending = store::extents(connection)?.into_iter().find(|(_, e)| e.oldest_seq < e.first_seq);
        if let Some((profile, _)) = pending {
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            let version = transaction.query_row("PRAGMA data_version", [], |row| row.get(0))?;
            if *data_version != version {
                open.clear();
                *data_version = version;
            }
            let open_profile = opened(open, &transaction, profile)?;
            open_profile.purge(&transaction)?;
            open_profile.save(&transaction)?;
            if open_profile.extent.oldest_seq == open_profile.extent.first_seq {
                open_profile.forget_topics(&transaction)?;
            }
            transaction.commit()?;
            return Ok(true);
        }
        let free: i64 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
        if free < FREE_PAGES {
            return Ok(false);
        }
        let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        let mut rows = vacuum.query([])?;
        while rows.next()?.is_some() {}
        Ok(true)
    }
}

/// A profile as it stands in the file; made there if it is new.
fn opened<'a>(
    open: &'a mut HashMap<ProfileId, Open>,
    transaction: &Transaction<'_>,
    profile: ProfileId,
) -> rusqlite::Result<&'a mut Open> {
    match open.entry(profile) {
        std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
        std::collections::hash_map::Entry::Vacant(place) => {
            let uuid = profile.to_string();
            transaction.execute("INSERT INTO profile (uuid) VALUES (?1) ON CONFLICT DO NOTHING", [uuid])?;
            let extent = store::extent(transaction, profile)?;
            Ok(place.insert(Open {
                extent,
                topics: Vec::new(),
                by_name: HashMap::new(),
                touched: Vec::new(),
            }))
        }
    }
}

impl Open {
    /// The number of the message's topic, and its last row in the message's direction, to be changed.
    fn topic(
        &mut self,
        transaction: &Transaction<'_>,
        message: &Message,
    ) -> rusqlite::Result<(i64, &mut Seq)> {
        let index = match self.by_name.get(&message.topic) {
            Some(&index) => index,
            None => self.read_topic(transaction, &message.topic)?,
        };
        let topic = &mut self.topics[index];
        if !topic.touched {
            topic.touched = true;
            self.touched.push(index);
        }
        let last = match message.direction {
            Direction::In => &mut topic.last_in,
            Direction::Out => &mut topic.last_out,
        };
        Ok((topic.id, last))
    }

    fn read_topic(&mut self, transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<usize> {
        if self.topics.len() >= TOPICS {
            self.save_topics(transaction)?;
            self.topics.clear();
            self.by_name.clear();
        }
        let number = self.extent.number;
        let known = transaction
            .prepare_cached("SELECT id, last_in, last_out FROM topic WHERE profile = ?1 AND name = ?2")?
            .query_row(params![number, name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let (id, last_in, last_out) = match known {
            Some(known) => known,
            None => {
                transaction
                    .prepare_cached("INSERT INTO topic (profile, name) VALUES (?1, ?2)")?
                    .execute(params![number, name])?;
                (transaction.last_insert_rowid(), 0, 0)
            }
        };
        let index = self.topics.len();
        self.topics.push(Topic { id, last_in, last_out, touched: false });
        self.by_name.insert(name.to_owned(), index);
        Ok(index)
    }

    fn save_topics(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut update =
            transaction.prepare_cached("UPDATE topic SET last_in = ?2, last_out = ?3 WHERE id = ?1")?;
        for index in self.touched.drain(..) {
            let topic = &mut self.topics[index];
            topic.touched = false;
            update.execute(params![topic.id, topic.last_in, topic.last_out])?;
        }
        Ok(())
    }

    /// Everything up to now is gone. The numbers go on, so that no view takes a new row for an old one.
    fn clear(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute("DELETE FROM topic WHERE profile = ?1", [self.extent.number])?;
        self.topics.clear();
        self.by_name.clear();
        self.touched.clear();
        self.extent.first_seq = self.extent.last_seq + 1;
        self.extent.bytes = 0;
        Ok(())
    }

    /// Lets go of the oldest rows while there are more bytes than `retention`.
    fn trim(&mut self, transaction: &Transaction<'_>, retention: u64) -> rusqlite::Result<()> {
        let Extent { number, first_seq, last_seq, .. } = self.extent;
        if self.extent.bytes <= retention || first_seq >= last_seq {
            return Ok(());
        }
        let mut oldest = transaction.prepare_cached(
            "SELECT id, octet_length(payload) + ifnull(octet_length(properties), 0) FROM entry
             WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3",
        )?;
        let mut rows = oldest.query(params![
            store::key(number, first_seq),
            store::key(number, last_seq - 1),
            TRIM_ROWS
        ])?;
        while self.extent.bytes > retention
            && let Some(row) = rows.next()?
        {
            let bytes = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0) + store::ROW_OVERHEAD;
            self.extent.bytes = self.extent.bytes.saturating_sub(bytes);
            self.extent.first_seq = store::seq_of(row.get(0)?) + 1;
        }
        Ok(())
    }

    /// Deletes rows that are gone for readers, for as long as a transaction may take for it.
    fn purge(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let started = Instant::now();
        let mut delete = transaction.prepare_cached("DELETE FROM entry WHERE id BETWEEN ?1 AND ?2")?;
        let extent = &mut self.extent;
        while extent.oldest_seq < extent.first_seq && started.elapsed() < PURGE_TIME {
            let next = (extent.oldest_seq + PURGE_ROWS).min(extent.first_seq);
            delete.execute([
                store::key(extent.number, extent.oldest_seq),
                store::key(extent.number, next - 1),
            ])?;
            extent.oldest_seq = next;
        }
        Ok(())
    }

    /// Deletes topics none of whose rows is left.
    fn forget_topics(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let gone = transaction.execute(
            "DELETE FROM topic WHERE profile = ?1 AND max(last_in, last_out) < ?2",
            [self.extent.number, self.extent.first_seq],
        )?;
        if gone > 0 {
            self.topics.clear();
            self.by_name.clear();
        }
        Ok(())
    }

    fn save(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let Extent { number, first_seq, last_seq, oldest_seq, bytes } = self.extent;
        transaction
            .prepare_cached(
                "UPDATE profile SET first_seq = ?2, last_seq = ?3, oldest_seq = ?4, bytes = ?5 WHERE number = ?1",
            )?
            .execute(params![number, first_seq, last_seq, oldest_seq, i64::try_from(bytes).unwrap_or(i64::MAX)])
            .map(drop)
    }
}

fn properties_json(message: &Message) -> Option<String> {
    if message.properties.is_empty() { None } else { serde_json::to_string(&message.properties).ok() }
}
