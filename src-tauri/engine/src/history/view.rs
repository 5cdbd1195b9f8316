//! What a table on screen asks for: how many rows there are and which stand where. In: a filter. Out: pages.
//! Without a filter, index and row number differ by a constant, but for the few rows at the beginning that stay when
//! retention lets go of what was around them: those are counted off in the file. With a filter, the numbers of the matching rows
//! are kept, four bytes each, found by a search in short turns: what arrives first, then from the newest row back
//! to the oldest, since the newest are what a person looks at.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use regex::bytes::{Regex, RegexBuilder};
use rusqlite::Connection;

use super::block::Head;
use super::condition::{JsonConditions, LARGEST_JSON, PropertyCondition};
use super::store::{self, BigPayload, Block, Extent};
use super::{Page, RowFilter, Seq, ViewCount, lock};
use crate::error::{Error, ErrorReason, Result};
use crate::message::{Direction, Message, UnixMicros};
use crate::profile::{ProfileId, Qos};
use crate::topic;

/// Matches that a view holds at most; beyond, the oldest are let go.
const MATCHES: usize = 8_000_000;
/// Topics whose verdict is remembered.
const TOPICS: usize = 100_000;
/// Memory that a compiled expression may take.
const REGEX_BYTES: usize = 4 << 20;
/// A big payload is searched in parts of this size,
const PART: u64 = 1 << 20;
/// which overlap by so much.
const OVERLAP: u64 = 64 << 10;

pub(super) struct View {
    profile: ProfileId,
    filter: Option<Filter>,
    searching: AtomicBool,
    closed: AtomicBool,
    /// Whether a person wants no older rows to be searched.
    stopped: AtomicBool,
}

/// Which rows of a view are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// From an index on, at most so many.
    From(u64, u32),
    /// The newest, at most so many; without those up to a number, which the asker has.
    Last(u32, Option<Seq>),
}

impl Wanted {
    /// The number from which on they are of interest, if not all are.
    pub(super) fn since(self) -> Option<Seq> {
        match self {
            Self::Last(_, after) => after.map(|after| after.saturating_add(1)),
            Self::From(..) => None,
        }
    }

    /// The indexes, of a view with so many rows of which the first `known` are of no interest.
    pub(super) fn among(self, rows: u64, known: u64) -> std::ops::Range<u64> {
        match self {
            Self::From(start, limit) => start..start.saturating_add(limit.into()).min(rows).max(start),
            Self::Last(limit, _) => rows.saturating_sub(limit.into()).max(known.min(rows))..rows,
        }
    }
}

pub(super) struct Filter {
    text: Option<Regex>,
    /// Whether a match depends on nothing but the bytes that match: then many payloads are searched as one.
    literal: bool,
    topics: Vec<String>,
    heads: HeadFilter,
    pinned: bool,
    property: Option<PropertyCondition>,
    json: Option<JsonConditions>,
    found: Mutex<Found>,
    /// What is known of topics; who holds it searches.
    verdicts: Mutex<HashMap<i64, Verdict>>,
}

/// What the heads of rows alone can tell.
struct HeadFilter {
    direction: Option<Direction>,
    qos: Vec<Qos>,
    retain: Option<bool>,
    since: UnixMicros,
    until: UnixMicros,
    sizes: RangeInclusive<u64>,
    /// Whether events can match.
    events: bool,
}

impl HeadFilter {
    fn matches(&self, time: UnixMicros, flags: i64, size: u64) -> bool {
        if !(self.since..=self.until).contains(&time) {
            return false;
        }
        if store::is_event(flags) {
            return self.events;
        }
        self.direction.is_none_or(|wanted| wanted == store::direction(flags))
            && (self.qos.is_empty() || self.qos.contains(&store::qos(flags)))
            && self.retain.is_none_or(|wanted| wanted == store::is_retained(flags))
            && self.sizes.contains(&size)
    }
}

/// Whether rows of a topic can match, and whether all do since the text is in the topic.
#[derive(Clone, Copy)]
struct Verdict {
    possible: bool,
    certain: bool,
    /// Whether nothing can be said of it, since its name is damaged.
    damaged: bool,
}

/// The rows found so far: first those that stay although they are before the first row, then `older`, then `newer`.
#[derive(Default)]
struct Found {
    /// Matches among the rows that stay, oldest first.
    kept: VecDeque<Seq>,
    /// The first row, and how many of those that stayed had gone, at the last look.
    first: Seq,
    kept_gone: u64,
    /// Rows are kept as distances from here.
    base: Seq,
    /// Those found on the way back, newest first.
    older: Vec<u32>,
    /// Those found among what arrived since, oldest first.
    newer: Vec<u32>,
    /// Where in `newer` the rows begin that are still kept.
    start: usize,
    /// The next row to look at on the way back, through the rows that stay to the end: 0 when that is done.
    down: Seq,
    /// The next row to look at of what arrives; 0 before the search began.
    up: Seq,
    limited: bool,
    /// Rows that could not be looked at.
    damaged: u64,
    /// Rows that left at the beginning.
    gone: i64,
    /// Rows that were found on the way back.
    came: i64,
}

/// The rows to look at next, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stretch {
    Up {
        first: Seq,
        last: Seq,
    },
    Down {
        first: Seq,
        last: Seq,
    },
    /// Rows that stay, on the way back,
    Kept {
        first: Seq,
        last: Seq,
    },
    /// and those that arrived and were let go of all but them before they were looked at.
    Passed {
        first: Seq,
        last: Seq,
    },
}

impl Stretch {
    fn rows(self) -> (Seq, Seq) {
        match self {
            Self::Up { first, last }
            | Self::Down { first, last }
            | Self::Kept { first, last }
            | Self::Passed { first, last } => (first, last),
        }
    }
}

impl View {
    /// # Errors
    /// `invalid_input` on `text` or `topics`.
    pub(super) fn new(profile: ProfileId, filter: &RowFilter) -> Result<Self> {
        let filter = Filter::new(filter)?;
        let [searching, closed, stopped] = std::array::from_fn(|_| AtomicBool::new(false));
        Ok(Self { profile, filter, searching, closed, stopped })
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Ends the search of what is stored, or goes on with it. What arrives is looked at all the same.
    pub(super) fn stop(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::Relaxed);
    }

    /// Whether the caller is the one to search on.
    pub(super) fn begin_search(&self) -> bool {
        !self.searching.swap(true, Ordering::AcqRel)
    }

    pub(super) fn end_search(&self) {
        self.searching.store(false, Ordering::Release);
    }

    #[cfg(test)]
    pub(super) fn searches(&self) -> bool {
        self.searching.load(Ordering::Acquire)
    }

    /// Looks at rows that were not looked at yet, for about `time`; says whether there are more.
    /// Does nothing while another thread searches.
    pub(super) fn search(&self, connection: &Connection, time: Duration) -> rusqlite::Result<bool> {
        let Some(filter) = &self.filter else { return Ok(false) };
        if self.closed.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let mut verdicts = match filter.verdicts.try_lock() {
            Ok(verdicts) => verdicts,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(true),
        };
        let connection = connection.unchecked_transaction()?;
        let extent = store::extent(&connection, self.profile)?;
        let started = Instant::now();
        loop {
            let stretch = {
                let mut found = lock(&filter.found);
                found.follow(&connection, &extent)?;
                found.next(&extent, self.stopped.load(Ordering::Relaxed))
            };
            let Some(stretch) = stretch else { return Ok(false) };
            if filter.search(&connection, &extent, stretch, (started, time), &mut verdicts)? {
                return Ok(true);
            }
        }
    }

    /// A page, and whether what the file says of its rows' pins was met damaged.
    pub(super) fn page(&self, connection: &Connection, wanted: Wanted) -> rusqlite::Result<(Page, bool)> {
        let connection = connection.unchecked_transaction()?;
        let extent = store::extent(&connection, self.profile)?;
        let pinned = store::pinned(&connection, extent.number)?;
        let (mut rows, mut met_damage) = (Vec::new(), false);
        let mut read = |first, last| -> rusqlite::Result<()> {
            let looked = store::rows_between(&connection, extent.number, first, last)?;
            met_damage |= looked.met_damage;
            rows.extend(looked.found);
            Ok(())
        };
        let Some(filter) = &self.filter else {
            let stored = extent.rows();
            let (origin, kept) = (extent.origin(), extent.kept);
            let searched = stored;
            let count =
                ViewCount { rows: stored, stored, searched, origin, kept, pinned, ..ViewCount::default() };
            let known = match wanted.since() {
                None => 0,
                Some(seq) if seq < extent.first_seq => store::kept_before(&connection, extent.number, seq)?,
                Some(seq) => u64::try_from(seq - origin).unwrap_or(0),
            };
            let wanted = wanted.among(stored, known);
            let start = wanted.start;
            if start < kept {
                let limit = wanted.end.min(kept) - start;
                for seq in store::kept_from_index(&connection, &extent, start, limit)? {
                    read(seq, seq)?;
                }
            }
            let place = |index: u64| i64::try_from(index).ok().map(|index| origin + index);
            if let (Some(first), Some(end)) = (place(start.max(kept)), place(wanted.end))
                && first < end
            {
                read(first, end - 1)?;
            }
            return Ok((Page { start, rows, count }, met_damage));
        };
        let (start, count, seqs) = {
            let mut found = lock(&filter.found);
            found.follow(&connection, &extent)?;
            found.page(&extent, wanted)
        };
        let stopped = self.stopped.load(Ordering::Relaxed) && count.searched < count.stored;
        let count = ViewCount { pinned, stopped, ..count };
        // Rows that stand side by side are read together.
        for run in seqs.chunk_by(|a, b| a + 1 == *b) {
            if let [first, .., last] | [first @ last] = run {
                read(*first, *last)?;
            }
        }
        Ok((Page { start, rows, count }, met_damage))
    }

    /// Whose rows it shows.
    pub(super) fn profile(&self) -> ProfileId {
        self.profile
    }

    pub(super) fn index_of(&self, connection: &Connection, seq: Seq) -> rusqlite::Result<Option<u64>> {
        let connection = connection.unchecked_transaction()?;
        let extent = store::extent(&connection, self.profile)?;
        if !extent.contains(&connection, seq)? {
            return Ok(None);
        }
        match &self.filter {
            None if seq < extent.first_seq => store::kept_before(&connection, extent.number, seq).map(Some),
            None => Ok(u64::try_from(seq - extent.origin()).ok()),
            Some(filter) => {
                let mut found = lock(&filter.found);
                found.follow(&connection, &extent)?;
                Ok(found.index_of(seq))
            }
        }
    }
}

impl View {
    /// Where the first row stands that is from the time on.
    pub(super) fn index_at(&self, connection: &Connection, time: UnixMicros) -> rusqlite::Result<u64> {
        let connection = connection.unchecked_transaction()?;
        let extent = store::extent(&connection, self.profile)?;
        let kept = store::kept_since(&connection, &extent, time)?;
        let seq = if kept < extent.kept {
            let first = store::kept_from_index(&connection, &extent, kept, 1)?;
            first.first().copied().unwrap_or(extent.first_seq)
        } else {
            store::first_since(&connection, &extent, time)?
        };
        Ok(match &self.filter {
            None if seq < extent.first_seq => kept,
            None => u64::try_from(seq - extent.origin()).unwrap_or(0),
            Some(filter) => {
                let mut found = lock(&filter.found);
                found.follow(&connection, &extent)?;
                found.index_from(seq)
            }
        })
    }
}

impl Filter {
    /// None when everything is let through.
    ///
    /// # Errors
    /// `invalid_input` on what is wrong with it.
    pub(super) fn new(filter: &RowFilter) -> Result<Option<Self>> {
        // Where the rows are taken from is no matter of the filter.
        let filter = &RowFilter { live: false, ..filter.clone() };
        if *filter == RowFilter::default() {
            return Ok(None);
        }
        let RowFilter { text, regex, case_sensitive, topics, .. } = filter;
        for filter in topics {
            topic::check_filter(filter)
                .map_err(|error| Error::topic("topics", &format!("The topic filter “{filter}”"), error))?;
        }
        let pattern = if *regex { text.clone() } else { regex::escape(text) };
        let compiled = RegexBuilder::new(&pattern)
            .case_insensitive(!case_sensitive)
            .size_limit(REGEX_BYTES)
            .dfa_size_limit(REGEX_BYTES)
            .build();
        let text = match compiled {
            _ if text.is_empty() => None,
            Ok(expression) => Some(expression),
            Err(regex::Error::CompiledTooBig(_)) => {
                let message = "The regular expression is too big: make it shorter";
                return Err(Error::invalid("text", ErrorReason::RegexTooBig, message));
            }
            Err(error) => {
                let message = format!("This is not a regular expression: {error}");
                return Err(Error::invalid("text", ErrorReason::RegexInvalid, message)
                    .with("error", error.to_string()));
            }
        };
        let literal = !regex;
        let json = Some(filter.json.trim())
            .filter(|json| !json.is_empty())
            .map(JsonConditions::parse)
            .transpose()?;
        let property = Some(filter.property.trim()).filter(|property| !property.is_empty());
        // What an event can meet as well.
        let of_any_row = RowFilter {
            text: filter.text.clone(),
            regex: *regex,
            case_sensitive: *case_sensitive,
            since: filter.since,
            until: filter.until,
            ..RowFilter::default()
        };
        Ok(Some(Self {
            text,
            literal,
            topics: topics.clone(),
            heads: HeadFilter {
                direction: filter.direction,
                qos: filter.qos.clone(),
                retain: filter.retain,
                since: filter.since.unwrap_or(UnixMicros::MIN),
                until: filter.until.unwrap_or(UnixMicros::MAX),
                sizes: filter.min_size.unwrap_or(0)..=filter.max_size.unwrap_or(u64::MAX),
                events: of_any_row == *filter,
            },
            pinned: filter.pinned,
            property: property.map(PropertyCondition::parse),
            json,
            found: Mutex::default(),
            verdicts: Mutex::default(),
        }))
    }

    /// Whether a message that is not stored matches.
    pub(super) fn admits(&self, message: &Message) -> bool {
        let Message { topic, payload, .. } = message;
        let has_text = |text: &Regex| text.is_match(topic.as_bytes()) || text.is_match(payload);
        !self.pinned
            && self.heads.matches(message.time, store::message_flags(message), payload.len() as u64)
            && (self.topics.is_empty() || self.topics.iter().any(|filter| topic::matches(filter, topic)))
            && self.text.as_ref().is_none_or(has_text)
            && self.property.as_ref().is_none_or(|property| property.holds(message.properties()))
            && self
                .json
                .as_ref()
                .is_none_or(|json| payload.len() as u64 <= LARGEST_JSON && json.hold(payload))
    }

    /// Looks at the rows of a stretch, a block at a time, and takes down which of them match. Says whether it
    /// stopped because the time was over.
    fn search(
        &self,
        connection: &Connection,
        extent: &Extent,
        stretch: Stretch,
        (started, time): (Instant, Duration),
        verdicts: &mut HashMap<i64, Verdict>,
    ) -> rusqlite::Result<bool> {
        let searched = match stretch {
            Stretch::Up { .. } | Stretch::Down { .. } => {
                self.search_blocks(connection, extent, stretch, (started, time), verdicts)
            }
            Stretch::Kept { first, last } | Stretch::Passed { first, last } => {
                self.search_kept(connection, extent, stretch, (first, last), (started, time), verdicts)
            }
        };
        match searched {
            // Not even the blocks can be told from each other there. What is behind may be whole.
            Err(error) if store::is_damage(&error) => {
                lock(&self.found).pass_over(connection, extent.number, stretch);
                Ok(started.elapsed() >= time)
            }
            searched => searched,
        }
    }

    fn search_blocks(
        &self,
        connection: &Connection,
        extent: &Extent,
        stretch: Stretch,
        (started, time): (Instant, Duration),
        verdicts: &mut HashMap<i64, Verdict>,
    ) -> rusqlite::Result<bool> {
        let (first, last) = stretch.rows();
        let order = if matches!(stretch, Stretch::Up { .. }) { "ASC" } else { "DESC" };
        // Without a text to find, no payload is read from the disk: SQLite reads a column when it is asked for.
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {} FROM block WHERE id BETWEEN ?1 AND ?2 ORDER BY id {order}",
            Block::COLUMNS
        ))?;
        let oldest = store::block_of(connection, extent.number, first)?;
        let mut blocks = statement.query([oldest, Some(store::key(extent.number, last))])?;
        let mut looking = Looking::new(self, connection, extent.number);
        let mut matches = Vec::new();
        // Rows of the stretch that no block was there for yet.
        let (mut from, mut to) = (first, last);
        while let Some(row) = blocks.next()? {
            let block = Block::read(row)?;
            matches.clear();
            let begin = block.first_seq.max(from);
            let mut end = (block.first_seq + block.rows).min(to + 1);
            if begin >= end {
                continue;
            }
            let mut damaged = 0;
            if block.overlaps(self.heads.since, self.heads.until)? {
                if looking.search_what_is_whole(&block, verdicts, &mut matches)? {
                    damaged = looking.damaged.iter().filter(|seq| (from..=to).contains(seq)).count() as u64;
                } else {
                    end = block.end(connection)?.min(to + 1).max(begin);
                    damaged = (end - begin).unsigned_abs();
                }
            }
            matches.retain(|seq| (begin..end).contains(seq));
            // What is between two blocks is not in the file any more.
            let missing = if matches!(stretch, Stretch::Up { .. }) {
                (begin - std::mem::replace(&mut from, end)).unsigned_abs()
            } else {
                (std::mem::replace(&mut to, begin - 1) + 1 - end).unsigned_abs()
            };
            let room = {
                let mut found = lock(&self.found);
                found.damaged += damaged + missing;
                found.add(stretch, begin, end, &matches)
            };
            if !room || started.elapsed() >= time {
                return Ok(room);
            }
        }
        let mut found = lock(&self.found);
        found.damaged += (to + 1 - from).unsigned_abs();
        found.add(stretch, first, last + 1, &[]);
        Ok(false)
    }

    /// Looks at rows that stay, from the newest of them back.
    fn search_kept(
        &self,
        connection: &Connection,
        extent: &Extent,
        stretch: Stretch,
        (first, last): (Seq, Seq),
        (started, time): (Instant, Duration),
        verdicts: &mut HashMap<i64, Verdict>,
    ) -> rusqlite::Result<bool> {
        let number = extent.number;
        let mut looking = Looking::new(self, connection, number);
        let mut matches = Vec::new();
        for seq in store::kept_between(connection, number, first, last + 1)?.into_iter().rev() {
            matches.clear();
            store::block_with(connection, number, seq, |block| {
                if !looking.search_what_is_whole(block, verdicts, &mut matches)? {
                    lock(&self.found).damaged += 1;
                }
                Ok(())
            })?;
            matches.retain(|found| *found == seq);
            lock(&self.found).add(stretch, seq, seq + 1, &matches);
            // Those that were passed are few, and looked at in one go.
            if matches!(stretch, Stretch::Kept { .. }) && started.elapsed() >= time {
                return Ok(true);
            }
        }
        lock(&self.found).add(stretch, first, last + 1, &[]);
        Ok(false)
    }

    fn verdict(
        &self,
        connection: &Connection,
        number: i64,
        id: i64,
        verdicts: &mut HashMap<i64, Verdict>,
    ) -> rusqlite::Result<Verdict> {
        if let Some(known) = verdicts.get(&id) {
            return Ok(*known);
        }
        let verdict = match store::topic_name(connection, number, id)? {
            Some(name) => Verdict {
                possible: self.topics.is_empty()
                    || self.topics.iter().any(|filter| topic::matches(filter, &name)),
                certain: self.text.as_ref().is_none_or(|text| text.is_match(name.as_bytes())),
                damaged: false,
            },
            None => Verdict { possible: true, certain: false, damaged: true },
        };
        if verdicts.len() >= TOPICS {
            verdicts.clear();
        }
        verdicts.insert(id, verdict);
        Ok(verdict)
    }
}

/// Tells which rows of a block match, to whoever goes through the blocks by themselves.
pub(super) struct Sieve {
    filter: Option<Filter>,
    verdicts: HashMap<i64, Verdict>,
    payloads: Vec<u8>,
}

impl Sieve {
    /// # Errors
    /// `invalid_input` on what is wrong with the filter.
    pub(super) fn new(filter: &RowFilter) -> Result<Self> {
        Ok(Self { filter: Filter::new(filter)?, ..Self::everything() })
    }

    /// One that lets everything through.
    pub(super) fn everything() -> Self {
        Self { filter: None, verdicts: HashMap::new(), payloads: Vec::new() }
    }

    /// The rows of a block that match, in order.
    pub(super) fn matches(
        &mut self,
        connection: &Connection,
        number: i64,
        block: &Block<'_>,
        matches: &mut Vec<Seq>,
    ) -> rusqlite::Result<()> {
        let Some(filter) = &self.filter else {
            matches.extend(block.first_seq..block.first_seq + block.rows);
            return Ok(());
        };
        if !block.overlaps(filter.heads.since, filter.heads.until)? {
            return Ok(());
        }
        let payloads = std::mem::take(&mut self.payloads);
        let mut looking = Looking { payloads, ..Looking::new(filter, connection, number) };
        let looked = looking.search(block, &mut self.verdicts, matches);
        self.payloads = looking.payloads;
        // Whoever goes through them is to meet the damage.
        matches.append(&mut looking.damaged);
        matches.sort_unstable();
        looked
    }
}

/// A search through blocks.
struct Looking<'a> {
    filter: &'a Filter,
    connection: &'a Connection,
    number: i64,
    /// Those of the block under way; kept to be filled again.
    payloads: Vec<u8>,
    /// Rows of the block under way that could not be looked at although the block could.
    damaged: Vec<Seq>,
}

impl<'a> Looking<'a> {
    fn new(filter: &'a Filter, connection: &'a Connection, number: i64) -> Self {
        Self { filter, connection, number, payloads: Vec::new(), damaged: Vec::new() }
    }
}

impl Looking<'_> {
    /// As [`Self::search`]; says whether the block could be looked through, and finds nothing in one that is damaged.
    fn search_what_is_whole(
        &mut self,
        block: &Block<'_>,
        verdicts: &mut HashMap<i64, Verdict>,
        matches: &mut Vec<Seq>,
    ) -> rusqlite::Result<bool> {
        match self.search(block, verdicts, matches) {
            Err(error) if store::is_damage(&error) => {
                matches.clear();
                Ok(false)
            }
            searched => searched.map(|()| true),
        }
    }

    /// The rows of a block that match, in order.
    fn search(
        &mut self,
        block: &Block<'_>,
        verdicts: &mut HashMap<i64, Verdict>,
        matches: &mut Vec<Seq>,
    ) -> rusqlite::Result<()> {
        let filter = self.filter;
        self.damaged.clear();
        let pins = if filter.pinned {
            let last = block.first_seq + block.rows - 1;
            store::pinned_between(self.connection, self.number, block.first_seq, last)?.found
        } else {
            Vec::new()
        };
        if filter.pinned && pins.is_empty() {
            return Ok(());
        }
        let heads = block.heads()?;
        let mut topics = Vec::with_capacity(heads.topics.len());
        for topic in &heads.topics {
            topics.push(filter.verdict(self.connection, self.number, *topic, verdicts)?);
        }
        if !filter.heads.events && !topics.iter().any(|verdict| verdict.possible) {
            return Ok(());
        }
        let properties = if filter.property.is_some() { block.properties()? } else { &[] };
        self.payloads.clear();
        if filter.text.is_some() || filter.json.is_some() {
            block.payloads(&mut self.payloads)?;
        }
        // Where the next match in the payloads may be at the earliest; nowhere means that none has one.
        let mut hits = filter.text.as_ref().filter(|_| filter.literal).map(|text| Hits {
            text,
            next: None,
            searched: 0,
        });
        for (seq, head) in (block.first_seq..).zip(heads) {
            let head = head.map_err(store::damaged)?;
            let verdict = match head.topic {
                Some(place) => topics[place],
                // An event has no topic: without a text to find, its time alone counts.
                None => Verdict { possible: true, certain: filter.text.is_none(), damaged: false },
            };
            if verdict.damaged {
                self.damaged.push(seq);
                continue;
            }
            if !verdict.possible || !filter.heads.matches(head.time, head.flags, head.size) {
                continue;
            }
            if filter.pinned && pins.binary_search(&seq).is_err() {
                continue;
            }
            let has_text = verdict.certain
                || match &mut hits {
                    _ if head.outside => self.big_payload_has_text(seq, &head)?,
                    Some(hits) => hits.within(&head, &self.payloads)?,
                    None => self.payload_has_text(&head)?,
                };
            if has_text && self.has_property(properties, &head)? && self.json_holds(seq, &head)? {
                matches.push(seq);
            }
        }
        Ok(())
    }

    fn has_property(&self, properties: &[u8], head: &Head) -> rusqlite::Result<bool> {
        let Some(condition) = &self.filter.property else { return Ok(true) };
        let json = head.properties(properties).map_err(store::damaged)?;
        Ok(!json.is_empty() && serde_json::from_slice(json).is_ok_and(|read| condition.holds(&read)))
    }

    fn json_holds(&self, seq: Seq, head: &Head) -> rusqlite::Result<bool> {
        let Some(conditions) = &self.filter.json else { return Ok(true) };
        if !head.outside {
            return Ok(conditions.hold(head.payload(&self.payloads).map_err(store::damaged)?));
        }
        if head.size > LARGEST_JSON {
            return Ok(false);
        }
        Ok(conditions.hold(&self.big_payload(seq, head)?.part(self.connection, 0, LARGEST_JSON)?))
    }

    fn payload_has_text(&self, head: &Head) -> rusqlite::Result<bool> {
        let payload = head.payload(&self.payloads).map_err(store::damaged)?;
        Ok(self.filter.text.as_ref().is_some_and(|text| text.is_match(payload)))
    }

    /// A payload that stands beside the block that was read last.
    fn big_payload(&self, seq: Seq, head: &Head) -> rusqlite::Result<BigPayload> {
        BigPayload::new(store::key(self.number, seq), head, &self.payloads)
    }

    /// Looks through a big payload part by part, so that none is in memory whole.
    fn big_payload_has_text(&self, seq: Seq, head: &Head) -> rusqlite::Result<bool> {
        let Some(text) = &self.filter.text else { return Ok(false) };
        let payload = self.big_payload(seq, head)?;
        let mut offset = 0;
        while offset < head.size {
            let part = payload.part(self.connection, offset, PART + OVERLAP)?;
            if text.is_match(&part) {
                return Ok(true);
            }
            offset += PART;
        }
        Ok(false)
    }
}

/// Finds a text in all payloads of a block at once.
struct Hits<'a> {
    text: &'a Regex,
    /// Where the next match begins and ends, unless it has not been looked for.
    next: Option<(usize, usize)>,
    /// Everything before was looked at.
    searched: usize,
}

impl Hits<'_> {
    /// Whether the text is within a row's payload. Rows are asked about in order.
    fn within(&mut self, head: &Head, payloads: &[u8]) -> rusqlite::Result<bool> {
        let payload = head.payload(payloads).map_err(store::damaged)?;
        let end = head.payload_end().map_err(store::damaged)?;
        let start = end - payload.len();
        if self.next.is_none_or(|(at, _)| at < start) {
            self.searched = self.searched.max(start);
            let found = self.text.find_at(payloads, self.searched);
            self.next = Some(found.map_or((usize::MAX, usize::MAX), |found| (found.start(), found.end())));
            self.searched = found.map_or(payloads.len(), |found| found.start());
        }
        match self.next {
            Some((at, until)) if at < end && until <= end => Ok(true),
            // It runs over the row's end, so it is none; another may begin behind its beginning.
            Some((at, _)) if at < end => Ok(self.text.is_match(payload)),
            _ => Ok(false),
        }
    }
}

impl Found {
    /// What to look at next, if there is anything; of what arrives alone when the search was stopped.
    fn next(&mut self, extent: &Extent, stopped: bool) -> Option<Stretch> {
        if self.up == 0 {
            self.base = extent.first_seq;
            self.down = extent.last_seq;
            self.up = extent.last_seq + 1;
            self.first = extent.first_seq;
            self.kept_gone = extent.kept_gone;
        }
        if self.up < extent.first_seq && extent.kept > 0 {
            return Some(Stretch::Passed { first: self.up, last: extent.first_seq - 1 });
        }
        let first = self.up.max(extent.first_seq);
        if first <= extent.last_seq {
            return Some(Stretch::Up { first, last: extent.last_seq });
        }
        if stopped || self.limited {
            return None;
        }
        if self.down >= extent.first_seq {
            return Some(Stretch::Down { first: extent.first_seq, last: self.down });
        }
        if self.down > 0 && extent.kept > 0 {
            return Some(Stretch::Kept { first: 1, last: self.down.min(extent.first_seq - 1) });
        }
        None
    }

    /// Takes down which rows have gone since the last look, and which of those stay.
    fn follow(&mut self, connection: &Connection, extent: &Extent) -> rusqlite::Result<()> {
        if self.up == 0 {
            return Ok(());
        }
        let before = self.len();
        if extent.first_seq > self.first {
            if extent.kept > 0 {
                for seq in store::kept_between(connection, extent.number, self.first, extent.first_seq)? {
                    if self.place(seq).is_some() {
                        self.kept.push_back(seq);
                    }
                }
            }
            self.forget_before(extent.first_seq);
            self.first = extent.first_seq;
        }
        if extent.kept_gone > self.kept_gone {
            if !self.kept.is_empty() {
                let there: HashSet<_> = store::kept_between(connection, extent.number, 1, extent.first_seq)?
                    .into_iter()
                    .collect();
                self.kept.retain(|seq| there.contains(seq));
            }
            self.kept_gone = extent.kept_gone;
        }
        self.gone += before as i64 - self.len() as i64;
        Ok(())
    }

    /// Takes down that the rows from `first` on and before `end` were looked at and which of them match. Says
    /// whether there is room for more on that way.
    fn add(&mut self, stretch: Stretch, first: Seq, end: Seq, matches: &[Seq]) -> bool {
        let distance = |seq: &Seq| u32::try_from(seq - self.base).ok();
        match stretch {
            Stretch::Up { .. } => {
                self.newer.extend(matches.iter().filter_map(distance));
                self.up = end;
                let over = self.len().saturating_sub(MATCHES);
                if over > 0 {
                    self.limited = true;
                    let fewer = self.older.len().saturating_sub(over);
                    self.start += over - (self.older.len() - fewer);
                    self.older.truncate(fewer);
                    self.gone += over as i64;
                }
                true
            }
            Stretch::Down { .. } => {
                let room = MATCHES.saturating_sub(self.len());
                let before = self.older.len();
                self.older.extend(matches.iter().rev().filter_map(distance).take(room));
                self.came += (self.older.len() - before) as i64;
                self.down = first - 1;
                self.limited |= matches.len() > room;
                !self.limited
            }
            Stretch::Kept { .. } | Stretch::Passed { .. } => {
                for seq in matches {
                    if let Err(place) = self.kept.binary_search(seq) {
                        self.kept.insert(place, *seq);
                        self.came += 1;
                    }
                }
                if matches!(stretch, Stretch::Kept { .. }) {
                    self.down = first - 1;
                } else {
                    self.up = self.up.max(end);
                }
                true
            }
        }
    }

    /// Goes on behind rows that cannot be looked at, and counts them.
    fn pass_over(&mut self, connection: &Connection, number: i64, stretch: Stretch) {
        let (first, last) = stretch.rows();
        let (from, end) = match stretch {
            Stretch::Up { .. } => {
                let from = self.up.max(first);
                (from, store::after_gap(connection, number, from).min(last + 1))
            }
            Stretch::Down { .. } => {
                let last = self.down.min(last);
                (store::gap_begin(connection, number, last).max(first), last + 1)
            }
            // Which rows stay is not known.
            Stretch::Kept { .. } | Stretch::Passed { .. } => {
                self.damaged += 1;
                self.add(stretch, first, last + 1, &[]);
                return;
            }
        };
        self.damaged += (end - from).unsigned_abs();
        self.add(stretch, from, end, &[]);
    }

    fn len(&self) -> usize {
        self.kept.len() + self.older.len() + self.newer.len() - self.start
    }

    /// The row that stands at an index.
    fn at(&self, index: usize) -> Option<Seq> {
        let Some(index) = index.checked_sub(self.kept.len()) else { return self.kept.get(index).copied() };
        let distance = match self.older.len().checked_sub(index + 1) {
            Some(from_end) => self.older.get(from_end).copied(),
            None => self.newer.get(self.start + index - self.older.len()).copied(),
        };
        distance.map(|distance| self.base + Seq::from(distance))
    }

    /// What a page says, but for the pins.
    fn page(&self, extent: &Extent, wanted: Wanted) -> (u64, ViewCount, Vec<Seq>) {
        let stored = extent.rows();
        let ahead = (self.up - extent.first_seq).max(0) - (self.down + 1 - extent.first_seq).max(0);
        let stay = if self.down == 0 { extent.kept } else { 0 };
        let looked_at = if self.up == 0 { 0 } else { u64::try_from(ahead).unwrap_or(0) + stay };
        let count = ViewCount {
            rows: self.len() as u64,
            stored,
            searched: looked_at.min(stored),
            limited: self.limited,
            origin: self.gone - self.came,
            kept: self.kept.len() as u64,
            damaged: self.damaged,
            ..ViewCount::default()
        };
        let wanted = wanted.among(count.rows, wanted.since().map_or(0, |seq| self.index_from(seq)));
        let start = wanted.start;
        let seqs = wanted.filter_map(|index| self.at(usize::try_from(index).ok()?));
        (start, count, seqs.collect())
    }

    fn index_of(&self, seq: Seq) -> Option<u64> {
        let index = match self.kept.binary_search(&seq) {
            Ok(index) => index,
            Err(_) => self.kept.len() + self.place(seq)?,
        };
        Some(index as u64)
    }

    /// Where a row stands among those from the first one on.
    fn place(&self, seq: Seq) -> Option<usize> {
        let distance = u32::try_from(seq - self.base).ok()?;
        match self.newer[self.start..].binary_search(&distance) {
            Ok(index) => Some(self.older.len() + index),
            Err(_) => {
                let from_end = self.older.binary_search_by(|known| distance.cmp(known)).ok()?;
                Some(self.older.len() - 1 - from_end)
            }
        }
    }

    /// Where the first row stands that has this number or a higher one.
    fn index_from(&self, seq: Seq) -> u64 {
        let kept = self.kept.partition_point(|known| *known < seq);
        if kept < self.kept.len() {
            return kept as u64;
        }
        let distance = u32::try_from((seq - self.base).max(0)).unwrap_or(u32::MAX);
        let later = self.older.partition_point(|known| *known >= distance);
        if later > 0 {
            return (kept + self.older.len() - later) as u64;
        }
        let earlier = self.newer[self.start..].partition_point(|known| *known < distance);
        (kept + self.older.len() + earlier) as u64
    }

    /// Rows before the first one leave the view.
    fn forget_before(&mut self, first: Seq) {
        let Ok(first) = u32::try_from(first - self.base) else { return };
        self.older.truncate(self.older.partition_point(|distance| *distance >= first));
        self.start += self.newer[self.start..].partition_point(|distance| *distance < first);
        if self.start > self.newer.len() / 2 {
            self.newer.drain(..self.start);
            self.start = 0;
        }
    }
}
