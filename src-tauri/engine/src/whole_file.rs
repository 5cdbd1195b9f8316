//! Files that are there whole or not at all: written beside their place and put there when all of it is on the
//! disk. In: a path and what writes the bytes. Out: the new file, or the old one as it was. Never leaves a part.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::error::{Error, ErrorCode, ErrorReason, Result};

/// Writes a file that a person asked for, over what is there.
///
/// # Errors
/// `file`, saying what stands in the way; what was there before is untouched.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    replace(path, None, |file| file.write_all(content)).map_err(|error| refused(path, &error))
}

/// Has `fill` write a file, and puts it in place of what is there when that went well. A new file gets `mode`
/// (Unix), or what the person's umask says; without a `mode`, one that is replaced leaves its permissions.
///
/// # Errors
/// Those of `fill`; the file cannot be written; or something that is no file is in its place.
pub(crate) fn replace<T, E: From<io::Error>>(
    path: &Path,
    mode: Option<u32>,
    fill: impl FnOnce(&mut File) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    // A link stays a link: what it leads to is replaced.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let former = target.metadata().ok();
    if former.as_ref().is_some_and(|former| !former.is_file()) {
        return Err(io::Error::other("something that is not a file is in its place").into());
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".heliograph-").suffix(".part");
    if let Some(permissions) = permissions(mode) {
        builder.permissions(permissions);
    }
    let mut file = builder.tempfile_in(folder.unwrap_or_else(|| Path::new(".")))?;
    let filled = fill(file.as_file_mut())?;
    if let (None, Some(former)) = (mode, former) {
        // Where the owner is another, this may be forbidden; the content counts.
        let _ = file.as_file().set_permissions(former.permissions());
    }
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|refused| refused.error)?;
    Ok(filled)
}

/// What stands in the way, as the engine's error.
pub(crate) fn refused(path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind as Kind;
    let name = path.display();
    let (reason, message) = match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => (
            ErrorReason::Full,
            format!("There is no room left to write {name}: free some, or choose another place"),
        ),
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => (
            ErrorReason::NoPermission,
            format!("{name} cannot be written: its folder is read-only for you, choose another"),
        ),
        Kind::NotFound | Kind::NotADirectory => {
            (ErrorReason::NoFolder, format!("{name} cannot be written: its folder is not there"))
        }
        _ => (ErrorReason::Failed, format!("{name} cannot be written: {error}")),
    };
    Error::because(ErrorCode::File, reason, message)
        .with("path", name.to_string())
        .with("error", error.to_string())
}

#[cfg(unix)]
fn permissions(mode: Option<u32>) -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(Permissions::from_mode(mode.unwrap_or(0o666)))
}

#[cfg(not(unix))]
fn permissions(_: Option<u32>) -> Option<Permissions> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("listed");
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn an_error_half_way_leaves_the_old_file_and_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("report.txt");
        write(&path, b"first").expect("written");
        let failed: io::Result<()> = replace(&path, None, |file| {
            file.write_all(b"half of")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert!(refused(&path, &failed.expect_err("full")).message.contains("no room left"));
        assert_eq!(std::fs::read(&path).expect("read"), b"first");
        assert_eq!(names(folder.path()), ["report.txt"]);
        write(&path, b"second").expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"second");
    }

    #[test]
    fn what_is_not_a_file_stays() {
        let folder = tempfile::tempdir().expect("folder");
        let error = write(folder.path(), b"x").expect_err("a folder");
        assert_eq!(error.code, ErrorCode::File);
        assert!(error.message.contains("not a file"), "{}", error.message);
        let error = write(&folder.path().join("no/such/folder.txt"), b"x").expect_err("no folder");
        assert!(error.message.contains("folder is not there"), "{}", error.message);
        assert!(names(folder.path()).is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_are_kept() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        write(&file, b"1").expect("written");
        let mode = || file.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(mode() & 0o600, 0o600);
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("changed");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        write(&link, b"2").expect("written");
        assert!(link.symlink_metadata().expect("there").is_symlink());
        assert_eq!((std::fs::read(&file).expect("read"), mode()), (b"2".to_vec(), 0o640));
        replace(&file, Some(0o600), |file| file.write_all(b"3")).expect("written");
        assert_eq!(mode(), 0o600);
    }
}
