//! Opens SQLite files, the same way for all of them. In: a path and a schema. Out: connections on which the
//! window and `helio` can work at once. Never overwrites a file that it does not understand.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode as SqliteCode, OpenFlags, TransactionBehavior};
use rusqlite_migration::{MigrationDefinitionError, Migrations};

use crate::error::{Error, ErrorCode, ErrorReason, Result};

/// How long a statement waits for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long opening waits for another process that is creating or migrating the same file.
const OPEN_PATIENCE: Duration = Duration::from_secs(4);

/// Opens the file for reading and writing, made if missing (mode 0600, its folder too), at the newest schema.
///
/// # Errors
/// `storage`, with `details.path` and `details.reason`: `not_a_database`, `newer_version`, `locked`,
/// `no_permission`, `full` or `failed`.
pub(crate) fn open(path: &Path, migrations: &Migrations<'_>) -> Result<Connection> {
    create_private(path).map_err(|e| uncreatable(path, &e))?;
    let patience = Instant::now() + OPEN_PATIENCE;
    loop {
        match open_once(path, migrations) {
            // Another process got there first; it is done after a moment.
            Err(Attempt { again: true, .. }) if Instant::now() < patience => {
                std::thread::sleep(Duration::from_millis(20));
            }
            other => return other.map_err(|attempt| attempt.error),
        }
    }
}

/// Opens a file that [`open`] has opened before, for reading.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| storage(path, &e))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|e| storage(path, &e))?;
    check_pages(&connection).map_err(|e| storage(path, &e))?;
    connection.pragma_update(None, "query_only", true).map_err(|e| storage(path, &e))?;
    Ok(connection)
}

/// What SQLite says, as the engine's error.
pub(crate) fn storage(path: &Path, error: &rusqlite::Error) -> Error {
    let name = path.display();
    let (reason, message) = match error.sqlite_error_code() {
        Some(SqliteCode::NotADatabase | SqliteCode::DatabaseCorrupt) => {
            (ErrorReason::NotADatabase, damaged(path))
        }
        Some(SqliteCode::DatabaseBusy | SqliteCode::DatabaseLocked) => {
            (ErrorReason::Locked, format!("{name} is in use by another program: close that one"))
        }
        _ if is_full(error) => {
            (ErrorReason::Full, format!("There is no room left to write {name}: free some"))
        }
        Some(SqliteCode::PermissionDenied | SqliteCode::ReadOnly | SqliteCode::CannotOpen) => {
            (ErrorReason::NoPermission, unwritable(path))
        }
        // Of a disk that has turned read-only meanwhile SQLite says no more than that writing failed.
        Some(SqliteCode::SystemIoFailure) if !can_be_written(path) => {
            (ErrorReason::NoPermission, unwritable(path))
        }
        _ => (ErrorReason::Failed, format!("{name} cannot be used: {error}")),
    };
    failed(path, reason, &message)
}

/// Looks through a file that is small enough for it, so that damage is found before anything is written.
///
/// # Errors
/// `storage` with `details.reason` `not_a_database`.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<()> {
    let found = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match found {
        Ok(found) if found == "ok" => Ok(()),
        Ok(found) => Err(failed(path, ErrorReason::NotADatabase, &damaged(path)).with("found", found)),
        Err(error) => Err(storage(path, &error)),
    }
}

/// Which file a path leads to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    inode: u64,
}

/// None when there is none, or it cannot be reached.
pub(crate) fn file_id(path: &Path) -> Option<FileId> {
    let found = path.metadata().ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Some(FileId { device: found.dev(), inode: found.ino() })
    }
    // Where open files cannot be moved, it is the same.
    #[cfg(not(unix))]
    found.is_file().then_some(FileId {})
}

/// No room for the file itself, or for the index beside it that its readers and writers share.
pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(code, _) = error else { return false };
    code.code == SqliteCode::DiskFull || code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
}

fn can_be_written(path: &Path) -> bool {
    use std::io::ErrorKind as Kind;
    let opened = std::fs::OpenOptions::new().append(true).open(path);
    !opened.is_err_and(|e| matches!(e.kind(), Kind::PermissionDenied | Kind::ReadOnlyFilesystem))
}

fn uncreatable(path: &Path, error: &std::io::Error) -> Error {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => {
            failed(path, ErrorReason::NoPermission, &unwritable(path))
        }
        Kind::StorageFull | Kind::QuotaExceeded => {
            let message = format!("There is no room left to write {}: free some", path.display());
            failed(path, ErrorReason::Full, &message)
        }
        _ => failed(path, ErrorReason::Failed, &format!("{} cannot be created: {error}", path.display())),
    }
}

fn damaged(path: &Path) -> String {
    let name = path.display();
    format!(
        "{name} is damaged or not a database of Heliograph. It was left untouched: move it away to start anew"
    )
}

fn unwritable(path: &Path) -> String {
    format!("{} cannot be written: check the permissions of the file and of its folder", path.display())
}

/// Marks a file as Heliograph's (`PRAGMA application_id`): "HELI".
const APPLICATION_ID: i32 = 0x4845_4C49;

struct Attempt {
    error: Error,
    again: bool,
}

fn open_once(path: &Path, migrations: &Migrations<'_>) -> std::result::Result<Connection, Attempt> {
    let wrong = |e: rusqlite::Error| Attempt {
        again: matches!(e.sqlite_error_code(), Some(SqliteCode::DatabaseBusy | SqliteCode::DatabaseLocked)),
        error: storage(path, &e),
    };
    let refused = |reason, message: &str| Attempt { again: false, error: failed(path, reason, message) };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(wrong)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(wrong)?;
    check_pages(&connection).map_err(wrong)?;

    // Looked at before anything is written, so that a file that is not ours stays as it is.
    let integer = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(wrong);
    let version = integer("PRAGMA user_version")?;
    let tables = integer("SELECT count(*) FROM sqlite_schema")?;
    if tables > 0 && integer("PRAGMA application_id")? != i64::from(APPLICATION_ID) {
        let message = format!(
            "{} belongs to another program. It was left untouched: move it away to start anew",
            path.display()
        );
        return Err(refused(ErrorReason::NotADatabase, &message));
    }

    if tables == 0 {
        // Only takes effect before the first table; lets the file shrink after much was deleted.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(wrong)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(wrong)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(wrong)?;
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(wrong)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(wrong)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20).map_err(wrong)?;
    connection.set_transaction_behavior(TransactionBehavior::Immediate);
    match migrations.to_latest(&mut connection) {
        Ok(()) => {}
        Err(rusqlite_migration::Error::MigrationDefinition(
            MigrationDefinitionError::DatabaseTooFarAhead,
        )) => {
            let message = format!(
                "{} was written by a newer version of Heliograph. It was left untouched: use that version",
                path.display()
            );
            return Err(refused(ErrorReason::NewerVersion, &message));
        }
        Err(rusqlite_migration::Error::RusqliteError { err, .. }) => {
            // When two processes migrate at once, the second finds the work done.
            let attempt = wrong(err);
            let now = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
            return Err(Attempt { again: attempt.again || now.is_ok_and(|now| now != version), ..attempt });
        }
        Err(other) => {
            return Err(refused(ErrorReason::Failed, &format!("{} cannot be used: {other}", path.display())));
        }
    }
    Ok(connection)
}

/// Has SQLite look whether pages make sense when they are read, so that it finds more of what is damaged sooner.
fn check_pages(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cell_size_check", true)
}

fn failed(path: &Path, reason: ErrorReason, message: &str) -> Error {
    Error::because(ErrorCode::Storage, reason, message).with("path", path.display().to_string())
}

/// Makes the file for its owner alone before SQLite does; SQLite gives `-wal` and `-shm` the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut folder = std::fs::DirBuilder::new();
    let mut file = std::fs::OpenOptions::new();
    folder.recursive(true);
    file.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        folder.mode(0o700);
        file.mode(0o600);
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        folder.create(parent)?;
    }
    file.open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use rusqlite_migration::M;

    use super::*;

    fn schema(versions: usize) -> Migrations<'static> {
        let all = [M::up("CREATE TABLE a (x INTEGER)"), M::up("CREATE TABLE b (y INTEGER)")];
        Migrations::new(all[..versions].to_vec())
    }

    fn reason(result: Result<Connection>) -> String {
        let error = result.expect_err("refused");
        assert_eq!(error.code, ErrorCode::Storage);
        error.details["reason"].as_str().expect("a reason").to_owned()
    }

    #[test]
    fn a_file_is_made_private_and_opens_again() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("deep/er/x.db");
        let first = open(&path, &schema(1)).expect("made");
        first.execute("INSERT INTO a VALUES (7)", []).expect("written");
        let second = open(&path, &schema(2)).expect("opened beside, migrated");
        let x: i64 = second.query_row("SELECT x FROM a", [], |r| r.get(0)).expect("kept");
        assert_eq!(x, 7);
        second.execute("INSERT INTO b VALUES (1)", []).expect("newer table");
        #[cfg(unix)]
        for file in ["x.db", "x.db-wal", "x.db-shm"] {
            use std::os::unix::fs::PermissionsExt;
            let mode = path.with_file_name(file).metadata().expect(file).permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn what_is_not_understood_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("folder");
        let noise = folder.path().join("noise.db");
        std::fs::write(&noise, b"dear diary ".repeat(1000)).expect("written");
        let before = std::fs::read(&noise).expect("read");
        assert_eq!(reason(open(&noise, &schema(1))), "not_a_database");
        assert_eq!(std::fs::read(&noise).expect("read"), before);

        let foreign = folder.path().join("foreign.db");
        let other = Connection::open(&foreign).expect("made");
        other.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").expect("written");
        drop(other);
        let before = std::fs::read(&foreign).expect("read");
        assert_eq!(reason(open(&foreign, &schema(1))), "not_a_database");
        assert_eq!(std::fs::read(&foreign).expect("read"), before);

        let newer = folder.path().join("newer.db");
        drop(open(&newer, &schema(2)).expect("made"));
        assert_eq!(reason(open(&newer, &schema(1))), "newer_version");
        open(&newer, &schema(2)).expect("still whole");
        assert_eq!(reason(open(folder.path(), &schema(1))), "failed");
    }

    #[test]
    fn many_open_a_new_file_at_once() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("x.db");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    open(&path, &schema(2)).expect("opened").execute("INSERT INTO b VALUES (1)", [])
                });
            }
        });
        let rows: i64 = open(&path, &schema(2))
            .expect("opened")
            .query_row("SELECT count(*) FROM b", [], |r| r.get(0))
            .expect("counted");
        assert_eq!(rows, 8);
    }
}
