//! The latest attempts of each saved connection, for looking back and comparing after a restart. In: traces whose
//! attempt, or whose connection, has ended. Out: the same, newest first. Traces hold no secret, so neither does the
//! file. One thread writes, behind a bounded queue: nobody who connects waits for the disk.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, params};
use rusqlite_migration::{M, Migrations};

use crate::database;
use crate::error::Result;
use crate::profile::ProfileId;
use crate::trace::Trace;

/// How many attempts of a connection are kept.
pub const KEPT: usize = 50;
/// How many traces may wait to be written; attempts come a few a second at most.
const QUEUE: usize = 256;

/// Versions of the file, oldest first. Only ever add to the end.
const VERSIONS: &[M<'static>] = &[M::up(
    "CREATE TABLE attempt (
        profile TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (profile, started_at, attempt)
    ) STRICT, WITHOUT ROWID;",
)];

/// The kept attempts. Reading blocks for a moment; async callers use `spawn_blocking`.
pub struct Attempts {
    path: PathBuf,
    queue: Mutex<Option<SyncSender<Work>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

enum Work {
    Keep(ProfileId, Box<Trace>),
    Forget(ProfileId),
    /// Says when everything before it is written.
    Flush(SyncSender<()>),
}

impl Attempts {
    /// Opens the file, made if missing.
    ///
    /// # Errors
    /// `storage`: the file cannot be used; it is left as it is.
    pub fn open(path: &Path) -> Result<Self> {
        let connection = database::open(path, &Migrations::from_slice(VERSIONS))?;
        let (queue, work) = sync_channel(QUEUE);
        let writer = std::thread::spawn(move || write(&connection, &work));
        Ok(Self { path: path.to_owned(), queue: Mutex::new(Some(queue)), writer: Mutex::new(Some(writer)) })
    }

    /// Keeps a trace, in place of an earlier state of the same attempt. Never waits.
    pub fn keep(&self, profile: ProfileId, trace: &Trace) {
        self.send(Work::Keep(profile, Box::new(trace.clone())));
    }

    /// Lets go of everything about a connection.
    pub fn forget(&self, profile: ProfileId) {
        self.send(Work::Forget(profile));
    }

    /// The latest attempts, newest first, with all that was kept before this call. One that cannot be read, since
    /// another version wrote it, is left out.
    ///
    /// # Errors
    /// `storage`.
    pub fn list(&self, profile: ProfileId) -> Result<Vec<Trace>> {
        let (done, written) = sync_channel(1);
        self.send(Work::Flush(done));
        // It fails only when the writer has ended, and then everything is written.
        let _ = written.recv();
        self.read(profile).map_err(|error| database::storage(&self.path, &error))
    }

    /// Writes what still waits.
    pub fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the writer of attempts has failed");
        }
    }

    fn send(&self, work: Work) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(TrySendError::Full(_))) = queue.as_ref().map(|queue| queue.try_send(work)) {
            tracing::warn!("an attempt could not be kept: the disk does not keep up");
        }
    }

    fn read(&self, profile: ProfileId) -> rusqlite::Result<Vec<Trace>> {
        let connection = Connection::open(&self.path)?;
        connection.busy_timeout(std::time::Duration::from_secs(2))?;
        let mut query = connection.prepare(
            "SELECT body FROM attempt WHERE profile = ?1 ORDER BY started_at DESC, attempt DESC LIMIT ?2",
        )?;
        let limit = i64::try_from(KEPT).unwrap_or(i64::MAX);
        let bodies = query.query_map(params![profile.to_string(), limit], |row| row.get::<_, String>(0))?;
        let mut traces = Vec::new();
        for body in bodies {
            match serde_json::from_str(&body?) {
                Ok(trace) => traces.push(trace),
                Err(error) => tracing::warn!(%error, "a kept attempt cannot be read"),
            }
        }
        Ok(traces)
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        self.close();
    }
}

fn write(connection: &Connection, work: &Receiver<Work>) {
    while let Ok(work) = work.recv() {
        let written = match work {
            Work::Keep(profile, trace) => keep(connection, profile, &trace),
            Work::Forget(profile) => {
                connection.execute("DELETE FROM attempt WHERE profile = ?1", [profile.to_string()]).map(drop)
            }
            Work::Flush(done) => {
                let _ = done.send(());
                Ok(())
            }
        };
        if let Err(error) = written {
            tracing::error!(%error, "an attempt could not be kept");
        }
    }
}

fn keep(connection: &Connection, profile: ProfileId, trace: &Trace) -> rusqlite::Result<()> {
    let body = serde_json::to_string(trace).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
    let profile = profile.to_string();
    connection.execute(
        "INSERT INTO attempt (profile, started_at, attempt, body) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET body = excluded.body",
        params![profile, trace.started_at, trace.attempt, body],
    )?;
    connection.execute(
        "DELETE FROM attempt WHERE profile = ?1 AND (started_at, attempt) NOT IN
         (SELECT started_at, attempt FROM attempt WHERE profile = ?1 ORDER BY started_at DESC, attempt DESC LIMIT ?2)",
        params![profile, i64::try_from(KEPT).unwrap_or(i64::MAX)],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Failure, FailureCode, FixAction};
    use crate::profile::MqttVersion;
    use crate::trace::{
        Connack, MqttDetail, Stage, StageDetail, TcpDetail, TlsDetail, TraceRecorder, WebsocketDetail,
    };

    fn trace(started_at: i64) -> Trace {
        let recorder = TraceRecorder::new("wss://b.test:443/mqtt", 1, |_| {});
        recorder.ok(StageDetail::Tcp(TcpDetail::default()));
        recorder.ok(StageDetail::Tls(TlsDetail::default()));
        recorder.ok(StageDetail::Websocket(WebsocketDetail::default()));
        let version = MqttVersion::V311;
        let connack = Some(Connack::default());
        recorder.ok(StageDetail::Mqtt(MqttDetail { version, connack, ..MqttDetail::default() }));
        recorder.finish_connected();
        let lost = Failure::new(Stage::Mqtt, FailureCode::KeepAliveTimeout, "it stopped answering")
            .fact("errno", 110)
            .fix("Try again", FixAction::Retry {})
            .fix("Swap", FixAction::ChooseIdentity { swap: true, disable: false })
            .fix("Switch", FixAction::SetTransport { transport: crate::endpoint::Scheme::Wss, port: None });
        recorder.end(Some(lost));
        Trace { started_at, ..recorder.snapshot() }
    }

    #[test]
    fn attempts_come_back_as_they_were_and_only_the_latest_are_kept() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("attempts.db");
        let (one, other) = (ProfileId::random(), ProfileId::random());
        let attempts = Attempts::open(&path).expect("opened");
        for at in 0..60 {
            attempts.keep(one, &trace(at));
        }
        attempts.keep(one, &Trace { verdict: None, ..trace(59) });
        attempts.keep(other, &trace(7));
        attempts.close();
        drop(attempts);

        let attempts = Attempts::open(&path).expect("opened again");
        let kept = attempts.list(one).expect("listed");
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept[0], Trace { verdict: None, ..trace(59) }.with_log_of(&kept[0]));
        assert!(kept[1].verdict.is_some());
        assert_eq!(kept.last().map(|trace| trace.started_at), Some(10));
        attempts.forget(one);
        assert!(attempts.list(one).expect("listed").is_empty());
        assert_eq!(attempts.list(other).expect("listed").len(), 1);
    }

    impl Trace {
        /// Times differ from run to run.
        fn with_log_of(mut self, other: &Self) -> Self {
            self.log.clone_from(&other.log);
            self.stages.clone_from(&other.stages);
            self.end.clone_from(&other.end);
            self
        }
    }
}
