//! The one thread that writes. In: the queue. Out: committed batches, counts, and how the storage does.
//! When writing fails, it keeps what it has and tries again; nothing taken out of the queue is lost by that.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::block::{self, Builder, NewRow};
use super::queue::{self, Entry, Held, Queue, Work};
use super::store::{self, Extent, Newest};
use super::{Readers, RetentionRules, Seq, Shared, StorageHealth};
use crate::database::{self, FileId};
use crate::error::{Error, Result};
use crate::message::{EventFacts, EventKind, Item, Message, UnixMicros};
use crate::profile::{ProfileId, Retention};

/// A batch ends after so many rows,
const BATCH_ROWS: usize = 20_000;
/// or so many bytes.
const BATCH_BYTES: usize = 8 << 20;
/// Pauses between attempts to write: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// How long the thread sleeps when there is nothing to do at all, and when there is something to tidy up.
const IDLE: Duration = Duration::from_secs(60);
const TIDYING: Duration = Duration::from_millis(20);
/// How often it tidies up while messages arrive.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// A block that stands in the file is written anew with the rows of the next batch while it is smaller than this:
/// so that few rows a second do not make as many blocks, and none is written over and over.
const GROWING: usize = 16 << 10;
/// Time in one transaction for deleting rows that are gone already.
const PURGE_TIME: Duration = Duration::from_millis(20);
const PURGE_BLOCKS: i64 = 16;
/// Free pages from which on the file is made smaller, and how many at a time.
const FREE_PAGES: i64 = 4_096;
const VACUUM_PAGES: i64 = 1_024;
/// Rows that stayed and are let go of at a time.
const FORGOTTEN: i64 = 4_096;
/// How often it is logged that limits let go of rows of a profile, at most.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Statements that are kept prepared.
const STATEMENTS: usize = 32;
/// How many damaged files are set aside at most: on a disk that breaks whatever is written there would be no end of them.
const MOST_SET_ASIDE: u8 = 3;
/// Topics remembered of a profile; beyond, they are read from the file again.
const TOPICS: usize = 200_000;

pub(super) struct Writer {
    /// None while the file cannot be opened.
    connection: Option<Connection>,
    /// Which file it is on.
    file: Option<FileId>,
    readers: Arc<Readers>,
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    /// How much to keep.
    rules: RetentionRules,
    now: fn() -> UnixMicros,
    open: HashMap<ProfileId, Open>,
    /// Where rows of profiles are: numbers go on from there whatever becomes of the file.
    known: HashMap<ProfileId, Extent>,
    /// How often a damaged file may still be set aside.
    set_aside: u8,
    /// Moves when another process writes; then `open` is not true any more.
    data_version: i64,
    untidy: bool,
    /// When it was tidied last.
    tidied: Instant,
    /// When it was logged that limits let go of rows of a profile, and of how many by then.
    logged: HashMap<ProfileId, (Instant, u64)>,
}

/// What the writer remembers of a profile between batches; exactly what the file says.
struct Open {
    extent: Extent,
    topics: Vec<Topic>,
    by_name: HashMap<String, usize>,
    touched: Vec<usize>,
    tail: Option<Tail>,
    /// Blocks before this row are gone for readers.
    gone_until: Seq,
    /// Rows that stay may have lost their reason to: a newer retained message came,
    superseded: bool,
    /// or one was unpinned; it goes when others go.
    unpinned: bool,
    /// Whether damage in what is known of rows was met since that was asked last.
    met_damage: bool,
}

/// The block that new rows go into.
struct Tail {
    builder: Builder,
    /// Bytes of its rows that are counted in the extent already.
    counted: u64,
    /// Size of the big payload of its only row.
    big: u64,
    /// Whether it has rows that the file has not.
    grown: bool,
}

struct Topic {
    id: i64,
    newest: Newest,
    /// Whether its newest retained message is another one than the file says.
    retained_moved: bool,
    touched: bool,
}

/// A batch that stands in the file.
#[derive(Default)]
struct Batch {
    taken: usize,
    bytes: usize,
    freed: HashMap<ProfileId, Held>,
    reported: Vec<(ProfileId, u64)>,
    /// Rows that limits let go of.
    let_go: Vec<(ProfileId, u64)>,
    cleared: u64,
    /// Whether the row that was to be pinned is there.
    found: bool,
}

impl Writer {
    pub(super) fn new(
        (connection, known, readers): (Connection, HashMap<ProfileId, Extent>, Arc<Readers>),
        queue: Arc<Queue>,
        shared: Arc<Shared>,
        now: fn() -> UnixMicros,
    ) -> Self {
        let mut writer = Self {
            connection: None,
            file: None,
            readers,
            queue,
            shared,
            rules: RetentionRules::default(),
            now,
            open: HashMap::new(),
            known,
            set_aside: MOST_SET_ASIDE,
            data_version: 0,
            untidy: true,
            tidied: Instant::now(),
            logged: HashMap::new(),
        };
        writer.take(connection);
        writer
    }

    fn take(&mut self, connection: Connection) {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        self.file = database::file_id(&self.readers.path);
        self.connection = Some(connection);
        self.open.clear();
        self.data_version = 0;
        self.untidy = true;
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
                Work::Entries => {
                    self.write_all(&mut entries)?;
                    // Messages that never cease leave no idle moment for it.
                    if self.tidied.elapsed() >= TIDY_EVERY {
                        self.tidy();
                    }
                }
                Work::Idle => self.tidy(),
                Work::Closed => {
                    self.log_let_go(Duration::ZERO);
                    return Ok(());
                }
            }
            self.log_let_go(LOG_EVERY);
        }
    }

    /// Logs what limits let go of since that was logged last, for each profile once in a while.
    fn log_let_go(&mut self, every: Duration) {
        for (&profile, &in_all) in &*super::lock(&self.shared.let_go) {
            let (at, before) = self.logged.get(&profile).map_or((None, 0), |&(at, rows)| (Some(at), rows));
            if in_all > before && at.is_none_or(|at| at.elapsed() >= every) {
                let rows = in_all - before;
                tracing::info!(%profile, rows, in_all, "limits of what is kept let go of messages");
                self.logged.insert(profile, (Instant::now(), in_all));
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
                    if error.is_damage() && give_up_mending(entries) {
                        tracing::error!("what a reader met cannot be mended");
                        continue;
                    }
                    let waits =
                        entries.iter().any(|entry| matches!(entry, Entry::Item(..) | Entry::Dropped(_)));
                    let error = match self.open_anew(error, waits) {
                        Ok(()) => continue,
                        Err(error) => error,
                    };
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

    /// Opens the file again when that may help: it is there again after it was away, it is another one, or it is damaged
    /// and was set aside, which is done when something waits to be written and for nothing less.
    ///
    /// # Errors
    /// It does not help. What is wrong, then.
    fn open_anew(&mut self, wrong: Wrong, waits: bool) -> Result<()> {
        let path = self.readers.path.clone();
        let known = match wrong {
            Wrong::Away => None,
            Wrong::Failing(error) => {
                let code = error.sqlite_error_code();
                use rusqlite::ErrorCode as Code;
                let damaged = store::is_damage(&error) || code == Some(Code::NotADatabase);
                let gone = matches!(
                    code,
                    Some(Code::SystemIoFailure | Code::CannotOpen | Code::ReadOnly | Code::PermissionDenied)
                );
                let told = database::storage(&path, &error);
                let helps = damaged && waits && self.set_aside > 0
                    || gone && !database::is_full(&error) && database::file_id(&path) != self.file;
                if !helps {
                    return Err(told);
                }
                tracing::warn!(%error, damaged, "the history is opened anew");
                damaged.then_some(told)
            }
        };
        // SQLite deletes files by name when it closes the last connection, so there must be none on the old ones.
        let readers = Arc::clone(&self.readers);
        let _alone = readers.close();
        self.connection = None;
        if let Some(told) = known {
            self.set_aside -= 1;
            let aside = set_aside(&path).map_err(|_| told)?;
            self.shared.set_damage(super::was_set_aside(&path, &aside));
        }
        let connection = database::open(&path, &store::migrations())?;
        let went_on = store::go_on(&connection, &self.known).map_err(|e| database::storage(&path, &e))?;
        self.take(connection);
        for profile in went_on {
            self.shared.set_stored(profile, 0);
        }
        Ok(())
    }

    /// Writes the first entries in one transaction.
    fn write(&mut self, entries: &VecDeque<Entry>) -> std::result::Result<Batch, Wrong> {
        // SQLite itself goes on with a file that was moved away, and nobody would ever see what it writes.
        if self.connection.is_none() || database::file_id(&self.readers.path) != self.file {
            return Err(Wrong::Away);
        }
        self.write_there(entries).map_err(Wrong::Failing)
    }

    fn write_there(&mut self, entries: &VecDeque<Entry>) -> rusqlite::Result<Batch> {
        let Self { connection, queue, shared, readers, open, rules, now, untidy, data_version, .. } = self;
        let Some(connection) = connection else { return Ok(Batch::default()) };
        let told = (&**shared, &*readers.path);
        #[cfg(test)]
        connection.pragma_update(
            None,
            "max_page_count",
            shared.page_limit.load(std::sync::atomic::Ordering::Relaxed),
        )?;
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let version = transaction.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        if *data_version != version {
            open.clear();
            *data_version = version;
        }
        let mut batch = Batch::default();
        for entry in entries {
            if batch.taken >= BATCH_ROWS || batch.bytes >= BATCH_BYTES {
                break;
            }
            batch.taken += 1;
            match entry {
                Entry::Item(profile, item) => {
                    let open = opened(open, &transaction, told, *profile)?;
                    match item {
                        Item::Message(message) => open.append_message(&transaction, message)?,
                        Item::Event { time, kind, facts } => {
                            open.append_event(&transaction, *time, *kind, facts)?;
                        }
                    }
                    let bytes = queue::weight(item);
                    let freed = batch.freed.entry(*profile).or_default();
                    freed.items += 1;
                    freed.bytes += bytes;
                    batch.bytes += bytes;
                }
                Entry::Dropped(profile) => {
                    let (count, since) = queue.unreported(*profile);
                    let facts = EventFacts::Dropped { count };
                    let open = opened(open, &transaction, told, *profile)?;
                    open.append_event(&transaction, since, EventKind::Dropped, &facts)?;
                    batch.freed.entry(*profile).or_default();
                    batch.reported.push((*profile, count));
                }
                Entry::Clear(profile, _) => {
                    let open = opened(open, &transaction, told, *profile)?;
                    batch.cleared = open.extent.rows();
                    open.clear(&transaction)?;
                    batch.freed.entry(*profile).or_default();
                    break;
                }
                Entry::Pin { profile, seq, pinned, .. } => {
                    let open = opened(open, &transaction, told, *profile)?;
                    batch.found = open.pin(&transaction, *seq, *pinned)?;
                    batch.freed.entry(*profile).or_default();
                    break;
                }
                Entry::Flush(_) => break,
                Entry::Mend(profile) => {
                    let open = opened(open, &transaction, told, *profile)?;
                    let Extent { number, first_seq, .. } = open.extent;
                    // It may have been mended meanwhile.
                    if !store::are_kept_whole(&transaction, number, 0, store::SEQ_MASK)? {
                        open.mend(&transaction, first_seq)?;
                    }
                    batch.freed.entry(*profile).or_default();
                }
                Entry::Retention(wanted) => {
                    rules.clone_from(wanted);
                    // Also where nothing arrives.
                    *untidy = true;
                }
            }
        }
        for profile in batch.freed.keys() {
            let Some(open) = open.get_mut(profile) else { continue };
            open.write_tail(&transaction)?;
            open.save_topics(&transaction)?;
            let before = open.extent.rows();
            open.trim(&transaction, rules.of(*profile), shared.held_from(*profile), now())?;
            open.purge(&transaction)?;
            batch.let_go.push((*profile, before.saturating_sub(open.extent.rows())));
            store::write_extent(&transaction, *profile, &open.extent)?;
        }
        transaction.commit()?;
        Ok(batch)
    }

    /// Takes a committed batch out and tells everybody.
    fn committed(&mut self, batch: Batch, entries: &mut VecDeque<Entry>) {
        for profile in batch.freed.keys() {
            if let Some(open) = self.open.get_mut(profile) {
                open.tell_damage((&self.shared, &self.readers.path));
                self.untidy |= open.has_gone_rows() || open.superseded;
                self.known.insert(*profile, open.extent);
                self.shared.set_stored(*profile, open.extent.rows());
            }
        }
        for (profile, rows) in batch.let_go {
            self.shared.add_let_go(profile, rows);
        }
        for (profile, count) in batch.reported {
            self.queue.reported(profile, count);
        }
        // A limit of all together may be passed by it.
        self.untidy |= self.rules.max_bytes_in_all.is_some();
        self.shared.set_health(StorageHealth::Ok);
        self.shared.changed();
        for entry in entries.drain(..batch.taken) {
            match entry {
                Entry::Clear(_, answer) => drop(answer.send(Ok(batch.cleared))),
                Entry::Pin { answer, .. } if batch.found => drop(answer.send(Ok(()))),
                Entry::Pin { answer, .. } => drop(answer.send(Err(Error::not_found("The message")))),
                Entry::Flush(answer) => drop(answer.send(Ok(()))),
                Entry::Mend(_) => self.shared.mending.store(false, Ordering::Release),
                _ => {}
            }
        }
        self.queue.release(&batch.freed);
    }

    fn fail(&self, error: &Error, entries: &mut VecDeque<Entry>) {
        tracing::warn!(%error, "the history cannot be written");
        self.shared.set_health(StorageHealth::Failing { error: error.clone() });
        for entry in queue::split_questions(entries).into_iter().chain(self.queue.take_questions()) {
            match entry {
                Entry::Clear(_, answer) => drop(answer.send(Err(error.clone()))),
                Entry::Pin { answer, .. } | Entry::Flush(answer) => drop(answer.send(Err(error.clone()))),
                _ => {}
            }
        }
    }

    /// Deletes for good what is gone, and makes the file smaller, a little at a time.
    fn tidy(&mut self) {
        self.tidied = Instant::now();
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
        let Self { connection, open, data_version, rules, now, shared, readers, .. } = self;
        let Some(connection) = connection else { return Ok(false) };
        let told = (&**shared, &*readers.path);
        let extents = store::extents(connection)?;
        let in_all: u64 = extents.iter().map(|(_, extent)| extent.bytes).sum();
        let mut over = rules.max_bytes_in_all.map_or(0, |most| in_all.saturating_sub(most));
        let mut more = false;
        // Whose rows are the oldest gives first.
        let mut aged = Vec::new();
        for (profile, extent) in extents {
            let since = store::time_at(connection, extent.number, extent.first_seq)?;
            aged.push((since.unwrap_or(UnixMicros::MAX), profile, extent));
        }
        aged.sort_by_key(|(since, ..)| *since);
        for (_, profile, extent) in aged {
            let retention = rules.of(profile).without(over, extent.bytes);
            let gone = extent.oldest_seq < store::kept_from(connection, &extent)?;
            let superseded = open.get(&profile).is_some_and(|open| open.superseded);
            if !gone && !superseded && !store::has_more_than(connection, &extent, retention, now())? {
                continue;
            }
            let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            let version = transaction.query_row("PRAGMA data_version", [], |row| row.get(0))?;
            if *data_version != version {
                open.clear();
                *data_version = version;
            }
            let open = opened(open, &transaction, told, profile)?;
            let before = open.extent;
            let held = shared.held_from(profile);
            open.trim(&transaction, retention, held, now())?;
            if held == Seq::MAX {
                open.forget_superseded(&transaction)?;
            }
            open.purge(&transaction)?;
            store::write_extent(&transaction, profile, &open.extent)?;
            if !open.has_gone_rows() {
                open.forget_topics(&transaction)?;
            }
            transaction.commit()?;
            open.tell_damage(told);
            over = over.saturating_sub(before.bytes - open.extent.bytes);
            if before.origin() != open.extent.origin() {
                shared.add_let_go(profile, before.rows().saturating_sub(open.extent.rows()));
                shared.set_stored(profile, open.extent.rows());
                shared.changed();
            }
            more |= open.has_gone_rows();
        }
        if more {
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

/// Why a batch is not in the file.
enum Wrong {
    /// The file is not there, or another one is.
    Away,
    Failing(rusqlite::Error),
}

impl Wrong {
    fn is_damage(&self) -> bool {
        matches!(self, Self::Failing(error) if store::is_damage(error))
    }
}

/// Takes out what only readers asked for; says whether there was any. It is not asked for again: what is damaged is said
/// where it is read, and that is no reason to give up a file that can be written.
fn give_up_mending(entries: &mut VecDeque<Entry>) -> bool {
    let before = entries.len();
    entries.retain(|entry| !matches!(entry, Entry::Mend(_)));
    entries.len() < before
}

/// Renames a database that is damaged, with what belongs to it; says what it is called now.
fn set_aside(path: &Path) -> std::io::Result<PathBuf> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!("{name}-damaged-{seconds}.db"));
    let beside = |path: &Path, end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    if aside.exists() {
        return Err(std::io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(path, &aside)?;
    for end in ["-wal", "-shm"] {
        match std::fs::rename(beside(path, end), beside(&aside, end)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

/// A profile as it stands in the file; made there if it is new.
fn opened<'a>(
    open: &'a mut HashMap<ProfileId, Open>,
    transaction: &Transaction<'_>,
    (shared, path): (&Shared, &Path),
    profile: ProfileId,
) -> rusqlite::Result<&'a mut Open> {
    match open.entry(profile) {
        std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
        std::collections::hash_map::Entry::Vacant(place) => {
            let extent = match store::extent_as_it_is(transaction, profile)? {
                Some(extent) if extent.whole => extent,
                Some(said) => {
                    shared.set_damage(super::mended(path));
                    store::mend_extent(transaction, profile, &said)?
                }
                None => store::add_profile(transaction, profile, Extent::NONE)?,
            };
            Ok(place.insert(Open {
                extent,
                topics: Vec::new(),
                by_name: HashMap::new(),
                touched: Vec::new(),
                tail: None,
                gone_until: extent.oldest_seq,
                superseded: false,
                unpinned: true,
                met_damage: false,
            }))
        }
    }
}

impl Open {
    /// Says that damage was met, once what was done about it stands in the file.
    fn tell_damage(&mut self, (shared, path): (&Shared, &Path)) {
        if std::mem::take(&mut self.met_damage) {
            shared.set_damage(super::mended(path));
        }
    }

    fn append_message(&mut self, transaction: &Transaction<'_>, message: &Message) -> rusqlite::Result<()> {
        let properties = properties_json(message);
        let seq = self.extent.last_seq + 1;
        let index = self.topic(transaction, &message.topic)?;
        let first_seq = self.extent.first_seq;
        let topic = &mut self.topics[index];
        let flags = store::message_flags(message);
        if store::is_retained_by_broker(flags) {
            self.superseded |= (1..first_seq).contains(&topic.newest.retained);
            topic.retained_moved = true;
        }
        let last = topic.newest.follow(seq, flags, message.payload.is_empty());
        let back = if last > 0 { seq - last } else { 0 };
        let topic = topic.id;
        self.append(
            transaction,
            &NewRow {
                time: message.time,
                flags,
                topic,
                back,
                properties: properties.as_deref().unwrap_or_default(),
                payload: &message.payload,
            },
        )
    }

    fn append_event(
        &mut self,
        transaction: &Transaction<'_>,
        time: UnixMicros,
        kind: EventKind,
        facts: &EventFacts,
    ) -> rusqlite::Result<()> {
        // Its words are what a search finds; what it is about stands where a message has its properties.
        let (flags, words) = (store::event_flags(kind), facts.words());
        let properties = serde_json::to_vec(facts).unwrap_or_default();
        let (properties, payload) = (&properties[..], words.as_bytes());
        self.append(transaction, &NewRow { time, flags, topic: 0, back: 0, properties, payload })
    }

    /// Adds a row to the block under way, and writes that when it is full.
    fn append(&mut self, transaction: &Transaction<'_>, row: &NewRow<'_>) -> rusqlite::Result<()> {
        let outside = block::is_outside(row.payload);
        // A row with a big payload has a block of its own, so that its bytes can go without anybody else's.
        if outside || self.tail.as_ref().is_some_and(|tail| tail.builder.is_full()) {
            self.write_tail(transaction)?;
            self.tail = None;
        }
        self.extent.last_seq += 1;
        let seq = self.extent.last_seq;
        let tail = self.tail.get_or_insert_with(|| Tail {
            builder: Builder::new(seq, row.time),
            counted: 0,
            big: 0,
            grown: true,
        });
        tail.builder.push(row);
        tail.grown = true;
        if outside {
            tail.big = row.payload.len() as u64;
            store::write_big_payload(transaction, store::key(self.extent.number, seq), row.payload)?;
        }
        Ok(())
    }

    /// Writes the block under way as far as it has come.
    fn write_tail(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let Some(tail) = self.tail.as_mut().filter(|tail| tail.grown) else { return Ok(()) };
        let bytes = store::write_block(transaction, self.extent.number, &tail.builder, tail.big)?;
        self.extent.bytes = self.extent.bytes.saturating_sub(tail.counted).saturating_add(bytes);
        tail.counted = bytes;
        tail.grown = false;
        if tail.builder.is_full() || tail.builder.size() >= GROWING {
            self.tail = None;
        }
        Ok(())
    }

    /// The place of a topic among those that are remembered; what is said of it there is written with the batch.
    fn topic(&mut self, transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<usize> {
        let index = match self.by_name.get(name) {
            Some(&index) => index,
            None => self.read_topic(transaction, name)?,
        };
        let topic = &mut self.topics[index];
        if !topic.touched {
            topic.touched = true;
            self.touched.push(index);
        }
        Ok(index)
    }

    fn read_topic(&mut self, transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<usize> {
        if self.topics.len() >= TOPICS {
            self.save_topics(transaction)?;
            self.topics.clear();
            self.by_name.clear();
        }
        let number = self.extent.number;
        let mut known = store::topic_of_name(transaction, number, name)?;
        if let Some((_, None)) = known {
            self.mend(transaction, self.extent.first_seq)?;
            known = store::topic_of_name(transaction, number, name)?;
        }
        let (id, newest) = match known {
            Some((id, newest)) => (id, newest.unwrap_or_default()),
            None => (store::add_topic(transaction, number, name)?, Newest::default()),
        };
        let index = self.topics.len();
        self.topics.push(Topic { id, newest, retained_moved: false, touched: false });
        self.by_name.insert(name.to_owned(), index);
        Ok(index)
    }

    fn save_topics(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut update = transaction.prepare_cached(
            "UPDATE topic SET last_in = ?2, last_out = ?3, newest_checksum = ?4 WHERE id = ?1",
        )?;
        for index in self.touched.drain(..) {
            let topic = &mut self.topics[index];
            topic.touched = false;
            let Topic { id, newest, .. } = *topic;
            update.execute([id, newest.received, newest.sent, newest.checksum(id)])?;
            // Apart, since there is an index of these.
            if std::mem::take(&mut topic.retained_moved) {
                transaction
                    .prepare_cached("UPDATE topic SET last_retained = ?2 WHERE id = ?1")?
                    .execute([id, newest.retained])?;
            }
        }
        Ok(())
    }

    /// Everything up to now is gone. The numbers go on, so that no view takes a new row for an old one.
    fn clear(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute("DELETE FROM topic WHERE profile = ?1", [self.extent.number])?;
        self.topics.clear();
        self.by_name.clear();
        self.touched.clear();
        self.tail = None;
        let number = self.extent.number;
        // Rows that stayed are in blocks among those that were deleted long ago.
        let oldest = store::kept_between(transaction, number, 1, self.extent.oldest_seq)?;
        self.extent.oldest_seq = oldest.first().copied().unwrap_or(self.extent.oldest_seq);
        let all = [store::key(number, 0), store::key(number, store::SEQ_MASK)];
        transaction.execute("DELETE FROM kept WHERE id BETWEEN ?1 AND ?2", all)?;
        self.extent.kept_gone += self.extent.kept;
        self.extent.kept = 0;
        self.extent.first_seq = self.extent.last_seq + 1;
        self.extent.bytes = 0;
        Ok(())
    }

    /// Pins a message, so that it stays, or lets it go with others. Says whether it is there.
    fn pin(&mut self, transaction: &Transaction<'_>, seq: Seq, pinned: bool) -> rusqlite::Result<bool> {
        // It may be of this very batch.
        self.write_tail(transaction)?;
        let Extent { number, first_seq, .. } = self.extent;
        let key = store::key(number, seq);
        if !self.extent.contains(transaction, seq)? {
            return Ok(false);
        }
        let mut topic = None;
        let read = store::each_between(transaction, number, seq, seq, |at| {
            topic = at.topic_number;
            Ok(())
        });
        match read {
            // What cannot be read cannot be kept, and nothing else waits for it.
            Err(error) if store::is_damage(&error) => return Ok(false),
            read => read?,
        }
        let Some(topic) = topic else { return Ok(false) };
        if pinned {
            store::keep(transaction, key, topic, true)?;
        } else if seq < first_seq {
            store::keep(transaction, key, topic, false)?;
            self.unpinned = true;
        } else {
            transaction.execute("DELETE FROM kept WHERE id = ?1", [key])?;
        }
        Ok(true)
    }

    /// Lets go of the oldest blocks while there is more than what is to be kept. The newest one stays, and so does
    /// what is `held` for somebody.
    fn trim(
        &mut self,
        transaction: &Transaction<'_>,
        retention: Retention,
        held: Seq,
        now: UnixMicros,
    ) -> rusqlite::Result<()> {
        if !store::has_more_than(transaction, &self.extent, retention, now)? {
            return Ok(());
        }
        let Extent { number, first_seq, last_seq, .. } = self.extent;
        // Written before the limits are looked at: the newest retained messages are known by it.
        debug_assert!(self.touched.is_empty());
        let oldest = store::block_of(transaction, number, first_seq)?;
        let newest = store::block_of(transaction, number, last_seq)?;
        let mut blocks = transaction.prepare_cached(
            "SELECT id, rows, bytes, latest FROM block WHERE id >= ?1 AND id < ?2 ORDER BY id",
        )?;
        let mut blocks = blocks.query([oldest, newest])?;
        while let Some(block) = blocks.next()? {
            let end = store::seq_of(block.get(0)?) + block.get::<_, Seq>(1)?.clamp(1, store::MOST_ROWS);
            if end <= first_seq {
                continue;
            }
            let rows_after = (last_seq + 1 - end).unsigned_abs();
            let too_many = retention.max_rows.is_some_and(|most| rows_after >= most);
            let too_big = retention.max_bytes.is_some_and(|most| self.extent.bytes > most);
            let too_old =
                retention.oldest(now).is_some_and(|oldest| block.get(3).is_ok_and(|last: i64| last < oldest));
            if (!too_many && !too_big && !too_old) || end > held {
                break;
            }
            self.extent.bytes = self.extent.bytes.saturating_sub(block.get::<_, i64>(2)?.unsigned_abs());
            self.extent.first_seq = end;
        }
        // A count is kept to the row.
        if let Some(most) = retention.max_rows.and_then(|most| Seq::try_from(most).ok()) {
            self.extent.first_seq = self.extent.first_seq.max((last_seq + 1 - most.max(1)).min(held));
        }
        // So is an age: few rows a day do not fill a block before they are too old.
        if let Some(oldest) = retention.oldest(now) {
            let first = store::first_from(transaction, number, self.extent.first_seq, oldest)?;
            self.extent.first_seq = self.extent.first_seq.max(first.min(last_seq).min(held));
        }
        self.stay(transaction, first_seq)
    }

    /// Of the rows from `first` on that retention has just let go of, those stay that are pinned or the newest retained
    /// message of their topic.
    fn stay(&mut self, transaction: &Transaction<'_>, first: Seq) -> rusqlite::Result<()> {
        let Extent { number, first_seq, .. } = self.extent;
        if first_seq <= first {
            return Ok(());
        }
        self.superseded |= std::mem::take(&mut self.unpinned);
        let look = || store::retained_between(transaction, number, first, first_seq);
        let mut retained = look()?;
        if retained.met_damage {
            self.mend(transaction, first)?;
            retained = look()?;
        }
        for (topic, seq) in retained.found {
            store::keep(transaction, store::key(number, seq), topic, false)?;
        }
        let stay = transaction
            .prepare_cached("SELECT count(*) FROM kept WHERE id >= ?1 AND id < ?2")?
            .query_row([store::key(number, first), store::key(number, first_seq)], |row| {
                row.get::<_, i64>(0)
            })?;
        self.extent.kept += stay.unsigned_abs();
        Ok(())
    }

    /// Lets go of rows that stayed and have no reason to any more, a few thousand at a time.
    fn forget_superseded(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        if !self.superseded {
            return Ok(());
        }
        let Extent { number, first_seq, .. } = self.extent;
        let look = || store::without_reason(transaction, number, first_seq, FORGOTTEN);
        let mut keys = look()?;
        if keys.met_damage {
            self.mend(transaction, first_seq)?;
            keys = look()?;
        }
        let keys = keys.found;
        for key in &keys {
            self.let_go(transaction, *key)?;
        }
        self.superseded = keys.len() as i64 == FORGOTTEN;
        Ok(())
    }

    /// A row that stayed is gone.
    fn let_go(&mut self, transaction: &Transaction<'_>, key: i64) -> rusqlite::Result<()> {
        transaction.prepare_cached("DELETE FROM kept WHERE id = ?1")?.execute([key])?;
        // Later ones are still in the block that they were in, and go with it.
        if store::seq_of(key) < self.extent.oldest_seq {
            transaction.prepare_cached("DELETE FROM block WHERE id = ?1")?.execute([key])?;
            transaction.prepare_cached("DELETE FROM big_payload WHERE id = ?1")?.execute([key])?;
        }
        self.extent.kept = self.extent.kept.saturating_sub(1);
        self.extent.kept_gone += 1;
        Ok(())
    }

    /// Whether rows are still in the file that are gone for readers.
    fn has_gone_rows(&self) -> bool {
        self.extent.oldest_seq < self.gone_until
    }

    /// Deletes blocks that are gone for readers, for as long as a transaction may take for it.
    fn purge(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let started = Instant::now();
        self.gone_until = store::kept_from(transaction, &self.extent)?;
        let number = self.extent.number;
        let end = store::key(number, self.gone_until);
        let mut next = transaction.prepare_cached(
            "SELECT id FROM block WHERE id BETWEEN ?1 AND ?2 - 1 ORDER BY id LIMIT 1 OFFSET ?3",
        )?;
        // Rows that stay have a block of their own by then.
        let mut delete = transaction.prepare_cached(
            "DELETE FROM block WHERE id BETWEEN ?1 AND ?2 - 1 AND NOT (rows = 1 AND id IN
             (SELECT id FROM kept WHERE id BETWEEN ?1 AND ?2 - 1))",
        )?;
        let mut delete_big = transaction.prepare_cached(
            "DELETE FROM big_payload WHERE id BETWEEN ?1 AND ?2 - 1 AND id NOT IN
             (SELECT id FROM kept WHERE id BETWEEN ?1 AND ?2 - 1)",
        )?;
        while self.has_gone_rows() && started.elapsed() < PURGE_TIME {
            let start = store::key(number, self.extent.oldest_seq);
            let until = match next.query_row([start, end, PURGE_BLOCKS], |row| row.get(0)).optional() {
                Ok(Some(until)) if until > start => until,
                // Where not even keys can be read, nothing can be deleted.
                Err(error) if !store::is_damage(&error) => return Err(error),
                _ => end,
            };
            let mut apart = Vec::new();
            for seq in store::kept_between(transaction, number, self.extent.oldest_seq, store::seq_of(until))?
            {
                match store::set_apart(transaction, number, seq) {
                    Ok(block) => apart.extend(block),
                    // It cannot be read any more, so it cannot stay; nothing else waits for it, and it is told.
                    Err(error) if store::is_damage(&error) => {
                        tracing::warn!(%error, seq, "a message that was to stay is damaged, and goes with others");
                        self.met_damage = true;
                        self.let_go(transaction, store::key(number, seq))?;
                    }
                    Err(error) => return Err(error),
                }
            }
            for delete in [&mut delete, &mut delete_big] {
                match delete.execute([start, until]) {
                    // Nobody reads them any more; what is damaged of them stays in the file.
                    Err(error) if store::is_damage(&error) => {
                        tracing::warn!(%error, "some of what is gone cannot be deleted");
                    }
                    deleted => drop(deleted?),
                }
            }
            for block in apart {
                store::write_block(transaction, number, &block, 0)?;
            }
            self.extent.oldest_seq = store::seq_of(until);
        }
        Ok(())
    }

    /// Deletes topics none of whose rows is left.
    fn forget_topics(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let Extent { number, first_seq, .. } = self.extent;
        let look = || store::topics_without_rows(transaction, number, first_seq);
        let mut gone = look()?;
        if gone.met_damage {
            self.mend(transaction, first_seq)?;
            gone = look()?;
        }
        let gone = gone.found;
        let mut delete = transaction.prepare_cached("DELETE FROM topic WHERE id = ?1")?;
        for topic in &gone {
            delete.execute([topic])?;
        }
        if !gone.is_empty() {
            self.topics.clear();
            self.by_name.clear();
        }
        Ok(())
    }

    /// Puts right what the file says of rows that stay and of topics' newest rows, when damage was met in it. `first` is the
    /// row from which on rows that stay are not counted as such yet.
    fn mend(&mut self, transaction: &Transaction<'_>, first: Seq) -> rusqlite::Result<()> {
        self.met_damage = true;
        // What is in memory is right.
        self.write_tail(transaction)?;
        self.save_topics(transaction)?;
        let number = self.extent.number;
        store::mend_indexes(transaction)?;
        store::mend_kept(transaction, number)?;
        store::mend_newest(transaction, &self.extent)?;
        let kept = store::kept_before(transaction, number, first)?;
        // That it moves tells views to look again.
        self.extent.kept_gone += u64::from(kept != self.extent.kept);
        self.extent.kept = kept;
        Ok(())
    }
}

fn properties_json(message: &Message) -> Option<Vec<u8>> {
    let properties = message.properties.as_ref().filter(|properties| !properties.is_empty())?;
    serde_json::to_vec(properties).ok()
}
