//! The vault's file: read whole, replaced whole. In: a folder. Out: its bytes. A file that is not understood is
//! renamed, never overwritten; the window and `helio` take turns by a lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::sealed::MAX_FILE;
use crate::error::{Error, ErrorCode, ErrorReason, Result};
use crate::whole_file;

/// The file in the data folder.
const NAME: &str = "secrets.vault";
/// How long a change waits for another process that is making one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the vault is, whether or not it is there yet.
#[derive(Debug, Clone)]
pub(super) struct VaultFile {
    path: PathBuf,
}

/// While it lives, no other process and no other thread changes the vault.
#[derive(Debug)]
pub(super) struct Turn {
    _lock: File,
}

impl VaultFile {
    pub fn in_folder(folder: &Path) -> Self {
        Self { path: folder.join(NAME) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes, or `None` when there is no file: nothing but "not found" is taken for that.
    ///
    /// # Errors
    /// `file`: it is there and cannot be read.
    pub fn read(&self) -> Result<Option<Vec<u8>>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("read", &error)),
        };
        let mut bytes = Vec::new();
        let limit = MAX_FILE as u64 + 1;
        file.take(limit).read_to_end(&mut bytes).map_err(|error| self.failed("read", &error))?;
        Ok(Some(bytes))
    }

    /// Waits for its turn to change the file.
    ///
    /// # Errors
    /// `file`: the folder cannot be written, or another process does not end its turn.
    pub fn turn(&self) -> Result<Turn> {
        let path = self.beside("lock");
        let lock = private().create(true).truncate(false).open(&path);
        let lock = lock.map_err(|error| self.failed("locked", &error))?;
        let patience = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Turn { _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < patience => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    let message = "The vault is being changed by another program all the time: try again";
                    return Err(Error::because(ErrorCode::File, ErrorReason::VaultBusy, message)
                        .with("path", self.path.display().to_string()));
                }
                Err(TryLockError::Error(error)) => return Err(self.failed("locked", &error)),
            }
        }
    }

    /// Replaces the file: after a crash at any moment there is the old one or the new one, whole.
    ///
    /// # Errors
    /// `file`: the disk is full or cannot be written; the old file is still there.
    pub fn replace(&self, _turn: &Turn, bytes: &[u8]) -> Result<()> {
        let new = self.beside("new");
        let written = (|| {
            // What a crash left, or somebody put there: never written through.
            match std::fs::remove_file(&new) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = private().create_new(true).open(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            drop(file);
            std::fs::rename(&new, &self.path)?;
            self.sync_folder()
        })();
        written.map_err(|error| self.failed("written", &error))
    }

    /// Renames the file out of the way and says to what, or `None` when there is none.
    ///
    /// # Errors
    /// `file`: it cannot be renamed; it is still there.
    pub fn set_aside(&self, _turn: &Turn, why: &str) -> Result<Option<PathBuf>> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let mut aside = self.beside(&format!("{why}-{seconds}"));
        let mut more = 1;
        while aside.symlink_metadata().is_ok() {
            more += 1;
            aside = self.beside(&format!("{why}-{seconds}-{more}"));
        }
        match std::fs::rename(&self.path, &aside).and_then(|()| self.sync_folder()) {
            Ok(()) => Ok(Some(aside)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("set aside", &error)),
        }
    }

    /// Deletes the file, if it is there.
    ///
    /// # Errors
    /// `file`.
    pub fn delete(&self, _turn: &Turn) -> Result<()> {
        match std::fs::remove_file(&self.path).and_then(|()| self.sync_folder()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.failed("deleted", &error)),
            _ => Ok(()),
        }
    }

    fn beside(&self, what: &str) -> PathBuf {
        self.path.with_file_name(format!("{NAME}.{what}"))
    }

    /// So that a rename is on the disk too.
    fn sync_folder(&self) -> std::io::Result<()> {
        #[cfg(unix)]
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    fn failed(&self, what: &str, error: &std::io::Error) -> Error {
        // Its words by what the system says; the sentence says what was to be done.
        let path = self.path.display();
        Error {
            message: format!("{path} cannot be {what}: {error}"),
            ..whole_file::refused(&self.path, error)
        }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_replaced_whole_and_private() {
        let folder = tempfile::tempdir().expect("folder");
        let file = VaultFile::in_folder(folder.path());
        assert_eq!(file.read().expect("read"), None);
        // As a crash in the middle of a write leaves it.
        std::fs::write(file.beside("new"), b"half").expect("written");
        let turn = file.turn().expect("turn");
        for text in ["one", "two"] {
            file.replace(&turn, text.as_bytes()).expect("replaced");
            assert_eq!(file.read().expect("read").as_deref(), Some(text.as_bytes()));
        }
        // Whoever reads the old one meanwhile has it whole: nothing is written into it.
        #[cfg(unix)]
        {
            let mut old = File::open(file.path()).expect("the old one");
            file.replace(&turn, b"three, and longer").expect("replaced");
            let mut text = String::new();
            old.read_to_string(&mut text).expect("read");
            assert_eq!(text, "two");
        }
        assert!(!file.beside("new").exists());
        #[cfg(unix)]
        for path in [file.path().to_owned(), file.beside("lock")] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = path.metadata().expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
    }

    #[test]
    fn what_is_set_aside_is_all_kept() {
        let folder = tempfile::tempdir().expect("folder");
        let file = VaultFile::in_folder(folder.path());
        let turn = file.turn().expect("turn");
        let mut kept = Vec::new();
        for text in ["one", "two", "three"] {
            file.replace(&turn, text.as_bytes()).expect("written");
            kept.push(file.set_aside(&turn, "damaged").expect("renamed").expect("was there"));
        }
        let texts: Vec<_> = kept.iter().map(|path| std::fs::read_to_string(path).expect("kept")).collect();
        assert_eq!(texts, ["one", "two", "three"]);
        assert_eq!(file.set_aside(&turn, "damaged").expect("nothing"), None);
        assert_eq!(file.read().expect("read"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_cannot_be_read_is_not_taken_for_none() {
        let folder = tempfile::tempdir().expect("folder");
        let file = VaultFile::in_folder(folder.path());
        // A folder in its place cannot be read, whoever asks (root reads everything).
        std::fs::create_dir(file.path()).expect("made");
        assert_eq!(file.read().expect_err("not a file").code, ErrorCode::File);
        // Nor can a link that leads to itself be opened.
        std::fs::remove_dir(file.path()).expect("removed");
        std::os::unix::fs::symlink(file.path(), file.path()).expect("made");
        assert_eq!(file.read().expect_err("not opened").code, ErrorCode::File);
    }
}
