//! Rows on their way into a file, while others arrive. In: a profile, a filter. Out: a file with what the filter lets
//! through, whole or not at all; or, for a recording, a file that grows with what arrives until it is stopped. Reads
//! a block at a time, each in a transaction of its own, so that the log of the database can be taken in between; holds
//! no more of a payload than a part, and holds the rows that are still to come against retention.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use tokio_util::sync::CancellationToken;

use super::store::{self, BigPayload, Block};
use super::view::Sieve;
use super::{History, Readers, RowFilter, Seq, Shared, Unsaved, lock};
use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::message::{MessageProperties, UnixMicros};
use crate::profile::ProfileId;
use crate::recording::{Head, Progress, RecordingFormat, TextCheck};
use crate::whole_file;

/// Bytes gathered before they are written to the file.
const GATHERED: usize = 256 << 10;
/// Bytes of a big payload read at a time.
const PART: u64 = 1 << 20;

/// What an export or a recording came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Messages in the file.
    pub messages: u64,
    /// Events that were left out: a file of messages has no place for them.
    pub events: u64,
    /// Rows that were left out, since the database is damaged where they stand.
    pub damaged: u64,
}

/// What is to be exported.
#[derive(Debug, Clone)]
pub struct ExportOrder {
    /// Of which profile.
    pub profile: ProfileId,
    /// Which rows.
    pub filter: RowFilter,
    /// In which form.
    pub format: RecordingFormat,
}

impl History {
    /// Writes the rows that a filter lets through to a file, those that are kept now. The file is there whole or as
    /// it was before.
    ///
    /// # Errors
    /// `invalid_input` on the filter; `file`: it cannot be written; `not_found`: the rows were cleared meanwhile;
    /// `cancelled`; `storage`.
    pub async fn export(
        &self,
        order: ExportOrder,
        path: &Path,
        progress: Arc<Progress>,
        cancel: CancellationToken,
    ) -> Result<Exported> {
        if order.filter.live {
            let message = "Messages that are shown live only cannot be exported";
            return Err(Error::invalid("live", ErrorReason::LiveNotExported, message));
        }
        let source = self.source(order.profile, Sieve::new(&order.filter)?, order.format).await?;
        let target = path.to_owned();
        let work = move || {
            let mut source = source;
            let written = whole_file::replace(&target, None, |file| {
                let mut sink = FileSink::new(file)?;
                order.format.begin(&mut sink.gathered);
                source.write_all(&mut sink, &progress, &cancel)
            });
            written.map(|()| source.exported).map_err(|error| error.into_error(&source.readers.path, &target))
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| broken(&error))?
    }

    /// Begins to record the messages of a profile that arrive from now on to a file, as lines of JSON, over what is
    /// there. [`Recording::run`] writes them.
    ///
    /// # Errors
    /// `file`: it cannot be written; `storage`.
    pub async fn record(&self, profile: ProfileId, path: &Path) -> Result<Recording> {
        let mut source = self.source(profile, Sieve::everything(), RecordingFormat::Ndjson).await?;
        source.kept.clear();
        source.next = source.last + 1;
        let file = File::create(path).map_err(|error| whole_file::refused(path, &error))?;
        Ok(Recording { history: self.clone(), source, file, path: path.to_owned() })
    }

    /// All rows that are kept of a profile now, held.
    async fn source(&self, profile: ProfileId, sieve: Sieve, format: RecordingFormat) -> Result<Source> {
        let hold = Hold::new(&self.0.shared, profile);
        // What was accepted before belongs to it; and a writer that did not know of the hold yet is done. While
        // nothing can be written nothing is let go of either.
        let _ = self.flush().await;
        let readers = Arc::clone(&self.0.readers);
        let open = move || {
            let (extent, kept) = readers.with(|connection| {
                let connection = connection.unchecked_transaction()?;
                let extent = store::extent(&connection, profile)?;
                let kept = store::kept_between(&connection, extent.number, 1, extent.first_seq)?;
                Ok((extent, kept))
            })?;
            hold.from(extent.first_seq);
            Ok(Source {
                profile,
                sieve,
                format,
                hold,
                first: extent.first_seq,
                kept: kept.into(),
                next: extent.first_seq,
                last: extent.last_seq,
                exported: Exported::default(),
                readers,
            })
        };
        tokio::task::spawn_blocking(open).await.map_err(|error| broken(&error))?
    }
}

/// A file that takes what arrives.
pub struct Recording {
    history: History,
    source: Source,
    file: File,
    path: PathBuf,
}

impl Recording {
    /// Writes until it is stopped; then everything that arrived before stands in the file. What is in the file stays
    /// there, whatever happens.
    ///
    /// # Errors
    /// `file`: it cannot be written on; `not_found`: the rows were cleared before they were written; `storage`.
    pub async fn run(self, progress: Arc<Progress>, stop: CancellationToken) -> Result<Exported> {
        let Self { history, mut source, mut file, path } = self;
        let mut changes = history.changes();
        loop {
            let stopping = stop.is_cancelled();
            if stopping {
                // What cannot be stored now cannot be recorded either.
                let _ = history.flush().await;
            }
            changes.borrow_and_update();
            let (target, progress) = (path.clone(), Arc::clone(&progress));
            let work = move || {
                let written = source.catch_up(&mut file, &target, &progress, stopping);
                (source, file, written)
            };
            let (after, open, written) =
                tokio::task::spawn_blocking(work).await.map_err(|error| broken(&error))?;
            written?;
            if stopping {
                return Ok(after.exported);
            }
            (source, file) = (after, open);
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return Ok(source.exported) },
                () = stop.cancelled() => {}
            }
        }
    }
}

fn broken(error: &tokio::task::JoinError) -> Error {
    Error::new(ErrorCode::Internal, error.to_string())
}

/// Keeps rows of a profile from being let go of by retention, until it is dropped.
pub(super) struct Hold {
    shared: Arc<Shared>,
    profile: ProfileId,
    id: u64,
}

impl Hold {
    pub(super) fn new(shared: &Arc<Shared>, profile: ProfileId) -> Self {
        let mut holds = lock(&shared.holds);
        let id = holds.iter().map(|held| held.id + 1).max().unwrap_or(0);
        holds.push(Held { id, profile, from: 0 });
        Self { shared: Arc::clone(shared), profile, id }
    }

    /// Rows before this one are not needed any more.
    pub(super) fn from(&self, seq: Seq) {
        let mut holds = lock(&self.shared.holds);
        let mine = holds.iter_mut().find(|held| held.id == self.id && held.profile == self.profile);
        if let Some(mine) = mine {
            mine.from = seq;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        lock(&self.shared.holds).retain(|held| held.id != self.id);
    }
}

/// What one [`Hold`] holds.
pub(super) struct Held {
    id: u64,
    profile: ProfileId,
    from: Seq,
}

impl Shared {
    /// The first row of a profile that somebody still needs.
    pub(super) fn held_from(&self, profile: ProfileId) -> Seq {
        let holds = lock(&self.holds);
        holds.iter().filter(|held| held.profile == profile).map(|held| held.from).min().unwrap_or(Seq::MAX)
    }
}

/// Rows of a profile, read a block at a time.
struct Source {
    readers: Arc<Readers>,
    profile: ProfileId,
    sieve: Sieve,
    format: RecordingFormat,
    hold: Hold,
    first: Seq,
    /// Rows before the first one that stay; they come before all others.
    kept: VecDeque<Seq>,
    /// The next row to look at,
    next: Seq,
    /// and the last one.
    last: Seq,
    exported: Exported,
}

/// A message whose payload stands beside its block.
struct BigRow {
    payload: BigPayload,
    seq: Seq,
    time: UnixMicros,
    flags: i64,
    topic: String,
    properties: MessageProperties,
}

/// Bytes on their way into a file.
struct FileSink<'a> {
    file: &'a mut File,
    gathered: Vec<u8>,
    /// Where the last message ends that is in the file whole.
    good: u64,
}

impl<'a> FileSink<'a> {
    fn new(file: &'a mut File) -> std::io::Result<Self> {
        let good = file.stream_position()?;
        Ok(Self { file, gathered: Vec::with_capacity(GATHERED), good })
    }

    /// Writes what is gathered, which are whole messages.
    fn flush_whole(&mut self) -> std::io::Result<()> {
        self.flush()?;
        self.good = self.file.stream_position()?;
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.write_all(&self.gathered)?;
        self.gathered.clear();
        // A block with escapes in it may have taken more.
        self.gathered.shrink_to(4 * GATHERED);
        Ok(())
    }
}

impl Source {
    /// Writes everything up to the last row.
    fn write_all(
        &mut self,
        sink: &mut FileSink<'_>,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> std::result::Result<(), Unsaved> {
        let of = u64::try_from(self.last - self.first + 1).unwrap_or(0);
        let mut told = self.exported.messages;
        while self.next <= self.last || !self.kept.is_empty() {
            if cancel.is_cancelled() {
                return Err(cancelled());
            }
            if let Some(big) = self.step(&mut sink.gathered)? {
                sink.flush_whole()?;
                self.write_big(&big, sink, cancel)?;
                sink.flush_whole()?;
            }
            if sink.gathered.len() >= GATHERED {
                sink.flush_whole()?;
            }
            if sink.gathered.is_empty() {
                progress.add_messages(
                    self.exported.messages - std::mem::replace(&mut told, self.exported.messages),
                );
            }
            self.hold.from(self.next);
            progress.set(u64::try_from(self.next - self.first).unwrap_or(0).min(of), of);
        }
        sink.flush_whole()?;
        progress.add_messages(self.exported.messages - told);
        Ok(())
    }

    /// Writes what has arrived since the last time. When that fails, the file ends with the last whole line.
    fn catch_up(&mut self, file: &mut File, path: &Path, progress: &Progress, last: bool) -> Result<()> {
        self.last = self.readers.with(|connection| store::extent(connection, self.profile))?.last_seq;
        let mut good = None;
        let never = CancellationToken::new();
        let mut write = || -> std::result::Result<(), Unsaved> {
            if !path.exists() {
                return Err(Unsaved::Stopped(gone_away(path)));
            }
            let mut sink = FileSink::new(file)?;
            let written = self.write_all(&mut sink, progress, &never);
            good = Some(sink.good);
            written?;
            if last {
                file.sync_all()?;
            }
            Ok(())
        };
        let written = write();
        if let (Err(_), Some(good)) = (&written, good) {
            let _ = file.set_len(good).and_then(|()| file.sync_all());
        }
        written.map_err(|error| error.into_error(&self.readers.path, path))
    }

    /// Reads the block of the next row, and writes its messages; one with a big payload is handed back instead.
    fn step(&mut self, out: &mut Vec<u8>) -> std::result::Result<Option<BigRow>, Unsaved> {
        let readers = Arc::clone(&self.readers);
        readers.lend(|connection| self.step_on(connection, out)).map_err(Unsaved::Stopped)?
    }

    fn step_on(
        &mut self,
        connection: &Connection,
        out: &mut Vec<u8>,
    ) -> std::result::Result<Option<BigRow>, Unsaved> {
        let transaction = connection.unchecked_transaction().map_err(Unsaved::Database)?;
        let extent = store::extent(&transaction, self.profile).map_err(Unsaved::Database)?;
        if extent.first_seq > self.next {
            return Err(cleared());
        }
        let stays = self.kept.pop_front();
        let read = Reading {
            connection: &transaction,
            number: extent.number,
            first: stays.unwrap_or(self.next),
            last: stays.unwrap_or(self.last),
            format: self.format,
        };
        let mut big = None;
        let next =
            read.block(&mut self.sieve, out, &mut self.exported, &mut big).map_err(Unsaved::Database)?;
        if stays.is_none() {
            self.next = next;
        }
        Ok(big)
    }

    /// Writes a message whose payload is read in parts: first whether it is text, then the bytes.
    fn write_big(
        &mut self,
        big: &BigRow,
        sink: &mut FileSink<'_>,
        cancel: &CancellationToken,
    ) -> std::result::Result<(), Unsaved> {
        // All of it is looked at before any of it is written, so that none of what is damaged is.
        let mut check = TextCheck::default();
        let mut offset = 0;
        while offset < big.payload.size {
            match self.part(big, offset, cancel) {
                Err(Unsaved::Database(error)) if store::is_damage(&error) => {
                    self.exported.damaged += 1;
                    return Ok(());
                }
                part => check.part(&part?),
            };
            offset += PART;
        }
        let head = Head {
            time: big.time,
            direction: store::direction(big.flags),
            topic: &big.topic,
            qos: store::qos(big.flags),
            retain: store::is_retained(big.flags),
            dup: store::is_dup(big.flags),
            properties: &big.properties,
        };
        let mut row = self.format.row(&head, check.is_text(), &mut sink.gathered);
        let mut offset = 0;
        while offset < big.payload.size {
            row.part(&self.part(big, offset, cancel)?, &mut sink.gathered);
            sink.flush()?;
            offset += PART;
        }
        row.end(&head, &mut sink.gathered);
        self.exported.messages += 1;
        Ok(())
    }

    fn part(
        &self,
        big: &BigRow,
        offset: u64,
        cancel: &CancellationToken,
    ) -> std::result::Result<Vec<u8>, Unsaved> {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let read = |connection: &Connection| {
            big.payload.part(connection, offset, PART).map_err(|error| {
                let there = store::extent(connection, self.profile)
                    .and_then(|extent| extent.contains(connection, big.seq));
                if let Ok(false) = there { cleared() } else { Unsaved::Database(error) }
            })
        };
        self.readers.lend(read).map_err(Unsaved::Stopped)?
    }
}

/// A look at one block.
struct Reading<'a> {
    connection: &'a Connection,
    number: i64,
    first: Seq,
    last: Seq,
    format: RecordingFormat,
}

impl Reading<'_> {
    /// Writes the messages of the block that the first row is in, or of the next one when it is in none. Gives the row
    /// that comes after.
    fn block(
        &self,
        sieve: &mut Sieve,
        out: &mut Vec<u8>,
        exported: &mut Exported,
        big: &mut Option<BigRow>,
    ) -> rusqlite::Result<Seq> {
        match self.whole_block(sieve, out, exported, big) {
            // Not even the block can be told from others. What is behind may be whole.
            Err(error) if store::is_damage(&error) => {
                let end = store::after_gap(self.connection, self.number, self.first).min(self.last + 1);
                exported.damaged += (end - self.first).unsigned_abs();
                Ok(end)
            }
            read => read,
        }
    }

    fn whole_block(
        &self,
        sieve: &mut Sieve,
        out: &mut Vec<u8>,
        exported: &mut Exported,
        big: &mut Option<BigRow>,
    ) -> rusqlite::Result<Seq> {
        let Self { connection, number, first, last, format } = *self;
        let start = store::block_of(connection, number, first)?.unwrap_or(store::key(number, first));
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {} FROM block WHERE id BETWEEN ?1 AND ?2 AND (id & ?4) + rows > ?3 ORDER BY id LIMIT 1",
            Block::COLUMNS
        ))?;
        let within = [start, store::key(number, last), first, store::SEQ_MASK];
        let mut matches = Vec::new();
        let end = statement
            .query_row(within, |row| {
                let block = Block::read(row)?;
                let mut end = block.first_seq + block.rows;
                // What is between two blocks is not in the file any more.
                exported.damaged += (block.first_seq.min(last + 1) - first).max(0).unsigned_abs();
                match block.check_all().and_then(|()| sieve.matches(connection, number, &block, &mut matches))
                {
                    // The rest can be exported.
                    Err(error) if store::is_damage(&error) => {
                        matches.clear();
                        end = block.end(connection)?;
                        exported.damaged += (end.min(last + 1) - block.first_seq.max(first)).unsigned_abs();
                    }
                    looked => looked?,
                }
                Ok(end)
            })
            .optional()?;
        let Some(end) = end.map(|end| end.clamp(first + 1, last + 1)) else {
            exported.damaged += (last + 1 - first).unsigned_abs();
            return Ok(last + 1);
        };
        matches.retain(|seq| (first..end).contains(seq));
        for run in matches.chunk_by(|a, b| a + 1 == *b) {
            let ([from, .., to] | [from @ to]) = run else { continue };
            store::each_between(connection, number, *from, *to, |at| {
                let head = &at.head;
                if store::is_event(head.flags) {
                    exported.events += 1;
                    return Ok(());
                }
                let Some(topic) = at.topic else {
                    exported.damaged += 1;
                    return Ok(());
                };
                let properties = at.properties()?;
                if head.outside {
                    *big = Some(BigRow {
                        payload: at.big_payload()?,
                        seq: at.seq,
                        time: head.time,
                        flags: head.flags,
                        topic: topic.to_owned(),
                        properties,
                    });
                    return Ok(());
                }
                let written = Head {
                    time: head.time,
                    direction: store::direction(head.flags),
                    topic,
                    qos: store::qos(head.flags),
                    retain: store::is_retained(head.flags),
                    dup: store::is_dup(head.flags),
                    properties: &properties,
                };
                format.write(&written, &at.payload(0, u64::MAX)?, out);
                exported.messages += 1;
                Ok(())
            })?;
        }
        Ok(end)
    }
}

fn cancelled() -> Unsaved {
    Unsaved::Stopped(Error::new(ErrorCode::Cancelled, "It was cancelled"))
}

fn cleared() -> Unsaved {
    let text = "The messages were deleted before all of them were written";
    Unsaved::Stopped(Error::new(ErrorCode::NotFound, text))
}

fn gone_away(path: &Path) -> Error {
    let name = path.display().to_string();
    let text = format!("{name} is not there any more: it was moved or deleted while it was being recorded");
    Error::because(ErrorCode::File, ErrorReason::RecordingGone, text).with("path", name)
}
