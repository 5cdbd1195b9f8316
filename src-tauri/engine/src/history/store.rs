//! The file: its tables, and how rows stand in them. In: blocks of rows. Out: rows. Knows no threads.
//!
//! Rows are kept in [blocks](super::block), those of all profiles in one table. A block's key is an integer, the
//! profile's number above the number of its first row (`profile << 40 | seq`): the fastest key SQLite has, and
//! in arrival order for each profile. There is no second index. What the previous message on a topic was is
//! known to the writer when it writes, so each row carries the distance to it, and the topic's last rows are
//! kept with the topic. Big payloads stand in a table of their own under the key of their row, so that a part
//! of one can be read without the rest.
//!
//! The rows of a profile are those from its first to its last number, without gaps, and before them a few that
//! stay whatever retention lets go of: pinned ones, and the newest retained message of each topic. `kept` names
//! these; when the block that such a row was in is deleted, it goes on in a block of its own under its own number.
//!
//! What is read back is what was written or is said to be damaged: blocks, payloads beside them, names of topics
//! and their newest rows, where a profile's rows are and which of them stay have checksums, and rows that the file
//! lacks are missed, since their numbers have no gaps. SQLite finds much of what is wrong with its own pages by
//! itself. Whatever it is, rows elsewhere can be read.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, Transaction, TransactionBehavior, params};
use rusqlite_migration::{HookError, M, Migrations};

use super::block::{self, Builder, Damaged, Head, Heads, NewRow};
use super::{Row, RowContent, Seq};
use crate::message::{Direction, EventKind, Message, MessageProperties, UnixMicros};
use crate::profile::{ProfileId, Qos, Retention};

/// Versions of the file, oldest first. Only ever add to the end.
pub(super) fn migrations() -> Migrations<'static> {
    Migrations::new(vec![
        M::up(VERSION_1),
        M::up_with_hook(VERSION_2, rows_into_blocks),
        M::up_with_hook(VERSION_3, note_retained),
        M::up_with_hook(VERSION_4, add_checksums),
        M::up_with_hook(VERSION_5, add_checksums_of_kept),
        M::up_with_hook(VERSION_6, add_checksums_of_newest),
    ])
}

const VERSION_1: &str = "CREATE TABLE profile (
        number INTEGER PRIMARY KEY,
        uuid TEXT NOT NULL UNIQUE,
        first_seq INTEGER NOT NULL DEFAULT 1,
        last_seq INTEGER NOT NULL DEFAULT 0,
        -- Rows below first_seq are gone for readers; those from here on are still in the file.
        oldest_seq INTEGER NOT NULL DEFAULT 1,
        bytes INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE topic (
        -- Never used again: readers remember what they know of a topic by its id.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        profile INTEGER NOT NULL,
        name TEXT NOT NULL,
        last_in INTEGER NOT NULL DEFAULT 0,
        last_out INTEGER NOT NULL DEFAULT 0,
        UNIQUE (profile, name)
    ) STRICT;
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY,
        time INTEGER NOT NULL,
        flags INTEGER NOT NULL,
        topic INTEGER,
        -- Distance to the previous message on the same topic in the same direction.
        back INTEGER,
        properties TEXT,
        -- Of a message its payload, of an event its text.
        payload BLOB NOT NULL
    ) STRICT;";

const VERSION_2: &str = "CREATE TABLE block (
        id INTEGER PRIMARY KEY,
        rows INTEGER NOT NULL,
        -- The earliest and the latest time of its rows.
        earliest INTEGER NOT NULL,
        latest INTEGER NOT NULL,
        -- What it takes in the file, big payloads included.
        bytes INTEGER NOT NULL,
        heads BLOB NOT NULL,
        properties BLOB NOT NULL,
        payloads BLOB NOT NULL
    ) STRICT;
    CREATE TABLE big_payload (
        -- The key of its row.
        id INTEGER PRIMARY KEY,
        payload BLOB NOT NULL
    ) STRICT;";

const VERSION_3: &str = "-- Rows before first_seq that stay, and how many of them have gone since.
    ALTER TABLE profile ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE profile ADD COLUMN kept_gone INTEGER NOT NULL DEFAULT 0;
    -- The topic's newest message with RETAIN; 0 when there is none.
    ALTER TABLE topic ADD COLUMN last_retained INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX topic_retained ON topic (profile, last_retained) WHERE last_retained > 0;
    CREATE TABLE kept (
        -- The key of the row. One from first_seq on is here because it is pinned.
        id INTEGER PRIMARY KEY,
        topic INTEGER NOT NULL,
        pinned INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX kept_pinned ON kept (id) WHERE pinned = 1;";

const VERSION_4: &str = "-- Checksums of what stands in these rows, so that damage does not pass for a message, a topic or a limit.
    ALTER TABLE profile ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE topic ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;";

const VERSION_5: &str =
    "-- The same for rows that stay, so that damage does not pass for a pin, or for a reason to let go.
    ALTER TABLE kept ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;";

const VERSION_6: &str =
    "-- And for a topic's newest messages, so that damage does not pass for the message before, nor for a retained one.
    ALTER TABLE topic ADD COLUMN newest_checksum INTEGER NOT NULL DEFAULT 0;";

/// Moves what the first version of the file holds, a row of its own for each message, into blocks.
fn rows_into_blocks(transaction: &Transaction<'_>) -> Result<(), HookError> {
    // What later versions know of a profile is not there yet.
    let profiles = transaction
        .prepare("SELECT number, first_seq, last_seq FROM profile")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<Vec<(i64, Seq, Seq)>>>()?;
    for (number, first_seq, last_seq) in profiles {
        let mut bytes = 0;
        let mut entries = transaction.prepare(
            "SELECT id, time, flags, topic, back, properties, payload FROM entry
             WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
        )?;
        let mut rows = entries.query([key(number, first_seq), key(number, last_seq)])?;
        let mut builder: Option<Builder> = None;
        let mut beside = 0;
        while let Some(row) = rows.next()? {
            let seq = seq_of(row.get(0)?);
            let time = row.get(1)?;
            let new = NewRow {
                time,
                flags: row.get(2)?,
                topic: row.get::<_, Option<i64>>(3)?.unwrap_or_default(),
                back: row.get::<_, Option<i64>>(4)?.unwrap_or_default(),
                properties: row
                    .get_ref(5)?
                    .as_bytes_or_null()
                    .map_err(rusqlite::Error::from)?
                    .unwrap_or_default(),
                payload: row.get_ref(6)?.as_blob().map_err(rusqlite::Error::from)?,
            };
            let outside = block::is_outside(new.payload);
            if let Some(before) = builder.take_if(|builder| outside || builder.is_full()) {
                bytes += write_block(transaction, number, &before, std::mem::take(&mut beside))?;
            }
            if outside {
                beside = new.payload.len() as u64;
                write_big_payload(transaction, key(number, seq), new.payload)?;
            }
            builder.get_or_insert_with(|| Builder::new(seq, time)).push(&new);
        }
        if let Some(last) = builder {
            bytes += write_block(transaction, number, &last, beside)?;
        }
        transaction.execute(
            "UPDATE profile SET oldest_seq = first_seq, bytes = ?2 WHERE number = ?1",
            params![number, i64::try_from(bytes).unwrap_or(i64::MAX)],
        )?;
    }
    transaction.execute_batch("DROP TABLE entry")?;
    Ok(())
}

/// Looks up which message is the newest retained one of each topic, in what earlier versions stored.
fn note_retained(transaction: &Transaction<'_>) -> Result<(), HookError> {
    let mut newest = HashMap::new();
    let mut blocks = transaction.prepare(&format!("SELECT {} FROM block ORDER BY id", Block::COLUMNS))?;
    let mut blocks = blocks.query([])?;
    while let Some(block) = blocks.next()? {
        let block = Block::read(block)?;
        let first = block.first_seq;
        // A damaged block has nothing to say.
        let Ok(heads) = block.heads() else { continue };
        let topics = heads.topics.clone();
        for (seq, head) in (first..).zip(heads) {
            let Ok(head) = head else { break };
            if let Some(place) = head.topic.filter(|_| is_retained_by_broker(head.flags)) {
                newest.insert(topics[place], if head.size > 0 { seq } else { 0 });
            }
        }
    }
    let mut update = transaction.prepare("UPDATE topic SET last_retained = ?2 WHERE id = ?1")?;
    for (topic, seq) in newest {
        update.execute([topic, seq])?;
    }
    Ok(())
}

fn add_checksums(transaction: &Transaction<'_>) -> Result<(), HookError> {
    for (profile, extent) in extents(transaction)? {
        write_extent(transaction, profile, &extent)?;
    }
    let mut update = transaction.prepare("UPDATE topic SET checksum = ?2 WHERE id = ?1")?;
    let mut topics = transaction.prepare("SELECT id, profile, name FROM topic")?;
    let mut topics = topics.query([])?;
    while let Some(topic) = topics.next()? {
        let (id, profile, name): (i64, i64, String) = (topic.get(0)?, topic.get(1)?, topic.get(2)?);
        update.execute([id, topic_checksum(id, profile, &name)])?;
    }
    Ok(())
}

fn add_checksums_of_kept(transaction: &Transaction<'_>) -> Result<(), HookError> {
    let mut update = transaction.prepare("UPDATE kept SET checksum = ?2 WHERE id = ?1")?;
    let mut kept = transaction.prepare("SELECT id, topic, pinned FROM kept")?;
    let mut kept = kept.query([])?;
    while let Some(row) = kept.next()? {
        let (key, topic, pinned) = (row.get(0)?, row.get(1)?, row.get(2)?);
        update.execute([key, kept_checksum(key, topic, pinned)])?;
    }
    Ok(())
}

fn add_checksums_of_newest(transaction: &Transaction<'_>) -> Result<(), HookError> {
    let mut update = transaction.prepare("UPDATE topic SET newest_checksum = ?2 WHERE id = ?1")?;
    let mut topics = transaction.prepare("SELECT id, last_in, last_out, last_retained FROM topic")?;
    let mut topics = topics.query([])?;
    while let Some(topic) = topics.next()? {
        // What is damaged gets none, and is found out anew.
        let (Ok(received), Ok(sent), Ok(retained)) = (topic.get(1), topic.get(2), topic.get(3)) else {
            continue;
        };
        let (id, newest) = (topic.get(0)?, Newest { received, sent, retained });
        update.execute([id, newest.checksum(id)])?;
    }
    Ok(())
}

const SEQ_BITS: u32 = 40;

/// The key of a row.
pub(super) fn key(number: i64, seq: Seq) -> i64 {
    (number << SEQ_BITS) | seq
}

/// What of a key is the row's number.
pub(super) const SEQ_MASK: i64 = (1 << SEQ_BITS) - 1;

/// The row's number in its key.
pub(super) fn seq_of(key: i64) -> Seq {
    key & SEQ_MASK
}

/// Where a profile's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub number: i64,
    pub first_seq: Seq,
    pub last_seq: Seq,
    pub oldest_seq: Seq,
    pub bytes: u64,
    /// Rows before the first one that stay.
    pub kept: u64,
    /// Rows that stayed and are gone by now: moves when some do.
    pub kept_gone: u64,
    /// Whether the file says this as it was written there.
    pub whole: bool,
}

impl Extent {
    /// Of a profile without rows.
    pub(super) const NONE: Self = Self {
        number: 0,
        first_seq: 1,
        last_seq: 0,
        oldest_seq: 1,
        bytes: 0,
        kept: 0,
        kept_gone: 0,
        whole: true,
    };

    /// All rows that readers see.
    pub(super) fn rows(&self) -> u64 {
        self.kept + self.in_sequence()
    }

    /// Rows from the first number to the last.
    pub(super) fn in_sequence(&self) -> u64 {
        u64::try_from(self.last_seq - self.first_seq + 1).unwrap_or(0)
    }

    /// Index and number of a row in the sequence differ by this. It grows by one with each row that goes.
    pub(super) fn origin(&self) -> Seq {
        self.first_seq - Seq::try_from(self.kept).unwrap_or(0)
    }

    /// Whether a row is there for readers.
    pub(super) fn contains(&self, connection: &Connection, seq: Seq) -> rusqlite::Result<bool> {
        if seq >= self.first_seq || seq < 1 || self.kept == 0 {
            return Ok((self.first_seq..=self.last_seq).contains(&seq));
        }
        connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM kept WHERE id = ?1)")?
            .query_row([key(self.number, seq)], |row| row.get(0))
    }

    fn read(row: &SqlRow<'_>) -> rusqlite::Result<Self> {
        // What is damaged may be of any type.
        let fact = |name| row.get::<_, i64>(name).unwrap_or(0);
        let count = |name| u64::try_from(fact(name)).unwrap_or(0);
        let read = Self {
            number: row.get("number")?,
            first_seq: fact("first_seq"),
            last_seq: fact("last_seq"),
            oldest_seq: fact("oldest_seq"),
            bytes: count("bytes"),
            kept: count("kept"),
            kept_gone: count("kept_gone"),
            whole: false,
        };
        let uuid = row.get_ref("uuid")?.as_str().ok();
        let whole = uuid.is_some_and(|uuid| read.checksum(uuid) == fact("checksum"));
        Ok(Self { whole, ..read })
    }

    fn checksum(&self, uuid: &str) -> i64 {
        let Self { number, first_seq, last_seq, oldest_seq, bytes, kept, kept_gone, whole: _ } = *self;
        let mut hasher = crc32fast::Hasher::new();
        for fact in [number, first_seq, last_seq, oldest_seq].map(i64::unsigned_abs) {
            hasher.update(&fact.to_le_bytes());
        }
        for fact in [bytes, kept, kept_gone] {
            hasher.update(&fact.to_le_bytes());
        }
        hasher.update(uuid.as_bytes());
        hasher.finalize().into()
    }
}

/// Where the rows of one profile are.
///
/// # Errors
/// The file is damaged where it says so.
pub(super) fn extent(connection: &Connection, profile: ProfileId) -> rusqlite::Result<Extent> {
    let extent = extent_as_it_is(connection, profile)?.unwrap_or(Extent::NONE);
    if extent.whole { Ok(extent) } else { Err(damaged(Damaged)) }
}

/// What the file says of where the rows of a profile are, right or wrong.
pub(super) fn extent_as_it_is(
    connection: &Connection,
    profile: ProfileId,
) -> rusqlite::Result<Option<Extent>> {
    let mut statement = connection.prepare_cached("SELECT * FROM profile WHERE uuid = ?1")?;
    statement.query_row([profile.to_string()], Extent::read).optional()
}

/// Where the rows of a profile are by its blocks, when what the file says of it cannot be trusted. Rows that were gone
/// for readers and are still in the file are there again.
pub(super) fn found_extent(connection: &Connection, said: &Extent) -> rusqlite::Result<Extent> {
    let number = said.number;
    let stays = kept_between(connection, number, 1, SEQ_MASK)?;
    let mut blocks =
        connection.prepare("SELECT id, rows, bytes FROM block WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
    let mut blocks = blocks.query([key(number, 0), key(number, SEQ_MASK)])?;
    let (mut bytes, mut first_seq, mut last_seq) = (0_u64, None, 0);
    let mut last_block = 1;
    while let Some(block) = blocks.next()? {
        let (first, rows): (Seq, Seq) = (seq_of(block.get(0)?), block.get(1)?);
        bytes = bytes.saturating_add(block.get::<_, i64>(2)?.unsigned_abs());
        let stays_alone = rows == 1 && stays.binary_search(&first).is_ok();
        if !stays_alone {
            first_seq.get_or_insert(first);
        }
        last_block = first;
        last_seq = first + rows.clamp(1, MOST_ROWS) - 1;
    }
    // All that there is stays: the last of them is the sequence.
    let first_seq = first_seq.unwrap_or(last_block);
    let kept = stays.iter().take_while(|seq| **seq < first_seq).count() as u64;
    let (oldest_seq, kept_gone) = (first_seq, said.kept_gone);
    Ok(Extent { number, first_seq, last_seq, oldest_seq, bytes, kept, kept_gone, whole: true })
}

/// The most rows that a block is believed to have.
pub(super) const MOST_ROWS: Seq = 1 << 20;

/// Where the rows of every profile are.
pub(super) fn extents(connection: &Connection) -> rusqlite::Result<Vec<(ProfileId, Extent)>> {
    let mut statement = connection.prepare("SELECT * FROM profile")?;
    let rows = statement.query_map([], |row| {
        let uuid = row.get_ref("uuid")?.as_str().ok().and_then(|uuid| uuid.parse().ok());
        Ok((uuid.map(ProfileId), Extent::read(row)?))
    })?;
    // Of one whose name is damaged nobody will ask.
    rows.filter_map(|row| row.map(|(profile, extent)| Some((profile?, extent))).transpose()).collect()
}

// How `flags` reads: of a message, bit 0 is set when it was sent, bits 1 and 2 are its QoS, bit 3 RETAIN,
// bit 4 DUP; of an event, 256 and its number.

const OUT: i64 = 1;
const RETAIN: i64 = 8;
const DUP: i64 = 16;
const EVENT: i64 = 256;
const EVENTS: [EventKind; 8] = [
    EventKind::Connected,
    EventKind::SessionResumed,
    EventKind::Disconnected,
    EventKind::Lost,
    EventKind::ConnectFailed,
    EventKind::SubscribeRefused,
    EventKind::PublishFailed,
    EventKind::Dropped,
];

pub(super) fn message_flags(message: &Message) -> i64 {
    let qos = i64::from(u8::from(message.qos)) << 1;
    let bit = |set: bool, bit: i64| if set { bit } else { 0 };
    bit(message.direction == Direction::Out, OUT) | qos | bit(message.retain, RETAIN) | bit(message.dup, DUP)
}

pub(super) fn direction(flags: i64) -> Direction {
    if flags & OUT == 0 { Direction::In } else { Direction::Out }
}

pub(super) fn qos(flags: i64) -> Qos {
    u8::try_from(flags >> 1 & 3).ok().and_then(|q| Qos::try_from(q).ok()).unwrap_or_default()
}

pub(super) fn is_retained(flags: i64) -> bool {
    flags & RETAIN != 0
}

/// Whether it is a message that came with RETAIN.
pub(super) fn is_retained_by_broker(flags: i64) -> bool {
    !is_event(flags) && is_retained(flags) && direction(flags) == Direction::In
}

pub(super) fn is_dup(flags: i64) -> bool {
    flags & DUP != 0
}

pub(super) fn event_flags(kind: EventKind) -> i64 {
    (EVENT..).zip(EVENTS).find(|(_, event)| *event == kind).map_or(EVENT, |(flags, _)| flags)
}

pub(super) fn is_event(flags: i64) -> bool {
    flags >= EVENT
}

/// Bytes that a block takes in the file besides what is in it, about.
const BLOCK_OVERHEAD: u64 = 40;

/// Writes a block, over what was there of it before, and says how many bytes it takes together with the bytes
/// that stand `beside` it.
pub(super) fn write_block(
    connection: &Connection,
    number: i64,
    builder: &Builder,
    beside: u64,
) -> rusqlite::Result<u64> {
    let place = builder.place(key(number, builder.first_seq()));
    let encoded = builder.encode(&place);
    let size = encoded.heads.len() + encoded.properties.len() + encoded.payloads.len();
    let bytes = size as u64 + BLOCK_OVERHEAD + beside;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO block (id, rows, earliest, latest, bytes, heads, properties, payloads)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            place.id,
            place.rows,
            place.earliest,
            place.latest,
            i64::try_from(bytes).unwrap_or(i64::MAX),
            encoded.heads,
            encoded.properties,
            encoded.payloads,
        ])?;
    Ok(bytes)
}

/// Writes a payload that is kept beside its block.
pub(super) fn write_big_payload(connection: &Connection, key: i64, payload: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO big_payload (id, payload) VALUES (?1, ?2)")?
        .execute(params![key, payload])
        .map(drop)
}

/// Writes where the rows of a profile are.
pub(super) fn write_extent(
    connection: &Connection,
    profile: ProfileId,
    extent: &Extent,
) -> rusqlite::Result<()> {
    let Extent { number, first_seq, last_seq, oldest_seq, bytes, kept, kept_gone, whole: _ } = *extent;
    let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "UPDATE profile SET first_seq = ?2, last_seq = ?3, oldest_seq = ?4, bytes = ?5, kept = ?6,
             kept_gone = ?7, checksum = ?8 WHERE number = ?1",
        )?
        .execute([
            number,
            first_seq,
            last_seq,
            oldest_seq,
            whole(bytes),
            whole(kept),
            whole(kept_gone),
            extent.checksum(&profile.to_string()),
        ])
        .map(drop)
}

/// Puts right what the file says of where the rows of a profile are.
pub(super) fn mend_extent(
    connection: &Connection,
    profile: ProfileId,
    said: &Extent,
) -> rusqlite::Result<Extent> {
    let found = found_extent(connection, said)?;
    tracing::warn!(?said, ?found, "where messages are was damaged in the file");
    write_extent(connection, profile, &found)?;
    Ok(found)
}

/// Finds out whether what the file says of its profiles and of rows that stay is right, as far as that is told without
/// reading everything, and mends it. Says whether it had to.
pub(super) fn mend(connection: &Connection) -> rusqlite::Result<bool> {
    let is_well = |connection: &Connection| {
        Ok::<_, rusqlite::Error>(
            wrong_extents(connection)?.is_empty()
                && wrong_kept(connection, ANY)?.is_empty()
                && is_index_of_pins_right(connection)?
                && wrong_newest(connection, ANY)?.is_empty()
                && is_index_of_retained_right(connection)?,
        )
    };
    if is_well(&*connection.unchecked_transaction()?)? {
        return Ok(false);
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    // Another process may have been there first.
    if is_well(&transaction)? {
        return Ok(false);
    }
    transaction.execute_batch("REINDEX profile")?;
    mend_indexes(&transaction)?;
    mend_kept(&transaction, ANY)?;
    for (profile, said) in wrong_extents(&transaction)? {
        mend_extent(&transaction, profile, &said)?;
    }
    for (_, extent) in extents(&transaction)? {
        mend_newest(&transaction, &extent)?;
    }
    transaction.commit()?;
    Ok(true)
}

/// Puts right which rows of a profile stay, and says whether that was wrong. One of which it is not known why it
/// stays is pinned from now on: so nothing goes that a person wanted to stay, and what is too much can be unpinned.
pub(super) fn mend_kept(connection: &Connection, number: i64) -> rusqlite::Result<bool> {
    let mut had_to = false;
    for Kept { key, .. } in wrong_kept(connection, number)? {
        connection.prepare_cached("DELETE FROM kept WHERE id = ?1")?.execute([key])?;
        let topic = topic_of(connection, key)?;
        tracing::warn!(key, found = topic.is_some(), "which messages stay was damaged in the file");
        had_to = true;
        if let Some(topic) = topic {
            keep(connection, key, topic, true)?;
        }
    }
    // Before what is still to be deleted there are only blocks of rows that stay.
    let mut unnamed = connection.prepare(
        "SELECT id FROM block WHERE id BETWEEN ?1 AND ?2 - 1 AND rows = 1 AND id NOT IN (SELECT id FROM kept)",
    )?;
    for (_, extent) in extents(connection)? {
        if !extent.whole || number != ANY && number != extent.number {
            continue;
        }
        let before = [key(extent.number, 1), key(extent.number, extent.oldest_seq)];
        let keys = unnamed.query_map(before, |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        for key in keys {
            if let Some(topic) = topic_of(connection, key)? {
                tracing::warn!(key, "that a message stays was missing in the file");
                had_to = true;
                keep(connection, key, topic, true)?;
            }
        }
    }
    Ok(had_to)
}

/// The number of the topic that a row has, when it is a message that can be read.
fn topic_of(connection: &Connection, key: i64) -> rusqlite::Result<Option<i64>> {
    let (number, seq) = (key >> SEQ_BITS, seq_of(key));
    let mut topic = None;
    let read = each_between(connection, number, seq, seq, |at| {
        topic = at.topic_number;
        Ok(())
    });
    match read {
        Err(error) if is_damage(&error) => Ok(None),
        read => read.map(|()| topic),
    }
}

/// What the file says of rows of a profile that stay, where that is not what was written.
fn wrong_kept(connection: &Connection, number: i64) -> rusqlite::Result<Vec<Kept>> {
    let last = if number == ANY { i64::MAX } else { key(number, SEQ_MASK) };
    let mut statement = connection
        .prepare(&format!("SELECT {} FROM kept WHERE id BETWEEN ?1 AND ?2 ORDER BY id", Kept::COLUMNS))?;
    let first = if number == ANY { i64::MIN } else { key(number, 0) };
    let kept = statement.query_map([first, last], Kept::read)?;
    kept.filter(|kept| kept.as_ref().map_or(true, |kept| !kept.whole)).collect()
}

/// The index has no checksum, and needs none: what is in it stands in the table too.
fn is_index_of_pins_right(connection: &Connection) -> rusqlite::Result<bool> {
    let pins = |how: &str| {
        let sql = format!("SELECT id FROM kept {how} WHERE pinned = 1 ORDER BY id");
        let mut statement = connection.prepare(&sql)?;
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()
    };
    Ok(pins("NOT INDEXED")? == pins("INDEXED BY kept_pinned")?)
}

/// The same of the index of topics' newest retained messages.
fn is_index_of_retained_right(connection: &Connection) -> rusqlite::Result<bool> {
    let retained = |how: &str| {
        let sql = format!("SELECT last_retained, id, profile FROM topic {how} WHERE last_retained > 0");
        let mut statement = connection.prepare(&sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let mut rows = rows.collect::<rusqlite::Result<Vec<(Seq, i64, i64)>>>()?;
        rows.sort_unstable();
        Ok::<_, rusqlite::Error>(rows)
    };
    Ok(retained("NOT INDEXED")? == retained("INDEXED BY topic_retained")?)
}

/// Makes the indexes of what stays anew.
pub(super) fn mend_indexes(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("REINDEX kept_pinned; REINDEX topic_retained")
}

/// In place of a profile's number: those of all.
const ANY: i64 = 0;

/// The topics of a profile of whose newest rows the file does not say what was written there.
fn wrong_newest(connection: &Connection, number: i64) -> rusqlite::Result<Vec<i64>> {
    let columns = Newest::COLUMNS;
    let mut statement =
        connection.prepare(&format!("SELECT id, {columns} FROM topic WHERE ?1 IN (0, profile)"))?;
    let mut topics = statement.query([number])?;
    let mut wrong = Vec::new();
    while let Some(topic) = topics.next()? {
        let id = topic.get(0)?;
        if Newest::read(id, topic, 1).is_none() {
            wrong.push(id);
        }
    }
    Ok(wrong)
}

/// Finds out anew, from the blocks of a profile, which are the newest rows of the topics of which the file says it wrongly,
/// and writes it. Says whether there were any. What stands in blocks that are damaged too is not found.
pub(super) fn mend_newest(connection: &Connection, extent: &Extent) -> rusqlite::Result<bool> {
    let wrong = wrong_newest(connection, extent.number)?;
    if wrong.is_empty() {
        return Ok(false);
    }
    tracing::warn!(topics = wrong.len(), "which messages are the newest of topics was damaged in the file");
    let mut found: HashMap<_, _> = wrong.into_iter().map(|topic| (topic, Newest::default())).collect();
    let mut next = 1;
    while next <= extent.last_seq {
        let start = next;
        let walked = each_block(connection, extent.number, start, extent.last_seq, |block| {
            next = block.first_seq + block.rows;
            // A damaged one has nothing to say.
            let Ok(heads) = block.heads() else { return Ok(()) };
            let topics = heads.topics.clone();
            for (seq, head) in (block.first_seq..).zip(heads.map_while(|head| head.ok())) {
                let topic = head.topic.and_then(|place| topics.get(place));
                if let Some(newest) = topic.and_then(|topic| found.get_mut(topic)) {
                    newest.follow(seq, head.flags, head.size == 0);
                }
            }
            Ok(())
        });
        match walked {
            Err(error) if is_damage(&error) => next = after_gap(connection, extent.number, next),
            walked => {
                walked?;
                break;
            }
        }
    }
    let mut update = connection.prepare(
        "UPDATE topic SET last_in = ?2, last_out = ?3, last_retained = ?4, newest_checksum = ?5 WHERE id = ?1",
    )?;
    for (topic, newest) in found {
        let Newest { received, sent, retained } = newest;
        update.execute([topic, received, sent, retained, newest.checksum(topic)])?;
    }
    Ok(true)
}

fn wrong_extents(connection: &Connection) -> rusqlite::Result<Vec<(ProfileId, Extent)>> {
    let mut wrong = Vec::new();
    for (profile, extent) in extents(connection)? {
        let found = extent_as_it_is(connection, profile)?.is_some_and(|found| found.number == extent.number);
        let kept = kept_before(connection, extent.number, extent.first_seq)?;
        if !found || !extent.whole || kept != extent.kept {
            wrong.push((profile, extent));
        }
    }
    Ok(wrong)
}

/// In a file that is not the one that was written before, numbers go on where they were, as if all rows had gone: so no view
/// takes a new row for an old one. Says whose rows are not there.
pub(super) fn go_on(
    connection: &Connection,
    known: &HashMap<ProfileId, Extent>,
) -> rusqlite::Result<Vec<ProfileId>> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let mut gone = Vec::new();
    for (&profile, before) in known {
        if extent_as_it_is(&transaction, profile)?.is_some() {
            continue;
        }
        let next = before.last_seq + 1;
        add_profile(
            &transaction,
            profile,
            Extent {
                first_seq: next,
                oldest_seq: next,
                last_seq: before.last_seq,
                kept_gone: before.kept_gone + before.kept + 1,
                ..Extent::NONE
            },
        )?;
        gone.push(profile);
    }
    transaction.commit()?;
    Ok(gone)
}

/// Adds a profile that is not there yet.
pub(super) fn add_profile(
    connection: &Connection,
    profile: ProfileId,
    extent: Extent,
) -> rusqlite::Result<Extent> {
    connection.execute("INSERT INTO profile (uuid) VALUES (?1)", [profile.to_string()])?;
    let extent = Extent { number: connection.last_insert_rowid(), ..extent };
    write_extent(connection, profile, &extent)?;
    Ok(extent)
}

/// Adds a topic that is not there yet; gives its number.
pub(super) fn add_topic(connection: &Connection, profile: i64, name: &str) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("INSERT INTO topic (profile, name) VALUES (?1, ?2)")?
        .execute(params![profile, name])?;
    let id = connection.last_insert_rowid();
    connection
        .prepare_cached("UPDATE topic SET checksum = ?2, newest_checksum = ?3 WHERE id = ?1")?
        .execute([id, topic_checksum(id, profile, name), Newest::default().checksum(id)])?;
    Ok(id)
}

/// What a topic's name is checked by.
pub(super) fn topic_checksum(id: i64, profile: i64, name: &str) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&id.to_le_bytes());
    hasher.update(&profile.to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.finalize().into()
}

/// The name of a topic of a profile; `None` when the file is damaged where it stands.
pub(super) fn topic_name(connection: &Connection, profile: i64, id: i64) -> rusqlite::Result<Option<String>> {
    let read = connection
        .prepare_cached("SELECT profile, name, checksum FROM topic WHERE id = ?1")?
        .query_row([id], |row| {
            let name = row.get_ref(1)?.as_str()?;
            let whole = (profile, topic_checksum(id, profile, name)) == (row.get(0)?, row.get(2)?);
            Ok(whole.then(|| name.to_owned()))
        })
        .optional();
    match read {
        Ok(name) => Ok(name.flatten()),
        Err(error) if is_damage(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The number of a topic of a profile, by its name, and which rows are its newest; `None` when that is damaged.
pub(super) fn topic_of_name(
    connection: &Connection,
    profile: i64,
    name: &str,
) -> rusqlite::Result<Option<(i64, Option<Newest>)>> {
    let sql = format!("SELECT id, checksum, {} FROM topic WHERE profile = ?1 AND name = ?2", Newest::COLUMNS);
    let found = connection.prepare_cached(&sql)?.query_row(params![profile, name], |row| {
        let id = row.get(0)?;
        // An index that is damaged may name another topic.
        let whole = row.get::<_, i64>(1)? == topic_checksum(id, profile, name);
        Ok(whole.then(|| (id, Newest::read(id, row, 2))))
    });
    found.optional().map(Option::flatten)
}

/// What is found where it may be damaged what the file says of rows, and whether it was.
pub(super) struct Looked<T> {
    pub found: Vec<T>,
    pub met_damage: bool,
}

impl<T> Looked<T> {
    /// All but what is damaged.
    fn at(all: impl Iterator<Item = rusqlite::Result<Option<T>>>) -> rusqlite::Result<Self> {
        let mut looked = Self { found: Vec::new(), met_damage: false };
        for whole in all {
            match whole? {
                Some(whole) => looked.found.push(whole),
                None => looked.met_damage = true,
            }
        }
        Ok(looked)
    }
}

/// The newest retained messages of topics that are from one row to before another, and are not named as rows that stay.
pub(super) fn retained_between(
    connection: &Connection,
    number: i64,
    first: Seq,
    end: Seq,
) -> rusqlite::Result<Looked<(i64, Seq)>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, {} FROM topic
         WHERE profile = ?1 AND last_retained > 0 AND last_retained >= ?2 AND last_retained < ?3
         AND NOT EXISTS (SELECT 1 FROM kept WHERE kept.id = (?1 << 40) | last_retained)",
        Newest::COLUMNS
    ))?;
    Looked::at(statement.query_map([number, first, end], |row| {
        let topic = row.get(0)?;
        Ok(Newest::read(topic, row, 1).map(|newest| (topic, newest.retained)))
    })?)
}

/// The keys of rows before `end` that stayed and have no reason to any more, up to `limit`.
pub(super) fn without_reason(
    connection: &Connection,
    number: i64,
    end: Seq,
    limit: i64,
) -> rusqlite::Result<Looked<i64>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT kept.id, kept.topic, kept.pinned, kept.checksum, topic.id, {}
         FROM kept LEFT JOIN topic ON topic.id = kept.topic
         WHERE kept.id >= ?1 AND kept.id < ?2 AND kept.pinned = 0
         AND last_retained IS NOT kept.id & ?3 LIMIT ?4",
        Newest::COLUMNS
    ))?;
    Looked::at(statement.query_map([key(number, 1), key(number, end), SEQ_MASK, limit], |row| {
        let kept = Kept::read(row)?;
        let is_right = match row.get::<_, Option<i64>>(4)? {
            Some(topic) => Newest::read(topic, row, 5).is_some(),
            None => true,
        };
        // One that is damaged may have a reason.
        Ok((kept.whole && is_right).then_some(kept.key))
    })?)
}

/// The topics of a profile none of whose rows is left, when all before `first` are gone but those that stay.
pub(super) fn topics_without_rows(
    connection: &Connection,
    number: i64,
    first: Seq,
) -> rusqlite::Result<Looked<i64>> {
    // Whose rows stay has to be known.
    if !are_kept_whole(connection, number, 0, first)? {
        return Ok(Looked { found: Vec::new(), met_damage: true });
    }
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, {} FROM topic WHERE profile = ?1 AND max(last_in, last_out) < ?2
         AND id NOT IN (SELECT topic FROM kept WHERE id >= ?3 AND id < ?4)",
        Newest::COLUMNS
    ))?;
    let within = [number, first, key(number, 0), key(number, first)];
    Looked::at(statement.query_map(within, |row| {
        let topic = row.get(0)?;
        Ok(Newest::read(topic, row, 1).map(|_| topic))
    })?)
}

/// The newest rows of a topic; 0 where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Newest {
    pub received: Seq,
    pub sent: Seq,
    /// The newest that came with RETAIN, unless it said that there is none any more.
    pub retained: Seq,
}

impl Newest {
    /// Columns that [`Self::read`] wants, in its order.
    pub(super) const COLUMNS: &'static str = "last_in, last_out, last_retained, newest_checksum";

    /// What the file says of a topic, from a column on; `None` when that is not what was written there.
    pub(super) fn read(topic: i64, row: &SqlRow<'_>, at: usize) -> Option<Self> {
        // What is damaged may be of any type.
        let fact = |place| row.get::<_, i64>(at + place).ok();
        let newest = Self { received: fact(0)?, sent: fact(1)?, retained: fact(2)? };
        (fact(3)? == newest.checksum(topic)).then_some(newest)
    }

    /// Takes a row in that came after these, and says which was the newest in its direction before.
    pub(super) fn follow(&mut self, seq: Seq, flags: i64, empty: bool) -> Seq {
        if is_retained_by_broker(flags) {
            // An empty one says that there is none any more (MQTT 5, 3.3.1.3).
            self.retained = if empty { 0 } else { seq };
        }
        let newest = match direction(flags) {
            Direction::In => &mut self.received,
            Direction::Out => &mut self.sent,
        };
        std::mem::replace(newest, seq)
    }

    pub(super) fn checksum(&self, topic: i64) -> i64 {
        let mut hasher = crc32fast::Hasher::new();
        for fact in [topic, self.received, self.sent, self.retained] {
            hasher.update(&fact.to_le_bytes());
        }
        hasher.finalize().into()
    }
}

/// A row that stays, or is pinned, as the file says it.
pub(super) struct Kept {
    pub key: i64,
    /// What is damaged counts as pinned, so that nothing goes by damage.
    pub pinned: bool,
    /// Whether the file says this as it was written there.
    pub whole: bool,
}

impl Kept {
    /// Columns that [`Self::read`] wants, in its order.
    pub(super) const COLUMNS: &'static str = "id, topic, pinned, checksum";

    pub(super) fn read(row: &SqlRow<'_>) -> rusqlite::Result<Self> {
        let key = row.get(0)?;
        // What is damaged may be of any type.
        let facts = (row.get(1), row.get::<_, i64>(2), row.get::<_, i64>(3));
        let (pinned, whole) = match facts {
            (Ok(topic), Ok(pinned), Ok(checksum)) if kept_checksum(key, topic, pinned) == checksum => {
                (pinned != 0, true)
            }
            _ => (true, false),
        };
        Ok(Self { key, pinned, whole })
    }
}

fn kept_checksum(key: i64, topic: i64, pinned: i64) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for fact in [key, topic, pinned] {
        hasher.update(&fact.to_le_bytes());
    }
    hasher.finalize().into()
}

/// Writes that a row stays, over what was said of it before.
pub(super) fn keep(connection: &Connection, key: i64, topic: i64, pinned: bool) -> rusqlite::Result<()> {
    let pinned = i64::from(pinned);
    connection
        .prepare_cached("INSERT OR REPLACE INTO kept (id, topic, pinned, checksum) VALUES (?, ?, ?, ?)")?
        .execute([key, topic, pinned, kept_checksum(key, topic, pinned)])
        .map(drop)
}

/// Whether what the file says of rows that stay, or are pinned, from one number to before another is what was written.
pub(super) fn are_kept_whole(
    connection: &Connection,
    number: i64,
    first: Seq,
    end: Seq,
) -> rusqlite::Result<bool> {
    let mut statement = connection
        .prepare_cached(&format!("SELECT {} FROM kept WHERE id >= ?1 AND id < ?2", Kept::COLUMNS))?;
    let mut rows = statement.query([key(number, first), key(number, end)])?;
    while let Some(row) = rows.next()? {
        if !Kept::read(row)?.whole {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The rows from one number to before another that are to stay, or are pinned; ascending.
pub(super) fn kept_between(
    connection: &Connection,
    number: i64,
    first: Seq,
    end: Seq,
) -> rusqlite::Result<Vec<Seq>> {
    connection
        .prepare_cached("SELECT id FROM kept WHERE id >= ?1 AND id < ?2 ORDER BY id")?
        .query_map([key(number, first), key(number, end)], |row| Ok(seq_of(row.get(0)?)))?
        .collect()
}

/// Of the rows before the first one that stay: `limit` from an index on, ascending.
pub(super) fn kept_from_index(
    connection: &Connection,
    extent: &Extent,
    index: u64,
    limit: u64,
) -> rusqlite::Result<Vec<Seq>> {
    let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    connection
        .prepare_cached("SELECT id FROM kept WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3 OFFSET ?4")?
        .query_map(
            [key(extent.number, 1), key(extent.number, extent.first_seq), whole(limit), whole(index)],
            |row| Ok(seq_of(row.get(0)?)),
        )?
        .collect()
}

/// How many rows stay that have a lower number.
pub(super) fn kept_before(connection: &Connection, number: i64, seq: Seq) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM kept WHERE id >= ?1 AND id < ?2")?
        .query_row([key(number, 1), key(number, seq)], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// Where among the rows that stay the first one from a time on is; their number, when all are before.
pub(super) fn kept_since(
    connection: &Connection,
    extent: &Extent,
    time: UnixMicros,
) -> rusqlite::Result<u64> {
    let (mut low, mut high) = (0, extent.kept);
    while low < high {
        let middle = low + (high - low) / 2;
        let Some(&seq) = kept_from_index(connection, extent, middle, 1)?.first() else { break };
        match time_at(connection, extent.number, seq)? {
            Some(at) if at >= time => high = middle,
            _ => low = middle + 1,
        }
    }
    Ok(low)
}

/// The pinned rows from one number to another, ascending; those of which it is damaged whether they are count as pinned.
pub(super) fn pinned_between(
    connection: &Connection,
    number: i64,
    first: Seq,
    last: Seq,
) -> rusqlite::Result<Looked<Seq>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM kept WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
        Kept::COLUMNS
    ))?;
    let mut pinned = Looked { found: Vec::new(), met_damage: false };
    for kept in statement.query_map([key(number, first), key(number, last)], Kept::read)? {
        let kept = kept?;
        pinned.met_damage |= !kept.whole;
        if kept.pinned {
            pinned.found.push(seq_of(kept.key));
        }
    }
    Ok(pinned)
}

/// How many rows of a profile are pinned.
pub(super) fn pinned(connection: &Connection, number: i64) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM kept WHERE pinned = 1 AND id BETWEEN ?1 AND ?2")?
        .query_row([key(number, 1), key(number, SEQ_MASK)], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// The block of its own that a row goes on in; `None` when it has one already.
///
/// # Errors
/// The block that it is in cannot be read.
pub(super) fn set_apart(connection: &Connection, number: i64, seq: Seq) -> rusqlite::Result<Option<Builder>> {
    let mut apart = None;
    each_between(connection, number, seq, seq, |at| {
        let Some(topic) = at.topic_number.filter(|_| at.block_rows > 1) else { return Ok(()) };
        let mut builder = Builder::new(seq, at.head.time);
        builder.push(&NewRow {
            time: at.head.time,
            flags: at.head.flags,
            topic,
            back: at.head.back.unwrap_or_default(),
            properties: at.head.properties(at.properties).map_err(damaged)?,
            payload: at.head.payload(at.payloads).map_err(damaged)?,
        });
        apart = Some(builder);
        Ok(())
    })?;
    Ok(apart)
}

/// The key of the block that a row is in, if it is there.
pub(super) fn block_of(connection: &Connection, number: i64, seq: Seq) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM block WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1")?
        .query_row([key(number, 0), key(number, seq)], |row| row.get(0))
        .optional()
}

/// Shows the block that a row is in, if it is there.
pub(super) fn block_with(
    connection: &Connection,
    number: i64,
    seq: Seq,
    show: impl FnOnce(&Block<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(&format!(
            "SELECT {} FROM block WHERE id BETWEEN ?1 AND ?2 AND (id & ?3) + rows > ?4 ORDER BY id DESC LIMIT 1",
            Block::COLUMNS
        ))?
        .query_row([key(number, 0), key(number, seq), SEQ_MASK, seq], |row| show(&Block::read(row)?))
        .optional()
        .map(drop)
}

/// The first row of the first block that has a row which readers may see.
pub(super) fn kept_from(connection: &Connection, extent: &Extent) -> rusqlite::Result<Seq> {
    let block = connection
        .prepare_cached("SELECT id, rows FROM block WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1")?
        .query_row([key(extent.number, 0), key(extent.number, extent.first_seq)], |row| {
            Ok((seq_of(row.get(0)?), row.get::<_, Seq>(1)?.clamp(1, MOST_ROWS)))
        })
        .optional()?;
    Ok(block
        .filter(|(first, rows)| first + rows > extent.first_seq)
        .map_or(extent.first_seq, |(first, _)| first))
}

/// Whether there is more of a profile than what is to be kept.
pub(super) fn has_more_than(
    connection: &Connection,
    extent: &Extent,
    retention: Retention,
    now: UnixMicros,
) -> rusqlite::Result<bool> {
    if extent.first_seq >= extent.last_seq {
        return Ok(false);
    }
    let too_many = retention.max_rows.is_some_and(|most| extent.in_sequence() > most.max(1));
    let too_big = retention.max_bytes.is_some_and(|most| extent.bytes > most);
    if too_many || too_big {
        return Ok(true);
    }
    let Some(oldest) = retention.oldest(now) else { return Ok(false) };
    Ok(time_at(connection, extent.number, extent.first_seq)?.is_some_and(|time| time < oldest))
}

/// Of a block of the file: where it begins and what is in it.
pub(super) struct Block<'a> {
    /// Number of its first row.
    pub first_seq: Seq,
    /// How many rows it has.
    pub rows: Seq,
    row: &'a SqlRow<'a>,
}

impl Block<'_> {
    /// Columns that [`Self::read`] wants, in its order.
    pub(super) const COLUMNS: &'static str = "id, rows, heads, properties, payloads, earliest, latest";

    pub(super) fn read<'a>(row: &'a SqlRow<'a>) -> rusqlite::Result<Block<'a>> {
        let rows = row.get::<_, Seq>(1)?.clamp(1, MOST_ROWS);
        Ok(Block { first_seq: seq_of(row.get(0)?), rows, row })
    }

    /// Whether a row of it may be from between these times.
    pub(super) fn overlaps(&self, since: UnixMicros, until: UnixMicros) -> rusqlite::Result<bool> {
        let (earliest, latest): (UnixMicros, UnixMicros) = (self.row.get(5)?, self.row.get(6)?);
        Ok(earliest <= until && latest >= since)
    }

    /// Its rows.
    pub(super) fn heads(&self) -> rusqlite::Result<Heads<'_>> {
        let place = block::Place {
            id: self.row.get(0)?,
            rows: self.rows,
            earliest: self.row.get(5)?,
            latest: self.row.get(6)?,
        };
        Heads::read(self.row.get_ref(2)?.as_blob()?, &place).map_err(damaged)
    }

    /// The properties of its rows.
    pub(super) fn properties(&self) -> rusqlite::Result<&[u8]> {
        let properties = self.row.get_ref(3)?.as_blob()?;
        self.check(block::Part::Properties, properties)?;
        Ok(properties)
    }

    /// Reads the payloads of its rows.
    pub(super) fn payloads(&self, payloads: &mut Vec<u8>) -> rusqlite::Result<()> {
        let packed = self.row.get_ref(4)?.as_blob()?;
        self.check(block::Part::Payloads, packed)?;
        block::unpack(packed, payloads).map_err(damaged)
    }

    fn check(&self, part: block::Part, bytes: &[u8]) -> rusqlite::Result<()> {
        block::check(self.row.get_ref(2)?.as_blob()?, part, bytes).map_err(damaged)
    }

    /// Whether all of it is as it was written.
    pub(super) fn check_all(&self) -> rusqlite::Result<()> {
        self.check(block::Part::Payloads, self.row.get_ref(4)?.as_blob()?)?;
        self.properties()?;
        self.heads()?.try_for_each(|head| head.map(drop).map_err(damaged))
    }

    /// Where it has ended, however damaged it is: what it says of that itself may be wrong.
    pub(super) fn end(&self, connection: &Connection) -> rusqlite::Result<Seq> {
        let id: i64 = self.row.get(0)?;
        let next = after_gap(connection, id >> SEQ_BITS, self.first_seq);
        Ok(next.min(self.first_seq + self.rows))
    }

    /// The earliest time of its rows, however damaged they are.
    fn earliest(&self) -> rusqlite::Result<UnixMicros> {
        self.row.get(5)
    }
}

/// What SQLite says of a file that it finds damaged.
pub(super) fn damaged(_: Damaged) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some("what stands there is not what was written".into()))
}

/// Whether the file is damaged where something was to be read. What SQLite finds by itself is that too: its pages are
/// looked at when they are needed, so elsewhere in the file there may be nothing wrong.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as Kind;
    // Values of types that were never written.
    let is_of_another_type = matches!(
        error,
        Kind::InvalidColumnType(..)
            | Kind::FromSqlConversionFailure(..)
            | Kind::IntegralValueOutOfRange(..)
            | Kind::Utf8Error(..)
    );
    is_of_another_type || error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt)
}

/// Bytes of a payload that its preview shows.
const PREVIEW: usize = 256;

/// The rows of a profile from one number to another, ascending: each of them, whatever the file still has of it. Damage is
/// met in what it says of their pins.
pub(super) fn rows_between(
    connection: &Connection,
    number: i64,
    first: Seq,
    last: Seq,
) -> rusqlite::Result<Looked<Row>> {
    let Looked { found: pinned, met_damage } = match pinned_between(connection, number, first, last) {
        Err(error) if is_damage(&error) => Looked { found: Vec::new(), met_damage: true },
        pinned => pinned?,
    };
    let mut found = Rows { first, rows: Vec::new(), pinned };
    let mut reader = Reader::new(connection, number);
    while found.next() <= last {
        let walked = each_block(connection, number, found.next(), last, |block| {
            found.fill(block.first_seq, None);
            let start = found.next();
            match reader.each(block, start, last, |at| found.add(at)) {
                // The other blocks can be read, and each row has its place.
                Err(error) if is_damage(&error) => {
                    found.truncate(start);
                    found.fill(block.end(connection)?.min(last + 1), block.earliest().ok());
                    Ok(())
                }
                read => read,
            }
        });
        match walked {
            Err(error) if is_damage(&error) => {
                let end = after_gap(connection, number, found.next());
                found.fill(end.min(last + 1), None);
            }
            // What the file lacks.
            walked => walked.map(|()| found.fill(last + 1, None))?,
        }
    }
    Ok(Looked { found: found.rows, met_damage })
}

/// A row in whose place the file is damaged.
pub(super) fn damaged_row(connection: &Connection, number: i64, seq: Seq) -> rusqlite::Result<Row> {
    let time = time_at(connection, number, seq)?.unwrap_or(0);
    Ok(Row { seq, time, pinned: false, content: RowContent::Damaged })
}

/// Rows one after the other, without a gap.
struct Rows {
    first: Seq,
    rows: Vec<Row>,
    /// Which of them are pinned.
    pinned: Vec<Seq>,
}

impl Rows {
    fn next(&self) -> Seq {
        self.first + self.rows.len() as Seq
    }

    fn is_pinned(&self, seq: Seq) -> bool {
        self.pinned.binary_search(&seq).is_ok()
    }

    fn add(&mut self, at: &At<'_>) -> rusqlite::Result<()> {
        if at.seq != self.next() {
            return Err(damaged(Damaged));
        }
        self.rows.push(Row { pinned: self.is_pinned(at.seq), ..at.row()? });
        Ok(())
    }

    fn truncate(&mut self, next: Seq) {
        self.rows.truncate(usize::try_from(next - self.first).unwrap_or(0));
    }

    /// The rows before `end` are damaged. When they were is known about, if at all.
    fn fill(&mut self, end: Seq, time: Option<UnixMicros>) {
        let time = time.or_else(|| self.rows.last().map(|row| row.time)).unwrap_or(0);
        for seq in self.next()..end {
            let pinned = self.is_pinned(seq);
            self.rows.push(Row { seq, time, pinned, content: RowContent::Damaged });
        }
    }
}

/// Rows that are passed over where not even the blocks can be told from each other.
const LEAP: Seq = 1_024;

/// The first row that may be read again behind one that cannot.
pub(super) fn after_gap(connection: &Connection, number: i64, seq: Seq) -> Seq {
    // Only keys are looked at, not what is damaged beside them.
    let next = connection
        .prepare_cached("SELECT id FROM block WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT 1")
        .and_then(|mut next| {
            next.query_row([key(number, seq), key(number, SEQ_MASK)], |row| row.get(0)).optional()
        });
    match next {
        // Where SQLite's own pages are damaged the next key may be any: each step leads on all the same.
        Ok(Some(id)) => seq_of(id).max(seq + 1),
        Ok(None) => SEQ_MASK,
        Err(_) => seq + LEAP,
    }
}

/// The first row of what cannot be read, when this is one of its rows.
pub(super) fn gap_begin(connection: &Connection, number: i64, seq: Seq) -> Seq {
    match block_of(connection, number, seq) {
        Ok(Some(id)) => seq_of(id).clamp(1, seq.max(1)),
        Ok(None) => 1,
        Err(_) => (seq - LEAP).max(0) + 1,
    }
}
/// One row, its properties, and the distance to its predecessor on the topic. The row is one that readers may see.
///
/// # Errors
/// Among others: the file is damaged where it stands.
pub(super) fn row_at(
    connection: &Connection,
    number: i64,
    seq: Seq,
) -> rusqlite::Result<(Row, MessageProperties, Option<Seq>)> {
    let pinned = !pinned_between(connection, number, seq, seq)?.found.is_empty();
    of_row(connection, number, seq, |at| Ok((Row { pinned, ..at.row()? }, at.properties()?, at.head.back)))
}

/// The first row from the time on, supposing that times grow from row to row; the end, when all are before.
pub(super) fn first_since(
    connection: &Connection,
    extent: &Extent,
    time: UnixMicros,
) -> rusqlite::Result<Seq> {
    let mut block = connection.prepare_cached("SELECT rows, earliest, latest FROM block WHERE id = ?1")?;
    let (mut low, mut high) = (extent.first_seq, extent.last_seq + 1);
    // It is somewhere from `low` to `high`.
    while low < high {
        let middle = low + (high - low) / 2;
        let Some(id) = block_of(connection, extent.number, middle)? else { break };
        let (rows, earliest, latest): (Seq, UnixMicros, UnixMicros) =
            block.query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let first = seq_of(id);
        if first > middle {
            break;
        }
        if latest < time {
            low = (first + rows.clamp(1, MOST_ROWS)).max(middle + 1);
        } else if earliest >= time {
            high = first.max(low);
        } else {
            let mut found = first + rows.clamp(1, MOST_ROWS);
            let looked = each_between(connection, extent.number, low.max(first), found - 1, |at| {
                if at.head.time >= time {
                    found = found.min(at.seq);
                }
                Ok(())
            });
            return match looked {
                // Somewhere in it, then.
                Err(error) if is_damage(&error) => Ok(low.max(first)),
                looked => looked.map(|()| found),
            };
        }
    }
    Ok(low.min(extent.last_seq + 1))
}

/// When the row was, if it is there.
pub(super) fn time_at(
    connection: &Connection,
    number: i64,
    seq: Seq,
) -> rusqlite::Result<Option<UnixMicros>> {
    let mut time = None;
    let read = block_with(connection, number, seq, |block| {
        let place = usize::try_from(seq - block.first_seq).unwrap_or(usize::MAX);
        // Of a damaged block it is known about when it was: retention goes on.
        time = match block.heads().ok().and_then(|mut heads| heads.nth(place)) {
            Some(Ok(head)) => Some(head.time),
            _ => Some(block.earliest()?),
        };
        Ok(())
    });
    match read {
        // That it is not known keeps nobody else's rows from being found, or from going.
        Err(error) if is_damage(&error) => Ok(None),
        read => read.map(|()| time),
    }
}

/// The first row from `first` on, in its block, that is not from before a time; the end of the block when all are. Rows
/// behind one that is newer are not looked at, since clocks are set back; nor is what is damaged.
pub(super) fn first_from(
    connection: &Connection,
    number: i64,
    first: Seq,
    oldest: UnixMicros,
) -> rusqlite::Result<Seq> {
    let mut old = 0;
    let read = block_with(connection, number, first, |block| {
        let place = usize::try_from(first - block.first_seq).unwrap_or(usize::MAX);
        let is_old = |head: &Result<Head, Damaged>| head.as_ref().is_ok_and(|head| head.time < oldest);
        old = block.heads()?.skip(place).take_while(is_old).count() as Seq;
        Ok(())
    });
    match read {
        Err(error) if is_damage(&error) => Ok(first),
        read => read.map(|()| first + old),
    }
}

/// Reads up to `limit` bytes of a payload from `offset` on, without reading the rest of a big one. The row is one that
/// readers may see.
pub(super) fn payload_part(
    connection: &Connection,
    number: i64,
    seq: Seq,
    offset: u64,
    limit: u64,
) -> rusqlite::Result<Vec<u8>> {
    of_row(connection, number, seq, |at| at.payload(offset, limit))
}

/// The size of a payload. The row is one that readers may see.
pub(super) fn payload_size(connection: &Connection, number: i64, seq: Seq) -> rusqlite::Result<u64> {
    of_row(connection, number, seq, |at| Ok(at.head.size))
}

/// What is asked of a row that has to be there: when it is not, the file is damaged.
fn of_row<T>(
    connection: &Connection,
    number: i64,
    seq: Seq,
    ask: impl Fn(&At<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let mut answer = None;
    each_between(connection, number, seq, seq, |at| {
        answer = Some(ask(at)?);
        Ok(())
    })?;
    answer.ok_or_else(|| damaged(Damaged))
}

/// A payload that stands beside its block.
pub(super) struct BigPayload {
    pub key: i64,
    pub size: u64,
    /// Of what was kept by earlier versions there are none.
    checksums: Vec<u8>,
}

impl BigPayload {
    /// That of a row whose payload is outside; `payloads` are those of its block.
    pub(super) fn new(key: i64, head: &Head, payloads: &[u8]) -> rusqlite::Result<Self> {
        let checksums = head.payload(payloads).map_err(damaged)?.to_vec();
        Ok(Self { key, size: head.size, checksums })
    }

    /// Reads up to `limit` bytes of it from `offset` on, and what else is needed to see that they are right.
    ///
    /// # Errors
    /// They are not, or the payload is not there.
    pub(super) fn part(&self, connection: &Connection, offset: u64, limit: u64) -> rusqlite::Result<Vec<u8>> {
        let blob = match connection.blob_open("main", "big_payload", "payload", self.key, true) {
            Ok(blob) if blob.len() as u64 == self.size => blob,
            Err(error) if error.sqlite_error_code() != Some(rusqlite::ErrorCode::Unknown) => {
                return Err(error);
            }
            // No such row, or another one.
            _ => return Err(damaged(Damaged)),
        };
        let (start, end) = part_of(blob.len(), offset, limit);
        if start == end {
            return Ok(Vec::new());
        }
        let (from, to) = match self.checksums.is_empty() {
            true => (start, end),
            false => {
                let whole = |at: usize| at.next_multiple_of(block::CHECKED).min(blob.len());
                (start / block::CHECKED * block::CHECKED, whole(end))
            }
        };
        let mut bytes = vec![0; to - from];
        blob.read_at_exact(&mut bytes, from)?;
        if !self.checksums.is_empty() {
            block::check_outside(&self.checksums, from, &bytes).map_err(damaged)?;
        }
        bytes.truncate(end - from);
        bytes.drain(..start - from);
        Ok(bytes)
    }
}

/// Up to `limit` bytes from `offset` on.
pub(super) fn part(whole: &[u8], offset: u64, limit: u64) -> &[u8] {
    let (start, end) = part_of(whole.len(), offset, limit);
    &whole[start..end]
}

fn part_of(size: usize, offset: u64, limit: u64) -> (usize, usize) {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(size);
    let length = usize::try_from(limit).unwrap_or(usize::MAX).min(size - start);
    (start, start + length)
}

/// Shows every row of a profile from one number to another that is still there, ascending.
pub(super) fn each_between(
    connection: &Connection,
    number: i64,
    first: Seq,
    last: Seq,
    mut show: impl FnMut(&At<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut reader = Reader::new(connection, number);
    each_block(connection, number, first, last, |block| reader.each(block, first, last, &mut show))
}

/// Shows every block that has rows of a profile from one number to another, ascending.
fn each_block(
    connection: &Connection,
    number: i64,
    first: Seq,
    last: Seq,
    mut show: impl FnMut(&Block<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let start = block_of(connection, number, first)?.unwrap_or(key(number, first));
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM block WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
        Block::COLUMNS
    ))?;
    let mut blocks = statement.query([start, key(number, last)])?;
    while let Some(row) = blocks.next()? {
        let block = Block::read(row)?;
        if block.first_seq + block.rows > first {
            show(&block)?;
        }
    }
    Ok(())
}

/// Reads rows out of blocks; keeps what they have in common.
struct Reader<'a> {
    connection: &'a Connection,
    number: i64,
    names: HashMap<i64, Option<String>>,
    payloads: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(connection: &'a Connection, number: i64) -> Self {
        Self { connection, number, names: HashMap::new(), payloads: Vec::new() }
    }

    /// Shows the rows of a block from one number to another.
    fn each(
        &mut self,
        block: &Block<'_>,
        first: Seq,
        last: Seq,
        mut show: impl FnMut(&At<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let Self { connection, number, names, payloads } = self;
        let properties = block.properties()?;
        block.payloads(payloads)?;
        let heads = block.heads()?;
        let topics = heads.topics.clone();
        for (seq, head) in (block.first_seq..=last).zip(heads) {
            let head = head.map_err(damaged)?;
            if seq < first {
                continue;
            }
            let topic_number = head.topic.map(|place| topics[place]);
            let topic = match topic_number {
                Some(topic) => remembered(connection, *number, names, topic)?,
                None => Some(""),
            };
            show(&At {
                connection,
                number: *number,
                seq,
                head,
                topic,
                topic_number,
                block_rows: block.rows,
                properties,
                payloads,
            })?;
        }
        Ok(())
    }
}

fn remembered<'a>(
    connection: &Connection,
    number: i64,
    names: &'a mut HashMap<i64, Option<String>>,
    topic: i64,
) -> rusqlite::Result<Option<&'a str>> {
    let name = match names.entry(topic) {
        std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
        std::collections::hash_map::Entry::Vacant(place) => {
            place.insert(topic_name(connection, number, topic)?)
        }
    };
    Ok(name.as_deref())
}

/// A row where it stands.
pub(super) struct At<'a> {
    connection: &'a Connection,
    number: i64,
    pub seq: Seq,
    pub head: Head,
    /// Nothing when its name is damaged; of an event empty.
    pub topic: Option<&'a str>,
    /// The topic's number; of an event none.
    pub topic_number: Option<i64>,
    block_rows: Seq,
    properties: &'a [u8],
    payloads: &'a [u8],
}

impl At<'_> {
    /// Up to `limit` bytes of its payload from `offset` on.
    pub(super) fn payload(&self, offset: u64, limit: u64) -> rusqlite::Result<Vec<u8>> {
        if self.head.outside {
            return self.big_payload()?.part(self.connection, offset, limit);
        }
        Ok(part(self.head.payload(self.payloads).map_err(damaged)?, offset, limit).to_vec())
    }

    /// Its payload, which is outside.
    pub(super) fn big_payload(&self) -> rusqlite::Result<BigPayload> {
        BigPayload::new(key(self.number, self.seq), &self.head, self.payloads)
    }

    /// Its MQTT 5 properties.
    pub(super) fn properties(&self) -> rusqlite::Result<MessageProperties> {
        Ok(match self.properties_json()? {
            [] => MessageProperties::default(),
            json => serde_json::from_slice(json).unwrap_or_default(),
        })
    }

    fn properties_json(&self) -> rusqlite::Result<&[u8]> {
        self.head.properties(self.properties).map_err(damaged)
    }

    /// As a table shows it.
    pub(super) fn row(&self) -> rusqlite::Result<Row> {
        let Head { time, flags, size, .. } = self.head;
        let Some(topic) = self.topic else {
            // Its block and all others can be read.
            return Ok(Row { seq: self.seq, time, pinned: false, content: RowContent::Damaged });
        };
        let content = if is_event(flags) {
            let event = usize::try_from(flags - EVENT).ok().and_then(|i| EVENTS.get(i));
            RowContent::Event {
                event: event.copied().unwrap_or(EventKind::Lost),
                text: String::from_utf8_lossy(&self.payload(0, u64::MAX)?).into_owned(),
                facts: serde_json::from_slice(self.properties_json()?).ok(),
            }
        } else {
            let head = self.payload(0, PREVIEW as u64)?;
            let (preview, preview_hex) = preview(&head, size > head.len() as u64);
            RowContent::Message {
                direction: direction(flags),
                topic: topic.to_owned(),
                qos: qos(flags),
                retain: is_retained(flags),
                dup: is_dup(flags),
                size,
                preview,
                preview_hex,
                content_type: self.properties()?.content_type,
            }
        };
        Ok(Row { seq: self.seq, time, pinned: false, content })
    }
}

/// The beginning of a payload as one line, and whether that is hex. `cut` says that the payload goes on.
pub(super) fn preview(head: &[u8], cut: bool) -> (String, bool) {
    let cut = cut || head.len() > PREVIEW;
    let head = &head[..head.len().min(PREVIEW)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        // Only the cut went through a character.
        Err(e) if cut && e.error_len().is_none() => std::str::from_utf8(&head[..e.valid_up_to()]).ok(),
        Err(_) => None,
    };
    match text {
        Some(text) => {
            let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
            (text.chars().map(|c| if breaks(c) { ' ' } else { c }).collect(), false)
        }
        None => (head.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" "), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_are_one_line_and_cut_between_characters() {
        assert_eq!(preview(b"a\nb\tc\0", false), ("a b c ".into(), false));
        assert_eq!(preview(&[0xff, 0xad, 0x00], false), ("ff ad 00".into(), true));
        assert_eq!(preview(b"", false), (String::new(), false));
        let mut long = vec![b'x'; 255];
        long.extend("é".as_bytes());
        assert_eq!(preview(&long, false), ("x".repeat(255), false), "cut by the preview itself");
        assert_eq!(preview(&long[..256], true), ("x".repeat(255), false));
        assert!(preview(&long[..256], false).1, "a payload that ends within a character is not text");
    }

    #[test]
    fn flags_tell_everything_apart() {
        for (i, kind) in EVENTS.into_iter().enumerate() {
            assert_eq!(event_flags(kind), EVENT + i64::try_from(i).expect("small"));
        }
        assert_eq!(seq_of(key(77, 5)), 5);
        assert_eq!(seq_of(key(1, (1 << SEQ_BITS) - 1)), (1 << SEQ_BITS) - 1);
    }

    #[test]
    fn every_version_of_the_file_becomes_the_newest() {
        migrations().validate().expect("valid");
        for version in 0..=6 {
            let mut connection = Connection::open_in_memory().expect("memory");
            migrations().to_version(&mut connection, version).expect("earlier");
            migrations().to_latest(&mut connection).expect("newest");
            assert!(extents(&connection).expect("readable").is_empty());
        }
    }
}
