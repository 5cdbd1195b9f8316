//! The development CA of the local broker and what it signs: a server and a client certificate, kept as PEM
//! in one directory. In: the directory and the time. Out: files that fit together. Never replaces the CA
//! while it is good, since people have told their tools to trust it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::BrokerFiles;
use crate::error::{Error, ErrorCode, Result};
use crate::whole_file;

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest that browsers and operating systems accept is 398 days, from the day before on.
const LEAF_LIFE: Duration = Duration::from_secs(396 * 24 * 60 * 60);
const CA_LIFE: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Makes the CA, the server's and the client's certificate in `dir`, or keeps those that are there. A
/// certificate that is unreadable, does not fit its key or its CA, or ends within 30 days is made anew.
///
/// Several processes may call this at once: they take turns.
///
/// # Errors
/// The directory or a file in it cannot be read or written; `details.path` names it.
pub fn certificates(dir: &Path) -> Result<BrokerFiles> {
    certificates_at(dir, SystemTime::now())
}

/// Where the certificates are, once they have been made; nothing is read or written.
pub fn existing_certificates(dir: &Path) -> Option<BrokerFiles> {
    let files = files_in(dir);
    [&files.ca, &files.client_cert, &files.client_key].iter().all(|p| Path::new(p).is_file()).then_some(files)
}

fn files_in(dir: &Path) -> BrokerFiles {
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    BrokerFiles { ca: path("ca.pem"), client_cert: path("client.pem"), client_key: path("client.key") }
}

/// What the TLS listeners need, as paths of PEM files.
pub(super) struct ServerFiles {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl ServerFiles {
    pub(super) fn of(dir: &Path) -> Self {
        Self { ca: dir.join("ca.pem"), cert: dir.join("server.pem"), key: dir.join("server.key") }
    }
}

fn certificates_at(dir: &Path, now: SystemTime) -> Result<BrokerFiles> {
    std::fs::create_dir_all(dir).map_err(|e| file_error(dir, &e))?;
    let _lock = locked(dir)?;

    let ca = authority(dir, now)?;
    keep_or_issue(dir, &Leaf::server(), &ca, now)?;
    keep_or_issue(dir, &Leaf::client(), &ca, now)?;

    Ok(files_in(dir))
}

/// Other processes wait until it is dropped.
pub(super) fn locked(dir: &Path) -> Result<std::fs::File> {
    let path = dir.join("certificates.lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| file_error(&path, &e))?;
    lock.lock().map_err(|e| file_error(&path, &e))?;
    Ok(lock)
}

/// A CA that can sign.
pub(super) struct Authority {
    pub(super) pem: String,
    pub(super) der: CertificateDer<'static>,
    pub(super) issuer: Issuer<'static, KeyPair>,
}

fn authority(dir: &Path, now: SystemTime) -> Result<Authority> {
    if let Some(kept) = kept_authority(dir, now) {
        return Ok(kept);
    }
    let owner = host_name().map_or_else(String::new, |host| format!(" ({host})"));
    make_authority(dir, &format!("Heliograph development CA{owner}"), CA_LIFE, now)
}

/// Makes a CA in `dir`, over one that is there.
pub(super) fn make_authority(dir: &Path, name: &str, life: Duration, now: SystemTime) -> Result<Authority> {
    let (cert_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now, life);

    let key = KeyPair::generate().map_err(|e| making(&e))?;
    let cert = params.self_signed(&key).map_err(|e| making(&e))?;
    write_private(&key_path, key.serialize_pem().as_bytes())?;
    write_public(&cert_path, cert.pem().as_bytes())?;
    Ok(Authority { pem: cert.pem(), der: cert.der().clone(), issuer: Issuer::new(params, key) })
}

/// The CA in `dir`, when it is usable for a while.
pub(super) fn kept_authority(dir: &Path, now: SystemTime) -> Option<Authority> {
    let (cert_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
    let pem = std::fs::read_to_string(cert_path).ok()?;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let key = KeyPair::from_pem(&std::fs::read_to_string(key_path).ok()?).ok()?;
    let (_, cert) = X509Certificate::from_der(&der).ok()?;
    let good = cert.is_ca() && fits(&cert, &key) && lasts(&cert, now);
    let issuer = Issuer::from_ca_cert_der(&der, key).ok()?;
    good.then(|| Authority { pem, der: der.clone(), issuer })
}

struct Leaf {
    name: &'static str,
    params: CertificateParams,
}

impl Leaf {
    fn server() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.subject_alt_names = server_names();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Self { name: "server", params }
    }

    fn client() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "heliograph-client");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Self { name: "client", params }
    }
}

fn server_names() -> Vec<rcgen::SanType> {
    let mut names = vec!["localhost".to_owned()];
    names.extend(host_name().filter(|host| host != "localhost"));
    let mut names: Vec<_> =
        names.into_iter().filter_map(|name| name.try_into().ok().map(rcgen::SanType::DnsName)).collect();
    names.push(rcgen::SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
    names.push(rcgen::SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()));
    names
}

fn keep_or_issue(dir: &Path, leaf: &Leaf, ca: &Authority, now: SystemTime) -> Result<()> {
    let cert_path = dir.join(format!("{}.pem", leaf.name));
    let key_path = dir.join(format!("{}.key", leaf.name));
    if is_good(&cert_path, &key_path, ca, now).unwrap_or(false) {
        return Ok(());
    }
    let mut params = leaf.params.clone();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, LEAF_LIFE);

    let key = KeyPair::generate().map_err(|e| making(&e))?;
    let cert = params.signed_by(&key, &ca.issuer).map_err(|e| making(&e))?;
    write_private(&key_path, key.serialize_pem().as_bytes())?;
    write_public(&cert_path, format!("{}{}", cert.pem(), ca.pem).as_bytes())
}

/// `None` where a file is missing or unreadable.
fn is_good(cert_path: &Path, key_path: &Path, ca: &Authority, now: SystemTime) -> Option<bool> {
    let der = CertificateDer::from_pem_file(cert_path).ok()?;
    let (_, cert) = X509Certificate::from_der(&der).ok()?;
    let (_, ca_cert) = X509Certificate::from_der(&ca.der).ok()?;
    let key = KeyPair::from_pem(&std::fs::read_to_string(key_path).ok()?).ok()?;
    let signed = cert.verify_signature(Some(ca_cert.public_key())).is_ok();
    Some(signed && fits(&cert, &key) && lasts(&cert, now))
}

fn fits(cert: &X509Certificate<'_>, key: &KeyPair) -> bool {
    cert.public_key().subject_public_key.data.as_ref() == key.public_key_raw()
}

fn lasts(cert: &X509Certificate<'_>, now: SystemTime) -> bool {
    let ends = u64::try_from(cert.validity().not_after.timestamp()).unwrap_or(0);
    since_epoch(now) + RENEW_BEFORE < Duration::from_secs(ends)
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Ends after `life`; started a day ago, for machines whose clocks differ a little.
pub(super) fn set_validity(params: &mut CertificateParams, now: SystemTime, life: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(since_epoch(now).as_secs());
    params.not_before = epoch + now.saturating_sub(DAY);
    params.not_after = epoch + now + life;
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .or_else(|| std::env::var("HOSTNAME").ok())?;
    let name = name.trim().to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    (!name.is_empty() && name.len() <= 253 && name.chars().all(plain)).then_some(name)
}

fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    write_whole(path, content, 0o600).map_err(|e| file_error(path, &e))
}

fn write_public(path: &Path, content: &[u8]) -> Result<()> {
    write_whole(path, content, 0o644).map_err(|e| file_error(path, &e))
}

/// Readers see the old file or the new one, never a part; a key is never readable by others, not even briefly.
fn write_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    whole_file::replace(path, Some(mode), |file| file.write_all(content))
}

pub(super) fn file_error(path: &Path, error: &io::Error) -> Error {
    whole_file::refused(path, error)
}

pub(super) fn making(error: &rcgen::Error) -> Error {
    Error::new(ErrorCode::Internal, format!("A certificate could not be made: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dir: &Path, name: &str) -> String {
        std::fs::read_to_string(dir.join(name)).expect("file")
    }

    fn parsed<T>(dir: &Path, name: &str, look: impl FnOnce(&X509Certificate<'_>) -> T) -> T {
        let der = CertificateDer::from_pem_file(dir.join(name)).expect("PEM");
        look(&X509Certificate::from_der(&der).expect("certificate").1)
    }

    #[test]
    fn are_made_once_and_kept() {
        let dir = tempfile::tempdir().expect("dir");
        assert_eq!(existing_certificates(dir.path()), None);
        let files = certificates(dir.path()).expect("made");
        assert_eq!(existing_certificates(dir.path()).as_ref(), Some(&files));
        let names = ["ca.pem", "ca.key", "server.pem", "server.key", "client.pem", "client.key"];
        let before = names.map(|name| read(dir.path(), name));
        assert_eq!(certificates(dir.path()).expect("kept"), files);
        assert_eq!(names.map(|name| read(dir.path(), name)), before);
        assert!(files.client_key.ends_with("client.key"));
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("dir");
        certificates(dir.path()).expect("made");
        for name in ["ca.key", "server.key", "client.key"] {
            let mode = dir.path().join(name).metadata().expect("key").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn say_what_they_are_for() {
        let dir = tempfile::tempdir().expect("dir");
        certificates(dir.path()).expect("made");
        parsed(dir.path(), "server.pem", |cert| {
            let life = cert.validity().not_after.timestamp() - cert.validity().not_before.timestamp();
            assert!(life <= 397 * 86_400);
            let usage = cert.extended_key_usage().expect("usage").expect("usage").value;
            assert!(usage.server_auth && !usage.client_auth);
            let names = cert.subject_alternative_name().expect("names").expect("names").value;
            let names = format!("{:?}", names.general_names);
            assert!(names.contains("localhost") && names.contains("[127, 0, 0, 1]"), "{names}");
            if let Some(host) = host_name() {
                assert!(names.contains(&host), "{names}");
            }
        });
        parsed(dir.path(), "client.pem", |cert| {
            assert_eq!(cert.subject().to_string(), "CN=heliograph-client");
            let usage = cert.extended_key_usage().expect("usage").expect("usage").value;
            assert!(usage.client_auth && !usage.server_auth);
        });
        assert_eq!(read(dir.path(), "client.pem").matches("BEGIN CERTIFICATE").count(), 2);
    }

    #[test]
    fn are_renewed_before_they_end_with_the_same_ca() {
        let dir = tempfile::tempdir().expect("dir");
        let now = SystemTime::now();
        certificates_at(dir.path(), now).expect("made");
        let (ca, server) = (read(dir.path(), "ca.pem"), read(dir.path(), "server.pem"));

        certificates_at(dir.path(), now + 300 * DAY).expect("kept");
        assert_eq!(read(dir.path(), "server.pem"), server);

        certificates_at(dir.path(), now + 370 * DAY).expect("renewed");
        assert_ne!(read(dir.path(), "server.pem"), server);
        assert_eq!(read(dir.path(), "ca.pem"), ca);
    }

    #[test]
    fn what_is_damaged_is_made_anew() {
        let dir = tempfile::tempdir().expect("dir");
        certificates(dir.path()).expect("made");
        let (ca, client) = (read(dir.path(), "ca.pem"), read(dir.path(), "client.pem"));

        std::fs::write(dir.path().join("server.pem"), "not a certificate").expect("damage");
        std::fs::copy(dir.path().join("server.key"), dir.path().join("client.key")).expect("wrong key");
        certificates(dir.path()).expect("repaired");
        parsed(dir.path(), "server.pem", |cert| assert!(!cert.is_ca()));
        assert_ne!(read(dir.path(), "client.pem"), client);
        assert_eq!(read(dir.path(), "ca.pem"), ca);

        std::fs::write(dir.path().join("ca.key"), "").expect("damage");
        certificates(dir.path()).expect("all new");
        assert_ne!(read(dir.path(), "ca.pem"), ca);
        let ca = CertificateDer::from_pem_file(dir.path().join("ca.pem")).expect("PEM");
        let (_, ca) = X509Certificate::from_der(&ca).expect("CA");
        parsed(dir.path(), "server.pem", |cert| {
            cert.verify_signature(Some(ca.public_key())).expect("signed by the new CA");
        });
    }

    #[test]
    fn starting_twice_at_once_is_safe() {
        let dir = tempfile::tempdir().expect("dir");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| certificates(dir.path()).expect("made"));
            }
        });
        let server = read(dir.path(), "server.pem");
        certificates(dir.path()).expect("kept");
        assert_eq!(read(dir.path(), "server.pem"), server);
    }
}
