//! Rows as they stand in the file: a thousand or so of them in one block, in columns. In: rows, one by one.
//! Out: three strings of bytes, and rows again. Pure; what comes from a damaged file is an error, never a panic.
//!
//! A row of its own for each message would cost SQLite more than the message; a block costs it one insert for
//! a thousand. The parts stand apart so that each question reads what it needs: `heads` alone says which
//! topics a block has and what each row is; `payloads` is one piece, so a text is looked for in a thousand
//! payloads at once; it is compressed where that pays.
//!
//!     heads       version, a checksum each of the rest of the heads, of the properties and of the payloads (CRC-32, four
//!                 bytes), rows, base time, distinct topics, then of each row: flags, time since the row before,
//!                 topic (its place among the distinct ones), distance to the topic's last row, size, size of properties
//!     properties  MQTT 5 properties as JSON, one after the other
//!     payloads    0 and the payloads one after the other, or 1, their size, and the same as LZ4. Instead of one that stands
//!                 beside the block there are its checksums, one for each 16 KiB of it
//!
//! The checksum of the heads is of the block's [`Place`] too: what stands beside them in the file, or a whole block, does
//! not pass for another. Blocks of version 2 have neither this nor checksums of payloads beside them, those of version 1
//! none at all.

use std::collections::HashMap;

use super::Seq;
use crate::message::UnixMicros;

/// Payloads from this size on are kept beside their block, so that a part of one can be read alone.
pub(super) const OUTSIDE: usize = 16 << 10;
/// A block is full with so many rows,
const ROWS: usize = 1_024;
/// or so many bytes.
const BYTES: usize = 192 << 10;
/// The most that a block's payloads may say they have, to bound what a damaged file makes room for.
const MOST_BYTES: usize = BYTES + OUTSIDE;
/// Payloads below this size are not worth compressing.
const WORTH: usize = 1 << 10;

/// No bit that flips makes it one of those before.
const VERSION: u8 = 12;
const WITHOUT_PLACE: u8 = 2;
const WITHOUT_CHECKSUMS: u8 = 1;
/// Bytes of one checksum.
const CHECKSUM: usize = 4;
/// How much of a payload that stands beside its block one checksum is of.
pub(super) const CHECKED: usize = 16 << 10;
const PLAIN: u8 = 0;
const LZ4: u8 = 1;

/// Set in a row's flags when its payload is beside the block.
const IS_OUTSIDE: u64 = 32;
/// From here on, flags are those of events.
const EVENT: u64 = 256;

/// What stands in the file is not a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

/// Where a block stands, and what the file says of it besides its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its key: the profile and its first row.
    pub id: i64,
    pub rows: i64,
    pub earliest: UnixMicros,
    pub latest: UnixMicros,
}

/// A row to be added.
pub(super) struct NewRow<'a> {
    pub time: UnixMicros,
    /// Of a message below 32, of an event from 256 on.
    pub flags: i64,
    /// The topic's number; of an event anything.
    pub topic: i64,
    /// Distance to the topic's last row in the same direction; 0 when there is none.
    pub back: Seq,
    /// JSON; empty when there are none.
    pub properties: &'a [u8],
    pub payload: &'a [u8],
}

/// A block under construction.
pub(super) struct Builder {
    first_seq: Seq,
    first_time: UnixMicros,
    last_time: UnixMicros,
    earliest: UnixMicros,
    latest: UnixMicros,
    rows: usize,
    topics: Vec<i64>,
    places: HashMap<i64, u64>,
    heads: Vec<u8>,
    properties: Vec<u8>,
    payloads: Vec<u8>,
    outside: bool,
}

/// A block as the file takes it.
pub(super) struct Encoded {
    pub heads: Vec<u8>,
    pub properties: Vec<u8>,
    pub payloads: Vec<u8>,
}

impl Builder {
    pub(super) fn new(first_seq: Seq, first_time: UnixMicros) -> Self {
        Self {
            first_seq,
            first_time,
            last_time: first_time,
            earliest: first_time,
            latest: first_time,
            rows: 0,
            topics: Vec::new(),
            places: HashMap::new(),
            heads: Vec::new(),
            properties: Vec::new(),
            payloads: Vec::new(),
            outside: false,
        }
    }

    pub(super) fn first_seq(&self) -> Seq {
        self.first_seq
    }

    /// Bytes so far, before compression.
    pub(super) fn size(&self) -> usize {
        self.heads.len() + self.properties.len() + self.payloads.len()
    }

    /// Whether the next row belongs into a block of its own, or into the next one.
    pub(super) fn is_full(&self) -> bool {
        self.outside || self.rows >= ROWS || self.size() >= BYTES
    }

    /// Adds a row; its payload is not taken in when it [`is_outside`].
    pub(super) fn push(&mut self, row: &NewRow<'_>) {
        let outside = is_outside(row.payload);
        let flags = row.flags.unsigned_abs();
        write(&mut self.heads, if outside { flags | IS_OUTSIDE } else { flags });
        write(&mut self.heads, zigzag(row.time.wrapping_sub(self.last_time)));
        self.last_time = row.time;
        self.earliest = self.earliest.min(row.time);
        self.latest = self.latest.max(row.time);
        if flags < EVENT {
            let next = self.topics.len() as u64;
            let place = *self.places.entry(row.topic).or_insert(next);
            if place == next {
                self.topics.push(row.topic);
            }
            write(&mut self.heads, place);
            write(&mut self.heads, row.back.unsigned_abs());
        }
        write(&mut self.heads, row.payload.len() as u64);
        write(&mut self.heads, row.properties.len() as u64);
        self.properties.extend_from_slice(row.properties);
        if outside {
            self.outside = true;
            self.payloads.extend(row.payload.chunks(CHECKED).flat_map(checksum));
        } else {
            self.payloads.extend_from_slice(row.payload);
        }
        self.rows += 1;
    }

    /// Where it goes, under this key.
    pub(super) fn place(&self, id: i64) -> Place {
        let rows = i64::try_from(self.rows).unwrap_or(i64::MAX);
        Place { id, rows, earliest: self.earliest, latest: self.latest }
    }

    /// The block as it is now, for this place.
    pub(super) fn encode(&self, place: &Place) -> Encoded {
        let payloads = pack(&self.payloads);
        let mut heads = Vec::with_capacity(self.heads.len() + 3 * self.topics.len() + 32);
        heads.push(VERSION);
        // That of the heads is known when they are.
        heads.extend_from_slice(&[0; CHECKSUM]);
        heads.extend_from_slice(&checksum(&self.properties));
        heads.extend_from_slice(&checksum(&payloads));
        write(&mut heads, self.rows as u64);
        write(&mut heads, zigzag(self.first_time));
        write(&mut heads, self.topics.len() as u64);
        let mut before = 0;
        for topic in &self.topics {
            write(&mut heads, zigzag(topic.wrapping_sub(before)));
            before = *topic;
        }
        heads.extend_from_slice(&self.heads);
        let own = checksum_at(&heads[1 + CHECKSUM..], place);
        heads[1..=CHECKSUM].copy_from_slice(&own);
        Encoded { heads, properties: self.properties.clone(), payloads }
    }
}

/// Whether a payload is kept beside its block.
pub(super) fn is_outside(payload: &[u8]) -> bool {
    payload.len() >= OUTSIDE
}

/// What a row of a block is; its place in the block's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub time: UnixMicros,
    pub flags: i64,
    /// Its topic's place among [`Heads::topics`]; of an event none.
    pub topic: Option<usize>,
    /// Distance to the topic's last row in the same direction, when there is one.
    pub back: Option<Seq>,
    /// Size of the payload in bytes, wherever it is.
    pub size: u64,
    /// Whether the payload is beside the block.
    pub outside: bool,
    /// Bytes among the payloads of the block: its payload, or the checksums of one that is outside.
    inside: usize,
    payload_at: usize,
    properties_at: usize,
    properties_size: usize,
}

impl Head {
    /// The row's payload among the block's; of one that is outside its checksums, if it has any.
    ///
    /// # Errors
    /// The block is damaged.
    pub(super) fn payload<'a>(&self, payloads: &'a [u8]) -> Result<&'a [u8], Damaged> {
        let end = self.payload_end()?;
        payloads.get(self.payload_at..end).ok_or(Damaged)
    }

    /// Where the row's payload ends among the block's.
    pub(super) fn payload_end(&self) -> Result<usize, Damaged> {
        self.payload_at.checked_add(self.inside).ok_or(Damaged)
    }

    /// The row's properties among the block's, as JSON; empty when it has none.
    ///
    /// # Errors
    /// The block is damaged.
    pub(super) fn properties<'a>(&self, properties: &'a [u8]) -> Result<&'a [u8], Damaged> {
        let end = self.properties_at.checked_add(self.properties_size).ok_or(Damaged)?;
        properties.get(self.properties_at..end).ok_or(Damaged)
    }
}

/// The heads of a block: its topics, then its rows.
pub(super) struct Heads<'a> {
    /// Numbers of the topics that messages of the block have.
    pub topics: Vec<i64>,
    /// Whether payloads that are outside have checksums.
    checked: bool,
    rows: usize,
    rest: &'a [u8],
    time: UnixMicros,
    payload_at: usize,
    properties_at: usize,
}

impl<'a> Heads<'a> {
    /// # Errors
    /// These are no heads of a block in this place.
    pub(super) fn read(bytes: &'a [u8], place: &Place) -> Result<Self, Damaged> {
        let (&version, rest) = bytes.split_first().ok_or(Damaged)?;
        let mut rest = match version {
            WITHOUT_CHECKSUMS => rest,
            WITHOUT_PLACE | VERSION => {
                let (own, rest) = rest.split_at_checked(CHECKSUM).ok_or(Damaged)?;
                let is = if version == VERSION { checksum_at(rest, place) } else { checksum(rest) };
                if is != own {
                    return Err(Damaged);
                }
                rest.get(2 * CHECKSUM..).ok_or(Damaged)?
            }
            _ => return Err(Damaged),
        };
        let rows = read_size(&mut rest)?;
        // Whatever reads the file by the one must not miss rows of the other.
        if i64::try_from(rows) != Ok(place.rows) {
            return Err(Damaged);
        }
        let time = unzigzag(read(&mut rest)?);
        let count = read_size(&mut rest)?;
        // No room is made for more than what can be there: a topic takes a byte, and so does a row.
        if count > rest.len() || rows > rest.len() {
            return Err(Damaged);
        }
        let mut topics = Vec::with_capacity(count);
        let mut topic = 0_i64;
        for _ in 0..count {
            topic = topic.wrapping_add(unzigzag(read(&mut rest)?));
            topics.push(topic);
        }
        let checked = version == VERSION;
        Ok(Self { topics, checked, rows, rest, time, payload_at: 0, properties_at: 0 })
    }

    fn row(&mut self) -> Result<Head, Damaged> {
        let flags = read(&mut self.rest)?;
        self.time = self.time.wrapping_add(unzigzag(read(&mut self.rest)?));
        let event = flags >= EVENT;
        let (topic, back) = match event {
            true => (None, None),
            false => {
                let topic = read_size(&mut self.rest)?;
                if topic >= self.topics.len() {
                    return Err(Damaged);
                }
                let back = Seq::try_from(read(&mut self.rest)?).map_err(|_| Damaged)?;
                (Some(topic), (back > 0).then_some(back))
            }
        };
        let size = read(&mut self.rest)?;
        let properties_size = read_size(&mut self.rest)?;
        let outside = flags & IS_OUTSIDE != 0;
        let inside = match usize::try_from(size) {
            Ok(size) if !outside => size,
            Ok(size) if self.checked => size.div_ceil(CHECKED) * CHECKSUM,
            Ok(_) => 0,
            Err(_) => return Err(Damaged),
        };
        let head = Head {
            time: self.time,
            flags: i64::try_from(flags & !IS_OUTSIDE).map_err(|_| Damaged)?,
            topic,
            back,
            size,
            outside,
            inside,
            payload_at: self.payload_at,
            properties_at: self.properties_at,
            properties_size,
        };
        self.payload_at = head.payload_end()?;
        self.properties_at = self.properties_at.checked_add(properties_size).ok_or(Damaged)?;
        Ok(head)
    }
}

impl Iterator for Heads<'_> {
    type Item = Result<Head, Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows = self.rows.checked_sub(1)?;
        let row = self.row();
        if row.is_err() {
            self.rows = 0;
        }
        Some(row)
    }
}

/// What stands beside the heads of a block.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Properties,
    Payloads,
}

/// Whether a part of a block is what it was when the heads were written.
///
/// # Errors
/// It is not.
pub(super) fn check(heads: &[u8], part: Part, bytes: &[u8]) -> Result<(), Damaged> {
    let at = match part {
        Part::Properties => 1 + CHECKSUM,
        Part::Payloads => 1 + 2 * CHECKSUM,
    };
    match heads.first() {
        Some(&WITHOUT_CHECKSUMS) => Ok(()),
        Some(_) if heads.get(at..at + CHECKSUM) == Some(&checksum(bytes)) => Ok(()),
        _ => Err(Damaged),
    }
}

/// Whether a stretch of a payload beside its block is what it was, by the checksums that the block has of it. The stretch
/// begins with one that a checksum is of, and ends with one or with the payload.
///
/// # Errors
/// It is not.
pub(super) fn check_outside(checksums: &[u8], start: usize, stretch: &[u8]) -> Result<(), Damaged> {
    let mut checksums = checksums.chunks_exact(CHECKSUM).skip(start / CHECKED);
    let whole = stretch.chunks(CHECKED).all(|chunk| checksums.next() == Some(&checksum(chunk)[..]));
    if whole { Ok(()) } else { Err(Damaged) }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    crc32fast::hash(bytes).to_le_bytes()
}

/// Of heads, in the place where they stand.
fn checksum_at(heads: &[u8], place: &Place) -> [u8; CHECKSUM] {
    let Place { id, rows, earliest, latest } = *place;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(heads);
    for fact in [id, rows, earliest, latest] {
        hasher.update(&fact.to_le_bytes());
    }
    hasher.finalize().to_le_bytes()
}

/// The payloads of a block, one after the other.
///
/// # Errors
/// These are no payloads of a block.
pub(super) fn unpack(packed: &[u8], payloads: &mut Vec<u8>) -> Result<(), Damaged> {
    payloads.clear();
    let (&form, mut rest) = packed.split_first().ok_or(Damaged)?;
    match form {
        PLAIN => payloads.extend_from_slice(rest),
        LZ4 => {
            let size = read_size(&mut rest)?;
            if size > MOST_BYTES {
                return Err(Damaged);
            }
            payloads.resize(size, 0);
            let written = lz4_flex::block::decompress_into(rest, payloads).map_err(|_| Damaged)?;
            if written != size {
                return Err(Damaged);
            }
        }
        _ => return Err(Damaged),
    }
    Ok(())
}

fn pack(payloads: &[u8]) -> Vec<u8> {
    if payloads.len() >= WORTH {
        let mut packed = vec![LZ4];
        write(&mut packed, payloads.len() as u64);
        let start = packed.len();
        packed.resize(start + lz4_flex::block::get_maximum_output_size(payloads.len()), 0);
        // There is always room: its most was asked for.
        if let Ok(size) = lz4_flex::block::compress_into(payloads, &mut packed[start..])
            && size < payloads.len() - payloads.len() / 8
        {
            packed.truncate(start + size);
            return packed;
        }
    }
    let mut plain = Vec::with_capacity(payloads.len() + 1);
    plain.push(PLAIN);
    plain.extend_from_slice(payloads);
    plain
}

// Integers in as many bytes as they need, seven bits each, lowest first.

fn write(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn read(bytes: &mut &[u8]) -> Result<u64, Damaged> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Ok(value);
        }
    }
    Err(Damaged)
}

fn read_size(bytes: &mut &[u8]) -> Result<usize, Damaged> {
    usize::try_from(read(bytes)?).map_err(|_| Damaged)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Time, flags, topic, distance back, properties, payload.
    type AnyRow = (i64, i64, i64, i64, Vec<u8>, Vec<u8>);

    fn rows() -> impl Strategy<Value = Vec<AnyRow>> {
        let bytes = || {
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..100),
                (any::<u8>(), 0..OUTSIDE + 10).prop_map(|(byte, size)| vec![byte; size]),
            ]
        };
        let flags = prop_oneof![0..32_i64, 256..264_i64];
        let properties = proptest::collection::vec(any::<u8>(), 0..10);
        let row = (any::<i64>(), flags, any::<i64>(), 0..1_i64 << 40, properties, bytes());
        proptest::collection::vec(row, 0..50)
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(mut rows in rows()) {
            let first = rows.first().map_or(0, |row| row.0);
            let mut builder = Builder::new(7, first);
            for (time, flags, topic, back, properties, payload) in &rows {
                if builder.is_full() {
                    break;
                }
                builder.push(&NewRow {
                    time: *time, flags: *flags, topic: *topic, back: *back, properties, payload,
                });
            }
            rows.truncate(builder.rows);
            let place = builder.place(7);
            let encoded = builder.encode(&place);
            let mut payloads = Vec::new();
            unpack(&encoded.payloads, &mut payloads).expect("payloads");
            let heads = Heads::read(&encoded.heads, &place).expect("heads");
            let topics = heads.topics.clone();
            let read: Vec<_> = heads.map(|head| head.expect("a row")).collect();
            prop_assert_eq!(read.len(), rows.len());
            for (head, (time, flags, topic, back, properties, payload)) in read.iter().zip(&rows) {
                prop_assert_eq!((head.time, head.flags, head.size), (*time, *flags, payload.len() as u64));
                prop_assert_eq!(head.outside, payload.len() >= OUTSIDE);
                let inside = head.payload(&payloads).expect("a payload");
                if head.outside {
                    prop_assert!(check_outside(inside, 0, payload).is_ok());
                } else {
                    prop_assert_eq!(inside, &payload[..]);
                }
                prop_assert_eq!(head.properties(&encoded.properties).expect("properties"), &properties[..]);
                if *flags < 256 {
                    prop_assert_eq!(topics[head.topic.expect("a topic")], *topic);
                    prop_assert_eq!(head.back.unwrap_or(0), *back);
                } else {
                    prop_assert_eq!(head.topic, None);
                }
            }
        }

        #[test]
        fn damage_is_an_error_and_never_a_panic(heads in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut heads = heads;
            if let Some(first) = heads.first_mut() {
                *first &= 15;
            }
            let mut payloads = Vec::new();
            let _ = unpack(&heads, &mut payloads);
            let _ = check_outside(&heads, payloads.len(), &heads);
            for rows in 0..8 {
                if let Ok(read) = Heads::read(&heads, &Place { id: 1, rows, earliest: 0, latest: 0 }) {
                    for head in read.flatten() {
                        let _ = (head.payload(&payloads), head.properties(&payloads));
                    }
                }
            }
        }
    }

    #[test]
    fn any_bit_that_flips_is_noticed() {
        let mut builder = Builder::new(1, 0);
        for n in 0..100_u8 {
            builder.push(&NewRow {
                time: 0,
                flags: 0,
                topic: 1,
                back: 1,
                properties: b"{}",
                payload: &[n; 20],
            });
        }
        let place = builder.place(1);
        let whole = builder.encode(&place);
        let is_whole = |heads: &[u8], properties: &[u8], payloads: &[u8]| {
            Heads::read(heads, &place).is_ok()
                && check(heads, Part::Properties, properties).is_ok()
                && check(heads, Part::Payloads, payloads).is_ok()
        };
        assert!(is_whole(&whole.heads, &whole.properties, &whole.payloads));
        for part in 0..3 {
            let mut parts = [&whole.heads, &whole.properties, &whole.payloads].map(Clone::clone);
            for at in 0..parts[part].len() {
                parts[part][at] ^= 1 << (at % 8);
                assert!(!is_whole(&parts[0], &parts[1], &parts[2]), "byte {at} of part {part}");
                parts[part][at] ^= 1 << (at % 8);
            }
        }
        for other in [
            Place { id: 2, ..place },
            Place { rows: 101, ..place },
            Place { earliest: 1, ..place },
            Place { latest: 1, ..place },
        ] {
            assert!(Heads::read(&whole.heads, &other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn any_bit_of_a_payload_beside_its_block_that_flips_is_noticed() {
        let mut payload: Vec<u8> = (0..OUTSIDE * 3 + 100).map(|n| (n ^ n >> 8) as u8).collect();
        let mut builder = Builder::new(1, 0);
        builder.push(&NewRow { time: 0, flags: 0, topic: 1, back: 1, properties: b"", payload: &payload });
        let place = builder.place(1);
        let encoded = builder.encode(&place);
        let mut payloads = Vec::new();
        unpack(&encoded.payloads, &mut payloads).expect("checksums");
        let head = Heads::read(&encoded.heads, &place).expect("heads").next().expect("a row").expect("a row");
        let checksums = head.payload(&payloads).expect("checksums");
        assert_eq!(checksums.len(), 4 * CHECKSUM);
        for at in (0..payload.len()).step_by(97) {
            payload[at] ^= 1 << (at % 8);
            let chunk = at / CHECKED * CHECKED;
            assert!(check_outside(checksums, 0, &payload).is_err(), "byte {at}");
            let stretch = &payload[chunk..payload.len().min(chunk + CHECKED)];
            assert!(check_outside(checksums, chunk, stretch).is_err(), "byte {at}");
            assert!(check_outside(checksums, 0, &payload[..chunk]).is_ok(), "what is before it is whole");
            payload[at] ^= 1 << (at % 8);
        }
        assert!(check_outside(checksums, 0, &[]).is_ok());
        assert!(check_outside(checksums, CHECKED * 4, b"beyond").is_err());
    }

    #[test]
    fn payloads_that_say_they_are_huge_make_no_room() {
        let mut packed = vec![LZ4];
        write(&mut packed, 1 << 40);
        assert_eq!(unpack(&packed, &mut Vec::new()), Err(Damaged));
    }

    #[test]
    fn what_repeats_takes_less_room() {
        let mut builder = Builder::new(1, 0);
        let payload = br#"{"temperature":21.5,"unit":"C"}"#;
        while !builder.is_full() {
            let row = NewRow { time: 0, flags: 0, topic: 1, back: 1, properties: b"", payload };
            builder.push(&row);
        }
        let encoded = builder.encode(&builder.place(1));
        assert!(encoded.payloads.len() < builder.rows * payload.len() / 10);
        assert!(encoded.heads.len() < builder.rows * 7);
    }
}
