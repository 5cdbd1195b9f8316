//! Certificates and private keys that have no file of their own, because they came as text, from a server or inside
//! another program's settings: written as files into a folder of the data directory, where connections name them.
//! In: DER, or the bytes of a key file. Out: paths of files that their owner alone can read. Never overwrites a file
//! with something else: names are made of what is in it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorCode, Result};
use crate::identity::{self, CertificateInfo};
use crate::secret::Secret;
use crate::whole_file;

/// The folder in the data directory.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("certificates")
}

/// A file that is to be written, and where.
#[derive(Debug, Clone)]
pub struct KeptFile {
    /// Its place, known before it is written.
    pub path: PathBuf,
    content: Secret,
}

impl KeptFile {
    /// Certificates, DER, as one PEM file.
    pub fn of_certificates(folder: &Path, certificates: &[Vec<u8>]) -> Self {
        let mut hash = Sha256::new();
        certificates.iter().for_each(|der| hash.update(der));
        let first = certificates.first().and_then(|der| identity::describe(der).ok());
        let name = first.map(|info| file_name(&info)).unwrap_or_default();
        let text: String = certificates.iter().map(|der| identity::certificate_pem(der)).collect();
        Self { path: named(folder, &name, hash, "pem"), content: Secret::new(text) }
    }

    /// A private key as it came (PEM, DER or PKCS#12, encrypted or not). The one place that decides where the private
    /// keys of imported connections are kept.
    pub fn of_private_key(folder: &Path, bytes: Secret) -> Self {
        let mut hash = Sha256::new();
        hash.update(bytes.expose());
        Self { path: named(folder, "private", hash, "key"), content: bytes }
    }

    /// Writes it. Says whether it was not there before.
    ///
    /// # Errors
    /// `file`.
    pub fn write(&self) -> Result<bool> {
        let fail = |error: std::io::Error| {
            let name = self.path.to_string_lossy().into_owned();
            Error::new(ErrorCode::File, format!("{name} cannot be written: {error}")).with("path", name)
        };
        let new = !self.path.exists();
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(fail)?;
        }
        whole_file::replace(&self.path, Some(0o600), |file| file.write_all(self.content.expose()))
            .map_err(fail)?;
        Ok(new)
    }
}

fn named(folder: &Path, name: &str, hash: Sha256, extension: &str) -> PathBuf {
    let digits = hex::encode(hash.finalize());
    folder.join(format!("{name}-{}.{extension}", &digits[..8]))
}

/// A name that every file system takes.
fn file_name(certificate: &CertificateInfo) -> String {
    let name = certificate.short_name().chars().take(40);
    let plain = name.map(|c| if c.is_alphanumeric() || c == '.' || c == '-' { c } else { '-' });
    plain.collect::<String>().trim_matches(['-', '.']).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_private_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("folder");
        let folder = folder(dir.path());
        let key = KeptFile::of_private_key(&folder, Secret::new("canary"));
        assert!(key.write().expect("written") && !key.write().expect("written again"));
        assert_eq!(key.path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(&key.path).expect("read"), b"canary");
        assert!(!format!("{key:?}").contains("canary"));
        let other = KeptFile::of_private_key(&folder, Secret::new("another"));
        assert_ne!(key.path, other.path);
    }
}
