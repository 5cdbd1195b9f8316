//! Reads lines of JSON. In: a file. Out: messages with their line numbers, or what is wrong with a line. A line is
//! never longer than what holds the largest MQTT packet, whatever the file says.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::time;
use crate::message::{Direction, Message, MessageProperties};
use crate::profile::Qos;
use crate::topic;

/// The largest Remaining Length (MQTT 5, 1.5.5).
const PACKET: u64 = 268_435_455;
/// The longest line: a packet in which every second byte is escaped, or all of it as base64.
const LONGEST: u64 = 2 * PACKET + (1 << 20);
/// Memory for lines that is kept from line to line.
const KEPT: usize = 1 << 20;

/// The lines of a file.
pub(crate) struct Lines<R = BufReader<File>> {
    input: R,
    longest: u64,
    number: u64,
    read: u64,
    line: Vec<u8>,
}

/// One of them: its number, and the message or why it is none.
pub(crate) type Read = (u64, Result<Message, String>);

impl Lines {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::other("it is a folder"));
        }
        Ok(Self::new(BufReader::with_capacity(1 << 18, file), LONGEST))
    }
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R, longest: u64) -> Self {
        Self { input, longest, number: 0, read: 0, line: Vec::new() }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> u64 {
        self.read
    }

    /// The next line that is not empty; `None` after the last.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub(crate) fn next(&mut self) -> io::Result<Option<Read>> {
        loop {
            self.line.clear();
            self.line.shrink_to(KEPT);
            let size = io::Read::take(&mut self.input, self.longest + 1).read_until(b'\n', &mut self.line)?;
            if size == 0 {
                return Ok(None);
            }
            self.read += size as u64;
            self.number += 1;
            if size as u64 > self.longest && self.line.last() != Some(&b'\n') {
                self.skip()?;
                let why = "It is longer than any MQTT message can be (256 MiB)".to_owned();
                return Ok(Some((self.number, Err(why))));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some((self.number, parse(&self.line))));
            }
        }
    }

    /// Goes on to the next line.
    fn skip(&mut self) -> io::Result<()> {
        loop {
            let some = self.input.fill_buf()?;
            let end = memchr::memchr(b'\n', some);
            let size = end.map_or(some.len(), |end| end + 1);
            self.input.consume(size);
            self.read += size as u64;
            if end.is_some() || size == 0 {
                return Ok(());
            }
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    topic: String,
    #[serde(default)]
    qos: Qos,
    #[serde(default)]
    retain: bool,
    #[serde(default)]
    dup: bool,
    #[serde(borrow)]
    payload: Cow<'a, str>,
    #[serde(default)]
    encoding: Encoding,
    #[serde(default)]
    properties: MessageProperties,
    #[serde(default = "received")]
    direction: Direction,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Utf8,
    Base64,
}

fn received() -> Direction {
    Direction::In
}

fn parse(line: &[u8]) -> Result<Message, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let time = time::parse(&line.time).ok_or_else(|| format!("“{}” is not a time (RFC 3339)", line.time))?;
    topic::check_name(&line.topic).map_err(|error| format!("The topic is not valid: {error}"))?;
    let payload = match line.encoding {
        Encoding::Utf8 => line.payload.into_owned().into_bytes(),
        Encoding::Base64 => {
            BASE64.decode(&*line.payload).map_err(|error| format!("The payload is not base64: {error}"))?
        }
    };
    if payload.len() as u64 > PACKET {
        return Err("The payload is longer than any MQTT message can be (256 MiB)".to_owned());
    }
    Ok(Message {
        time,
        direction: line.direction,
        topic: line.topic,
        payload: payload.into(),
        qos: line.qos,
        retain: line.retain,
        dup: line.dup,
        properties: line.properties.of_message(),
    })
}
