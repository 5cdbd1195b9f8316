//! What is kept: every message and every event of a connection, in SQLite, written in batches by one
//! thread; readers pull what is on screen. In: messages. Out: rows, payload bytes, counts.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::message::{Direction, EventKind, MessageProperties, UnixMicros};
use crate::profile::Qos;

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
        /// Facts in words: a reason code's name, a count, an error.
        text: String,
    },
}

/// Which rows a view shows. Empty matches everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(export)]
pub struct RowFilter {
    /// Text to find in topic or payload; a regular expression when `regex`.
    pub text: String,
    /// Whether `text` is a regular expression.
    pub regex: bool,
    /// Whether case matters.
    pub case_sensitive: bool,
    /// Topic filters, any of which must match; all topics when empty.
    pub topics: Vec<String>,
    /// Only one direction.
    pub direction: Option<Direction>,
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
