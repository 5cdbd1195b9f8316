//! What a table on screen asks for: how many rows there are and which stand where. In: a filter. Out: pages.
//! Without a filter, index and row number differ by a constant. With one, the numbers of the matching rows
//! are kept, four bytes each, found by a search in short turns from the oldest row on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use regex::bytes::{Regex, RegexBuilder};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};

use super::store::{self, Extent};
use super::{Page, RowFilter, Seq, ViewCount, lock};
use crate::error::{Error, Result};
use crate::message::Direction;
use crate::profile::ProfileId;
use crate::topic;

/// Matches that a view holds at most.
const MATCHES: usize = 8_000_000;
/// Rows read between two looks at the clock.
const STRIDE: u32 = 64;
/// Topics whose verdict is remembered.
const TOPICS: usize = 100_000;
/// Memory that a compiled expression may take.
const REGEX_BYTES: usize = 4 << 20;

pub(super) struct View {
    profile: ProfileId,
    filter: Option<Filter>,
    searching: AtomicBool,
    closed: AtomicBool,
}

struct Filter {
    text: Option<Regex>,
    topics: Vec<String>,
    direction: Option<Direction>,
    found: Mutex<Found>,
    /// What is known of topics; who holds it searches.
    verdicts: Mutex<HashMap<i64, Verdict>>,
}

/// Whether rows of a topic can match, and whether all do since the text is in the topic.
#[derive(Clone, Copy)]
struct Verdict {
    possible: bool,
    certain: bool,
}

/// The rows found so far.
#[derive(Default)]
struct Found {
    /// Rows are kept as distances from here.
    base: Seq,
    matches: Vec<u32>,
    /// Where in `matches` the rows begin that are still kept.
    start: usize,
    /// The next row to look at; 0 before the search began.
    next: Seq,
    limited: bool,
}

impl View {
    /// # Errors
    /// `invalid_input` on `text` or `topics`.
    pub(super) fn new(profile: ProfileId, filter: &RowFilter) -> Result<Self> {
        let filter = Filter::new(filter)?;
        Ok(Self { profile, filter, searching: AtomicBool::new(false), closed: AtomicBool::new(false) })
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether the caller is the one to search on.
    pub(super) fn begin_search(&self) -> bool {
        !self.searching.swap(true, Ordering::AcqRel)
    }

    pub(super) fn end_search(&self) {
        self.searching.store(false, Ordering::Release);
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
        let next = lock(&filter.found).resume(&extent);
        if next > extent.last_seq {
            return Ok(false);
        }
        let (until, matches) = filter.search(&connection, &extent, next, time, &mut verdicts)?;
        Ok(lock(&filter.found).add(until, &matches) && until <= extent.last_seq)
    }

    pub(super) fn page(&self, connection: &Connection, start: u64, limit: u32) -> rusqlite::Result<Page> {
        let connection = connection.unchecked_transaction()?;
        let extent = store::extent(&connection, self.profile)?;
        let stored = extent.rows();
        let Some(filter) = &self.filter else {
            let count = ViewCount { rows: stored, stored, searched: stored, limited: false };
            let wanted = u64::from(limit).min(stored.saturating_sub(start));
            let rows = match (i64::try_from(start), i64::try_from(wanted)) {
                (Ok(start), Ok(wanted)) if wanted > 0 => {
                    let first = store::key(extent.number, extent.first_seq + start);
                    store::rows_between(&connection, first, first + wanted - 1)?
                }
                _ => Vec::new(),
            };
            return Ok(Page { start, rows, count });
        };
        let (count, seqs) = lock(&filter.found).page(&extent, start, limit);
        let mut rows = Vec::with_capacity(seqs.len());
        for seq in seqs {
            let key = store::key(extent.number, seq);
            rows.extend(store::rows_between(&connection, key, key)?);
        }
        Ok(Page { start, rows, count })
    }

    pub(super) fn index_of(&self, connection: &Connection, seq: Seq) -> rusqlite::Result<Option<u64>> {
        let extent = store::extent(connection, self.profile)?;
        if !extent.contains(seq) {
            return Ok(None);
        }
        match &self.filter {
            None => Ok(u64::try_from(seq - extent.first_seq).ok()),
            Some(filter) => Ok(lock(&filter.found).index_of(&extent, seq)),
        }
    }
}

impl Filter {
    fn new(filter: &RowFilter) -> Result<Option<Self>> {
        let RowFilter { text, regex, case_sensitive, topics, direction } = filter;
        if text.is_empty() && topics.is_empty() && direction.is_none() {
            return Ok(None);
        }
        for filter in topics {
            topic::check_filter(filter)
                .map_err(|e| Error::invalid("topics", format!("“{filter}” is not a topic filter: {e}")))?;
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
                return Err(Error::invalid("text", "The regular expression is too big: make it shorter"));
            }
            Err(error) => {
                return Err(Error::invalid("text", format!("This is not a regular expression: {error}")));
            }
        };
        Ok(Some(Self {
            text,
            topics: topics.clone(),
            direction: *direction,
            found: Mutex::default(),
            verdicts: Mutex::default(),
        }))
    }

    /// The rows that match from `next` on, and where it stopped looking.
    fn search(
        &self,
        connection: &Connection,
        extent: &Extent,
        next: Seq,
        time: Duration,
        verdicts: &mut HashMap<i64, Verdict>,
    ) -> rusqlite::Result<(Seq, Vec<Seq>)> {
        let started = Instant::now();
        let mut matches = Vec::new();
        // Without a text to find, no payload is read from the disk.
        let payload = if self.text.is_some() { "payload" } else { "NULL" };
        let mut statement = connection.prepare_cached(&format!(
            "SELECT id, flags, topic, {payload} FROM entry WHERE id BETWEEN ?1 AND ?2 ORDER BY id"
        ))?;
        let mut rows =
            statement.query([store::key(extent.number, next), store::key(extent.number, extent.last_seq)])?;
        let mut stride = 0;
        while let Some(row) = rows.next()? {
            let seq = store::seq_of(row.get(0)?);
            let flags: i64 = row.get(1)?;
            let text_in_payload = |row: &rusqlite::Row<'_>| {
                self.text.as_ref().is_some_and(|text| match row.get_ref(3) {
                    Ok(ValueRef::Blob(payload)) => text.is_match(payload),
                    _ => false,
                })
            };
            let hit = if store::is_event(flags) {
                // An event has no topic and no direction: only its text can match.
                self.topics.is_empty() && self.direction.is_none() && text_in_payload(row)
            } else if self.direction.is_some_and(|wanted| wanted != store::direction(flags)) {
                false
            } else {
                let verdict = self.verdict(connection, row.get(2)?, verdicts)?;
                verdict.possible && (verdict.certain || text_in_payload(row))
            };
            if hit {
                matches.push(seq);
            }
            stride += 1;
            if stride >= STRIDE {
                stride = 0;
                if started.elapsed() >= time {
                    return Ok((seq + 1, matches));
                }
            }
        }
        Ok((extent.last_seq + 1, matches))
    }

    fn verdict(
        &self,
        connection: &Connection,
        id: i64,
        verdicts: &mut HashMap<i64, Verdict>,
    ) -> rusqlite::Result<Verdict> {
        if let Some(known) = verdicts.get(&id) {
            return Ok(*known);
        }
        let name: String = connection
            .prepare_cached("SELECT name FROM topic WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?
            .unwrap_or_default();
        let possible =
            self.topics.is_empty() || self.topics.iter().any(|filter| topic::matches(filter, &name));
        let certain = self.text.as_ref().is_none_or(|text| text.is_match(name.as_bytes()));
        if verdicts.len() >= TOPICS {
            verdicts.clear();
        }
        verdicts.insert(id, Verdict { possible, certain });
        Ok(Verdict { possible, certain })
    }
}

impl Found {
    /// Where the search goes on.
    fn resume(&mut self, extent: &Extent) -> Seq {
        if self.next == 0 {
            self.base = extent.first_seq;
        }
        if self.limited {
            return Seq::MAX;
        }
        self.next = self.next.max(extent.first_seq);
        self.next
    }

    /// Takes what a search found before `until`; says whether there is room for more.
    fn add(&mut self, until: Seq, matches: &[Seq]) -> bool {
        for seq in matches {
            match u32::try_from(seq - self.base) {
                Ok(distance) if self.matches.len() - self.start < MATCHES => self.matches.push(distance),
                _ => {
                    self.limited = true;
                    self.next = *seq;
                    return false;
                }
            }
        }
        self.next = until;
        true
    }

    fn page(&mut self, extent: &Extent, start: u64, limit: u32) -> (ViewCount, Vec<Seq>) {
        self.forget_before(extent.first_seq);
        let kept = &self.matches[self.start..];
        let stored = extent.rows();
        let count = ViewCount {
            rows: kept.len() as u64,
            stored,
            searched: u64::try_from(self.next - extent.first_seq).unwrap_or(0).min(stored),
            limited: self.limited,
        };
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let wanted = kept.iter().skip(start).take(limit as usize);
        (count, wanted.map(|distance| self.base + Seq::from(*distance)).collect())
    }

    fn index_of(&mut self, extent: &Extent, seq: Seq) -> Option<u64> {
        self.forget_before(extent.first_seq);
        let distance = u32::try_from(seq - self.base).ok()?;
        self.matches[self.start..].binary_search(&distance).ok().map(|index| index as u64)
    }

    /// Rows that are not kept any more leave the view at its beginning.
    fn forget_before(&mut self, first: Seq) {
        let Ok(first) = u32::try_from(first - self.base) else { return };
        self.start += self.matches[self.start..].partition_point(|distance| *distance < first);
        if self.start > self.matches.len() / 2 {
            self.matches.drain(..self.start);
            self.start = 0;
        }
    }
}
