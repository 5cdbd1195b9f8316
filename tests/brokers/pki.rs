//! Certificates for tests, good and bad.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationList, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};

/// PEM files of a certificate and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// A CA with what it signed, and a foreign CA with a client.
#[derive(Debug, Clone)]
pub struct Pki {
    /// The CA that servers and clients trust.
    pub ca: PathBuf,
    ca_key: PathBuf,
    /// For localhost, 127.0.0.1 and ::1.
    pub server: Identity,
    /// `CN=planta-client`.
    pub client: Identity,
    /// A CA that nobody trusts.
    pub foreign_ca: PathBuf,
    /// A client that it signed.
    pub foreign_client: Identity,
    /// A server that it signed.
    pub foreign_server: Identity,
    /// A server whose time ended in 2021.
    pub expired_server: Identity,
    /// A client whose time ended in 2021.
    pub expired_client: Identity,
    /// A server with another name, `other.example`.
    pub other_name_server: Identity,
    /// A server certificate used by a client: the wrong purpose.
    pub server_as_client: Identity,
}

impl Pki {
    /// Makes everything in `dir`.
    pub fn make(dir: &Path) -> Self {
        let ca = Authority::make("Test CA");
        let foreign = Authority::make("Foreign CA");
        let ca_file = write(dir, "ca.pem", &ca.pem);
        let ca_key = write(dir, "ca.key", &ca.issuer.key().serialize_pem());
        let foreign_ca = write(dir, "foreign-ca.pem", &foreign.pem);
        let server = ca.sign(dir, "server", server_params(loopback_names()));
        Self {
            ca: ca_file,
            ca_key,
            client: ca.sign(dir, "client", client_params("planta-client")),
            foreign_ca,
            foreign_client: foreign.sign(dir, "foreign-client", client_params("foreign-client")),
            foreign_server: foreign.sign(dir, "foreign-server", server_params(loopback_names())),
            expired_server: ca.sign(dir, "expired-server", expired(server_params(loopback_names()))),
            expired_client: ca.sign(dir, "expired-client", expired(client_params("expired-client"))),
            other_name_server: ca.sign(
                dir,
                "other-name-server",
                server_params(vec![SanType::DnsName("other.example".try_into().expect("a name"))]),
            ),
            server_as_client: server.clone(),
            server,
        }
    }
}

impl Pki {
    /// What [`Self::make`] made in `dir`, in an earlier process.
    pub fn made_in(dir: &Path) -> Self {
        let identity = |name: &str| Identity {
            cert: dir.join(format!("{name}.pem")),
            key: dir.join(format!("{name}.key")),
        };
        Self {
            ca: dir.join("ca.pem"),
            ca_key: dir.join("ca.key"),
            server: identity("server"),
            client: identity("client"),
            foreign_ca: dir.join("foreign-ca.pem"),
            foreign_client: identity("foreign-client"),
            foreign_server: identity("foreign-server"),
            expired_server: identity("expired-server"),
            expired_client: identity("expired-client"),
            other_name_server: identity("other-name-server"),
            server_as_client: identity("server"),
        }
    }

    /// A client with a key of its own kind, signed by the CA.
    pub fn issue_client(&self, dir: &Path, name: &str, key: &KeyPair) -> Identity {
        let cert = self.certify_client(dir, name, key);
        Identity { cert, key: write(dir, &format!("{name}.key"), &key.serialize_pem()) }
    }

    /// A client whose certificate ends after `life`, signed by the CA.
    pub fn issue_ending_client(&self, dir: &Path, name: &str, life: Duration) -> Identity {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let mut params = client_params(name);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(1970, 1, 1) + now + life;
        let key = KeyPair::generate().expect("key");
        Identity {
            cert: self.certify(dir, name, &params, &key),
            key: write(dir, &format!("{name}.key"), &key.serialize_pem()),
        }
    }

    /// A certificate for a client's key that may be somewhere else, signed by the CA.
    pub fn certify_client(&self, dir: &Path, name: &str, key: &impl PublicKeyData) -> PathBuf {
        self.certify(dir, name, &client_params(name), key)
    }

    /// A server with a new key and this serial number, signed by the CA.
    pub fn issue_server(&self, dir: &Path, name: &str, serial: u64) -> Identity {
        let mut params = server_params(loopback_names());
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().expect("key");
        Identity {
            cert: self.certify(dir, name, &params, &key),
            key: write(dir, &format!("{name}.key"), &key.serialize_pem()),
        }
    }

    /// The CA's list of what it took back, by serial numbers.
    pub fn revocation_list(&self, dir: &Path, name: &str, serials: &[u64]) -> PathBuf {
        let list = revocation_list(&self.issuer(), serials, 2049);
        write(dir, &format!("{name}.crl"), &list.pem().expect("PEM"))
    }

    fn certify(
        &self,
        dir: &Path,
        name: &str,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> PathBuf {
        let cert = params.clone().signed_by(key, &self.issuer()).expect("certificate");
        write(dir, &format!("{name}.pem"), &cert.pem())
    }

    fn issuer(&self) -> Issuer<'static, KeyPair> {
        let read = |path: &Path| std::fs::read_to_string(path).expect("PEM");
        let key = KeyPair::from_pem(&read(&self.ca_key)).expect("key");
        Issuer::from_ca_cert_pem(&read(&self.ca), key).expect("CA")
    }
}

/// What an authority took back, by serial numbers; valid until a year begins.
pub fn revocation_list(
    issuer: &Issuer<'_, KeyPair>,
    serials: &[u64],
    until: i32,
) -> CertificateRevocationList {
    let revoked = serials.iter().map(|&serial| RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).expect("list")
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn make(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("key");
        let cert = params.self_signed(&key).expect("CA");
        Self { pem: cert.pem(), issuer: Issuer::new(params, key) }
    }

    fn sign(&self, dir: &Path, name: &str, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("key");
        let cert = params.signed_by(&key, &self.issuer).expect("certificate");
        Identity {
            cert: write(dir, &format!("{name}.pem"), &cert.pem()),
            key: write(dir, &format!("{name}.key"), &key.serialize_pem()),
        }
    }
}

fn loopback_names() -> Vec<SanType> {
    vec![
        SanType::DnsName("localhost".try_into().expect("a name")),
        SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
        SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
    ]
}

fn server_params(names: Vec<SanType>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "test server");
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

fn client_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    params
}

fn write(dir: &Path, name: &str, content: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, content).expect("PEM file");
    path
}
