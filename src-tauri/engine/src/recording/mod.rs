//! Messages in files: one JSON object a line, as `helio sub --json` prints it, or CSV for spreadsheets. In: messages,
//! their payloads a part at a time. Out: bytes; and messages again, from lines of JSON. Never holds more of a file
//! than one line, and what cannot be read is counted and named by its line.

mod lines;
mod time;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

pub(crate) use self::lines::Lines;
pub use self::time::rfc3339;
use crate::error::{Error, ErrorCode, ErrorReason};
use crate::message::{Direction, Message, MessageProperties, UnixMicros};
use crate::profile::Qos;

/// What a file of messages is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export)]
pub enum RecordingFormat {
    /// One JSON object a line, which can be imported and replayed.
    Ndjson,
    /// RFC 4180, with a line of names, for spreadsheets.
    Csv,
}

/// A message but for its payload.
pub(crate) struct Head<'a> {
    pub time: UnixMicros,
    pub direction: Direction,
    pub topic: &'a str,
    pub qos: Qos,
    pub retain: bool,
    pub dup: bool,
    pub properties: &'a MessageProperties,
}

/// A message as a line of JSON, without its end.
pub fn line(message: &Message) -> Vec<u8> {
    let head = Head {
        time: message.time,
        direction: message.direction,
        topic: &message.topic,
        qos: message.qos,
        retain: message.retain,
        dup: message.dup,
        properties: message.properties(),
    };
    let mut out = Vec::with_capacity(message.payload.len() + message.topic.len() + 192);
    RecordingFormat::Ndjson.write(&head, &message.payload, &mut out);
    out.pop();
    out
}

impl RecordingFormat {
    /// What a file begins with.
    pub(crate) fn begin(self, out: &mut Vec<u8>) {
        if self == Self::Csv {
            out.extend_from_slice(b"time,direction,topic,qos,retain,dup,encoding,payload,properties\r\n");
        }
    }

    /// A whole message whose payload is in memory.
    pub(crate) fn write(self, head: &Head<'_>, payload: &[u8], out: &mut Vec<u8>) {
        let mut row = self.row(head, std::str::from_utf8(payload).is_ok(), out);
        row.part(payload, out);
        row.end(head, out);
    }

    /// Begins a message, whose payload is UTF-8 `text` or is not.
    pub(crate) fn row(self, head: &Head<'_>, text: bool, out: &mut Vec<u8>) -> RowWriter {
        let Head { time, direction, topic, qos, retain, dup, .. } = *head;
        let (time, qos) = (rfc3339(time), u8::from(qos));
        match self {
            Self::Ndjson => {
                put(out, &format!("{{\"time\":\"{time}\",\"topic\":\""));
                escape(topic, out);
                put(out, &format!("\",\"qos\":{qos},\"retain\":{retain},\"dup\":{dup},\"payload\":\""));
            }
            Self::Csv => {
                put(out, &format!("{time},{},\"", name(direction)));
                double_quotes(topic, out);
                put(out, &format!("\",{qos},{retain},{dup},{},\"", encoding(text)));
            }
        }
        RowWriter { format: self, text, carried: Vec::new() }
    }
}

/// A message under way into a file.
pub(crate) struct RowWriter {
    format: RecordingFormat,
    text: bool,
    /// Bytes of a character, or of three, that are not there whole.
    carried: Vec<u8>,
}

impl RowWriter {
    /// The next bytes of the payload.
    pub(crate) fn part(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.carried.is_empty() {
            let whole = self.whole(bytes);
            self.put(&bytes[..whole], out);
            self.carried.extend_from_slice(&bytes[whole..]);
            return;
        }
        self.carried.extend_from_slice(bytes);
        let mut carried = std::mem::take(&mut self.carried);
        let whole = self.whole(&carried);
        self.put(&carried[..whole], out);
        carried.drain(..whole);
        self.carried = carried;
    }

    /// What follows the payload, the end of the line included.
    pub(crate) fn end(mut self, head: &Head<'_>, out: &mut Vec<u8>) {
        let rest = std::mem::take(&mut self.carried);
        self.put(&rest, out);
        // Strings and numbers: there is nothing that JSON cannot say.
        let properties = serde_json::to_string(head.properties).unwrap_or_default();
        match self.format {
            RecordingFormat::Ndjson => {
                let encoding = encoding(self.text);
                put(out, &format!("\",\"encoding\":\"{encoding}\",\"properties\":{properties}"));
                // Nothing is said of what was received, so that a line is what `helio sub --json` prints.
                put(out, if head.direction == Direction::Out { ",\"direction\":\"out\"}\n" } else { "}\n" });
            }
            RecordingFormat::Csv => {
                put(out, "\",\"");
                double_quotes(if head.properties.is_empty() { "" } else { &properties }, out);
                put(out, "\"\r\n");
            }
        }
    }

    /// How many of the bytes can be written as they are.
    fn whole(&self, bytes: &[u8]) -> usize {
        match self.text {
            true => std::str::from_utf8(bytes).map_or_else(|cut| cut.valid_up_to(), str::len),
            false => bytes.len() - bytes.len() % 3,
        }
    }

    fn put(&self, bytes: &[u8], out: &mut Vec<u8>) {
        match (self.text, self.format) {
            (true, RecordingFormat::Ndjson) => escape(&String::from_utf8_lossy(bytes), out),
            (true, RecordingFormat::Csv) => double_quotes(&String::from_utf8_lossy(bytes), out),
            (false, _) => put(out, &BASE64.encode(bytes)),
        }
    }
}

/// Whether a payload is UTF-8, seen a part at a time.
#[derive(Default)]
pub(crate) struct TextCheck {
    carried: Vec<u8>,
    broken: bool,
}

impl TextCheck {
    /// Looks at the next bytes; says whether it can still be text.
    pub(crate) fn part(&mut self, bytes: &[u8]) -> bool {
        if self.broken {
            return false;
        }
        let mut rest = bytes;
        // A character that the last part ended within takes three more bytes at most.
        while let (false, Some((first, after))) = (self.carried.is_empty() || self.broken, rest.split_first())
        {
            self.carried.push(*first);
            rest = after;
            match std::str::from_utf8(&self.carried) {
                Ok(_) => self.carried.clear(),
                Err(cut) => self.broken = cut.error_len().is_some(),
            }
        }
        if let Err(cut) = std::str::from_utf8(rest) {
            self.broken = cut.error_len().is_some();
            self.carried.extend_from_slice(&rest[cut.valid_up_to()..]);
        }
        !self.broken
    }

    /// Whether all of it was text.
    pub(crate) fn is_text(&self) -> bool {
        !self.broken && self.carried.is_empty()
    }
}

fn encoding(text: bool) -> &'static str {
    if text { "utf8" } else { "base64" }
}

fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in",
        Direction::Out => "out",
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// The inside of a JSON string.
fn escape(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    // Writing to memory does not fail.
    if serde_json::to_writer(&mut *out, text).is_ok() {
        out.pop();
        out.remove(start);
    }
}

/// The inside of a quoted field (RFC 4180, 2.7).
fn double_quotes(text: &str, out: &mut Vec<u8>) {
    for (index, piece) in text.split('"').enumerate() {
        if index > 0 {
            put(out, "\"\"");
        }
        put(out, piece);
    }
}

/// How far a transfer has come, to be read while it goes on.
#[derive(Debug, Default)]
pub struct Progress {
    messages: AtomicU64,
    done: AtomicU64,
    of: AtomicU64,
}

impl Progress {
    /// Messages so far.
    pub fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// How much of how much is done, in rows or bytes; of 0 when nobody knows.
    pub fn share(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed))
    }

    pub(crate) fn add_messages(&self, more: u64) {
        self.messages.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, done: u64, of: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.of.store(of, Ordering::Relaxed);
    }
}

/// Something about one line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct LineProblem {
    /// Which, from 1 on.
    pub line: u64,
    /// What, in one sentence.
    pub message: String,
}

/// The first of many problems are named; all are counted by whoever keeps them.
pub(crate) fn name_problem(problems: &mut Vec<LineProblem>, line: u64, message: impl Into<String>) {
    const NAMED: usize = 5;
    if problems.len() < NAMED {
        problems.push(LineProblem { line, message: message.into() });
    }
}

/// What stands in the way of reading a file.
pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::unreadable(path, error)
}

pub(crate) fn no_recording(path: &Path, problems: &[LineProblem]) -> Error {
    let name = path.display().to_string();
    let why = problems.first().map(|first| format!(": line {}: {}", first.line, first.message));
    let why = why.unwrap_or_else(|| ": it is empty".to_owned());
    let text = format!("{name} holds no message as Heliograph or helio sub --json writes them{why}");
    Error::because(ErrorCode::File, ErrorReason::NoRecording, text)
        .with("path", name)
        .with("line", problems.first().map_or(0, |first| first.line))
}

#[cfg(test)]
mod tests;
