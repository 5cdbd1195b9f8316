//! The file: its tables, and how a row stands in them. In: items. Out: rows. Knows no threads.
//!
//! One table holds the rows of all profiles. Its key is an integer, the profile's number above the row's
//! (`profile << 40 | seq`): the fastest key SQLite has, in arrival order for each profile, and one that allows
//! reading a part of a big payload. There is no second index. What the previous message on a topic was is
//! known to the writer when it writes, so each row carries the distance to it, and the topic's last rows are
//! kept with the topic: one update a topic and batch instead of one index entry a message.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow};
use rusqlite_migration::{M, Migrations};

use super::{Row, RowContent, Seq};
use crate::message::{Direction, EventKind, Message, MessageProperties};
use crate::profile::{ProfileId, Qos};

/// Versions of the file, oldest first. Only ever add to the end.
pub(super) fn migrations() -> Migrations<'static> {
    Migrations::from_slice(VERSIONS)
}

const VERSIONS: &[M<'static>] = &[M::up(
    "CREATE TABLE profile (
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
    ) STRICT;",
)];

const SEQ_BITS: u32 = 40;

/// The key of a row.
pub(super) fn key(number: i64, seq: Seq) -> i64 {
    (number << SEQ_BITS) | seq
}

/// The row's number in its key.
pub(super) fn seq_of(key: i64) -> Seq {
    key & ((1 << SEQ_BITS) - 1)
}

/// Bytes that a row takes in the file besides payload and properties, about.
pub(super) const ROW_OVERHEAD: u64 = 40;

/// Where a profile's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub number: i64,
    pub first_seq: Seq,
    pub last_seq: Seq,
    pub oldest_seq: Seq,
    pub bytes: u64,
}

impl Extent {
    /// Of a profile without rows.
    pub(super) const NONE: Self = Self { number: 0, first_seq: 1, last_seq: 0, oldest_seq: 1, bytes: 0 };

    pub(super) fn rows(&self) -> u64 {
        u64::try_from(self.last_seq - self.first_seq + 1).unwrap_or(0)
    }

    pub(super) fn contains(&self, seq: Seq) -> bool {
        (self.first_seq..=self.last_seq).contains(&seq)
    }

    fn read(row: &SqlRow<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            number: row.get("number")?,
            first_seq: row.get("first_seq")?,
            last_seq: row.get("last_seq")?,
            oldest_seq: row.get("oldest_seq")?,
            bytes: u64::try_from(row.get::<_, i64>("bytes")?).unwrap_or(0),
        })
    }
}

/// Where the rows of one profile are.
pub(super) fn extent(connection: &Connection, profile: ProfileId) -> rusqlite::Result<Extent> {
    let mut statement = connection.prepare_cached("SELECT * FROM profile WHERE uuid = ?1")?;
    Ok(statement.query_row([profile.to_string()], Extent::read).optional()?.unwrap_or(Extent::NONE))
}

/// Where the rows of every profile are.
pub(super) fn extents(connection: &Connection) -> rusqlite::Result<Vec<(ProfileId, Extent)>> {
    let mut statement = connection.prepare("SELECT * FROM profile")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>("uuid")?, Extent::read(row)?)))?;
    let known = |(uuid, extent): (String, Extent)| Some((ProfileId(uuid.parse().ok()?), extent));
    rows.filter_map(|row| row.map(known).transpose()).collect()
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

pub(super) fn event_flags(kind: EventKind) -> i64 {
    (EVENT..).zip(EVENTS).find(|(_, event)| *event == kind).map_or(EVENT, |(flags, _)| flags)
}

pub(super) fn is_event(flags: i64) -> bool {
    flags >= EVENT
}

/// Bytes of a payload that its preview shows.
const PREVIEW: usize = 256;
/// The rows of a profile with these keys, ascending, that are still there.
pub(super) fn rows_between(connection: &Connection, first: i64, last: i64) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT_ROW} WHERE e.id BETWEEN ?1 AND ?2"))?;
    let raw = statement.query_map([first, last], RawRow::read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    raw.into_iter().map(|raw| raw.finish(connection)).collect()
}

/// One row and its properties and the distance to its predecessor on the topic, if it is there.
pub(super) fn row_at(
    connection: &Connection,
    key: i64,
) -> rusqlite::Result<Option<(Row, MessageProperties, Option<i64>)>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT_ROW} WHERE e.id = ?1"))?;
    let Some((raw, back)) = statement
        .query_row([key], |row| Ok((RawRow::read(row)?, row.get::<_, Option<i64>>("back")?)))
        .optional()?
    else {
        return Ok(None);
    };
    let properties = raw.properties();
    Ok(Some((raw.finish(connection)?, properties, back)))
}

/// When the row was, if it is there.
pub(super) fn time_at(connection: &Connection, key: i64) -> rusqlite::Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT time FROM entry WHERE id = ?1")?;
    statement.query_row([key], |row| row.get(0)).optional()
}

/// Reads up to `limit` bytes of a payload from `offset` on, without reading the rest.
pub(super) fn payload_part(
    connection: &Connection,
    key: i64,
    offset: u64,
    limit: u64,
) -> rusqlite::Result<Vec<u8>> {
    let blob = connection.blob_open("main", "entry", "payload", key, true)?;
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(blob.len());
    let length = usize::try_from(limit).unwrap_or(usize::MAX).min(blob.len() - start);
    let mut bytes = vec![0; length];
    if length > 0 {
        blob.read_at_exact(&mut bytes, start)?;
    }
    Ok(bytes)
}

// Payloads up to 2,048 bytes come with their row; of bigger ones only the beginning is read, later.
const SELECT_ROW: &str = "SELECT e.id, e.time, e.flags, e.back, t.name, e.properties,
    octet_length(e.payload) AS size,
    CASE WHEN octet_length(e.payload) <= 2048 OR e.flags >= 256 THEN e.payload END AS head
    FROM entry e LEFT JOIN topic t ON t.id = e.topic";

struct RawRow {
    key: i64,
    time: i64,
    flags: i64,
    topic: String,
    properties: Option<String>,
    size: u64,
    head: Option<Vec<u8>>,
}

impl RawRow {
    fn read(row: &SqlRow<'_>) -> rusqlite::Result<Self> {
        let size = u64::try_from(row.get::<_, i64>("size")?).unwrap_or(0);
        let flags = row.get("flags")?;
        let head = match row.get_ref("head")? {
            ValueRef::Blob(text) if is_event(flags) => Some(text.to_vec()),
            ValueRef::Blob(payload) => Some(payload[..payload.len().min(PREVIEW)].to_vec()),
            _ => None,
        };
        Ok(Self {
            key: row.get("id")?,
            time: row.get("time")?,
            flags,
            topic: row.get::<_, Option<String>>("name")?.unwrap_or_default(),
            properties: row.get("properties")?,
            size,
            head,
        })
    }

    fn properties(&self) -> MessageProperties {
        let read = |json: &String| serde_json::from_str(json).ok();
        self.properties.as_ref().and_then(read).unwrap_or_default()
    }

    fn finish(self, connection: &Connection) -> rusqlite::Result<Row> {
        let content_type = self.properties().content_type;
        let head = match self.head {
            Some(head) => head,
            None => payload_part(connection, self.key, 0, PREVIEW as u64)?,
        };
        let content = if is_event(self.flags) {
            let event = usize::try_from(self.flags - EVENT).ok().and_then(|i| EVENTS.get(i));
            RowContent::Event {
                event: event.copied().unwrap_or(EventKind::Lost),
                text: String::from_utf8_lossy(&head).into_owned(),
            }
        } else {
            let (preview, preview_hex) = preview(&head, self.size > head.len() as u64);
            RowContent::Message {
                direction: direction(self.flags),
                topic: self.topic,
                qos: u8::try_from(self.flags >> 1 & 3)
                    .ok()
                    .and_then(|q| Qos::try_from(q).ok())
                    .unwrap_or_default(),
                retain: self.flags & RETAIN != 0,
                dup: self.flags & DUP != 0,
                size: self.size,
                preview,
                preview_hex,
                content_type,
            }
        };
        Ok(Row { seq: seq_of(self.key), time: self.time, content })
    }
}

/// The beginning of a payload as one line, and whether that is hex. `cut` says that the payload goes on.
fn preview(head: &[u8], cut: bool) -> (String, bool) {
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
        for version in 0..=VERSIONS.len() {
            let mut connection = Connection::open_in_memory().expect("memory");
            migrations().to_version(&mut connection, version).expect("earlier");
            migrations().to_latest(&mut connection).expect("newest");
            assert!(extents(&connection).expect("readable").is_empty());
        }
    }
}
