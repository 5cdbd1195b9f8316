//! Messages of a file on their way into the history. In: lines of JSON. Out: rows, with the times that the file says.
//! A full queue makes it wait; lines that are no messages are counted and the first of them named.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::History;
use crate::error::{Error, ErrorCode, Result};
use crate::message::{Item, MessageSink, UnixMicros};
use crate::profile::ProfileId;
use crate::recording::{LineProblem, Lines, Progress, name_problem, unreadable};

/// Messages, and bytes of payload, that are read before they are handed over.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 1 << 20;

/// What an import came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Messages that are in the history now.
    pub messages: u64,
    /// Messages that are older than one before them: a search by time supposes that there are none.
    pub earlier: u64,
    /// Lines that are no messages,
    pub unreadable: u64,
    /// and the first of them.
    pub problems: Vec<LineProblem>,
}

impl History {
    /// Takes the messages of a file in, behind what is kept of a profile, and returns when they are stored.
    ///
    /// # Errors
    /// `file`: it cannot be read (on); `cancelled`; `storage`. What was taken in until then stays.
    pub async fn import(
        &self,
        profile: ProfileId,
        path: &Path,
        progress: Arc<Progress>,
        cancel: CancellationToken,
    ) -> Result<Imported> {
        let (sink, file, runtime) = (self.sink(profile), path.to_owned(), Handle::current());
        let work = move || read_all(&*sink, &file, &progress, &cancel, &runtime);
        let imported = tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::new(ErrorCode::Internal, error.to_string()))??;
        self.flush().await?;
        Ok(imported)
    }
}

fn read_all(
    sink: &dyn MessageSink,
    path: &Path,
    progress: &Progress,
    cancel: &CancellationToken,
    runtime: &Handle,
) -> Result<Imported> {
    let mut lines = Lines::open(path).map_err(|error| unreadable(path, &error))?;
    let of = path.metadata().map_or(0, |file| file.len());
    let (mut imported, mut latest) = (Imported::default(), UnixMicros::MIN);
    let (mut batch, mut bytes, mut more) = (VecDeque::with_capacity(BATCH), 0, true);
    while more {
        match lines.next().map_err(|error| unreadable(path, &error))? {
            None => more = false,
            Some((line, Err(why))) => {
                imported.unreadable += 1;
                name_problem(&mut imported.problems, line, why);
            }
            Some((_, Ok(message))) => {
                imported.earlier += u64::from(message.time < latest);
                latest = latest.max(message.time);
                bytes += message.payload.len();
                batch.push_back(Item::Message(message));
            }
        }
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        if more && batch.len() < BATCH && bytes < BATCH_BYTES {
            continue;
        }
        let count = batch.len() as u64;
        loop {
            sink.accept_batch(&mut batch);
            if batch.is_empty() {
                break;
            }
            runtime.block_on(async {
                tokio::select! {
                    () = sink.room() => Ok(()),
                    () = cancel.cancelled() => Err(cancelled()),
                }
            })?;
        }
        bytes = 0;
        imported.messages += count;
        progress.add_messages(count);
        progress.set(lines.position().min(of), of);
    }
    Ok(imported)
}

fn cancelled() -> Error {
    Error::new(ErrorCode::Cancelled, "It was cancelled")
}
