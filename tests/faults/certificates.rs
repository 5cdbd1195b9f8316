//! The corpus' certificates: one private authority with an intermediate, a stranger, and servers and clients
//! that are each wrong in one way. In: a folder. Out: PEM files, found by name.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose as Purpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};

/// The serial number of the certificate that can be revoked.
const SERIAL: u64 = 0x5ea1;

/// Where `NAME.pem`, `NAME.key` and `NAME.ca.pem` lie.
#[derive(Clone)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes all of them in `folder`.
    pub fn make(folder: &Path) -> Self {
        let made = Self { folder: folder.to_owned() };
        let root = Authority::root("Plant Root CA");
        let issuing = root.below("Plant Issuing CA");
        let strangers = Authority::root("Strangers CA");
        made.write("plant.ca.pem", &root.pem);
        made.write("strangers.ca.pem", &strangers.pem);
        made.write("both.ca.pem", [root.pem.as_str(), &issuing.pem].concat());

        made.issue("server", &root, server());
        made.issue("server-revoked", &root, numbered(server()));
        made.revocation_list("revoking", &root, &[SERIAL], 2090);
        made.revocation_list("revoking-nothing", &root, &[], 2090);
        made.revocation_list("revoking-till-2021", &root, &[SERIAL], 2021);
        made.revocation_list("revoking-by-strangers", &strangers, &[SERIAL], 2090);
        made.issue("server-of-strangers", &strangers, server());
        made.issue("server-expired", &root, past(server()));
        made.issue("server-future", &root, future(server()));
        made.issue("server-other-name", &root, named(server(), &["other.example", "*.fleet.example"]));
        made.issue("server-no-san", &root, named(server(), &[]));
        made.issue("server-as-client", &root, purpose(server(), Purpose::ClientAuth));
        made.issue("server-leaf-only", &issuing, server());
        made.issue_chain("server-chain", &issuing, server());
        made.self_signed("server-self-signed", server());
        made.self_signed("server-self-signed-ca", authority(server()));
        made.version_1("server-version-1", &root);
        made.short_key("server-short-key", &root);
        made.issue("server-authority", &root, authority(server()));

        made.issue("client", &root, client("pump-7"));
        made.issue("client-of-strangers", &strangers, client("stranger"));
        made.issue("client-of-namesake", &Authority::root("Plant Root CA"), client("pump-6"));
        made.issue("client-expired", &root, past(client("pump-old")));
        made.issue("client-future", &root, future(client("pump-next")));
        made.issue("client-as-server", &root, purpose(client("pump-server"), Purpose::ServerAuth));
        made.issue("client-leaf-only", &issuing, client("pump-8"));
        made.issue_chain("client-chain", &issuing, client("pump-8"));
        made.self_signed("client-self-signed", client("pump-self"));
        made.odd_curve("odd-curve");
        made
    }

    /// A certificate file.
    pub fn cert(&self, name: &str) -> String {
        self.path(&format!("{name}.pem"))
    }

    /// Its key.
    pub fn key(&self, name: &str) -> String {
        self.path(&format!("{name}.key"))
    }

    /// A file of authorities.
    pub fn authority(&self, name: &str) -> String {
        self.path(&format!("{name}.ca.pem"))
    }

    /// A revocation list.
    pub fn list(&self, name: &str) -> String {
        self.path(&format!("{name}.crl.pem"))
    }

    /// Anything else in the folder.
    pub fn path(&self, file: &str) -> String {
        self.folder.join(file).to_string_lossy().into_owned()
    }

    /// Puts a file in the folder.
    pub fn write(&self, file: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder.join(file);
        std::fs::write(&path, content).expect("a file");
        path.to_string_lossy().into_owned()
    }

    /// A stapled answer (RFC 6960) that says that `server` was revoked.
    pub fn revoked_staple(&self) -> String {
        let at = |name: &str| self.path(name);
        let serial = openssl(&["x509", "-in", &self.cert("server"), "-noout", "-serial"]);
        let serial = serial.trim().trim_start_matches("serial=");
        self.write("index.txt", format!("R\t491231235959Z\t240101000000Z\t{serial}\tunknown\t/CN=server\n"));
        let (ca, key, cert) = (self.authority("plant"), at("plant.ca.key"), self.cert("server"));
        let (request, answer) = (at("ocsp.request"), at("ocsp.der"));
        openssl(&["ocsp", "-issuer", &ca, "-cert", &cert, "-reqout", &request]);
        openssl(&[
            "ocsp",
            "-index",
            &at("index.txt"),
            "-CA",
            &ca,
            "-rsigner",
            &ca,
            "-rkey",
            &key,
            "-reqin",
            &request,
            "-respout",
            &answer,
            "-ndays",
            "7",
        ]);
        answer
    }

    /// The key of `name` as `encrypted.key`, under a passphrase.
    pub fn encrypt_key(&self, name: &str, encrypted: &str, passphrase: &str) {
        let pass = format!("pass:{passphrase}");
        let (from, to) = (self.key(name), self.key(encrypted));
        openssl(&["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-in", &from, "-out", &to, "-passout", &pass]);
    }

    /// Certificate and key of `name` as a PKCS#12 bundle.
    pub fn bundle(&self, name: &str, passphrase: &str) -> Vec<u8> {
        let (cert, key, to) = (self.cert(name), self.key(name), self.path("bundle.p12"));
        let pass = format!("pass:{passphrase}");
        openssl(&["pkcs12", "-export", "-in", &cert, "-inkey", &key, "-out", &to, "-passout", &pass]);
        std::fs::read(to).expect("the bundle")
    }

    /// A certificate on a curve that TLS has no use for.
    fn odd_curve(&self, name: &str) {
        let (key, cert) = (self.key(name), self.cert(name));
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:secp224r1",
            "-nodes",
            "-subj",
            "/CN=odd",
            "-days",
            "90",
            "-keyout",
            &key,
            "-out",
            &cert,
        ]);
    }

    /// A server's, with an RSA key that is too short to be trusted.
    fn short_key(&self, name: &str, issuer: &Authority) {
        let (key, request, names) = (self.key(name), self.path("short.request"), self.path("short.names"));
        std::fs::write(&names, "subjectAltName=DNS:localhost,IP:127.0.0.1\n").expect("names");
        openssl(&[
            "req",
            "-new",
            "-newkey",
            "rsa:1024",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        let (ca, ca_key) = (self.authority("plant"), self.write("plant.ca.key", issuer.key_pem()));
        let cert = self.cert(name);
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-set_serial",
            "78",
            "-days",
            "90",
            "-extfile",
            &names,
            "-out",
            &cert,
        ]);
    }

    /// As `openssl x509 -req` writes them without an extension file: version 1, so no names but the common one.
    fn version_1(&self, name: &str, issuer: &Authority) {
        let (key, request) = (self.key(name), self.path("version-1.request"));
        openssl(&[
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        let (ca, ca_key) = (self.authority("plant"), self.write("plant.ca.key", issuer.key_pem()));
        let cert = self.cert(name);
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-set_serial",
            "77",
            "-days",
            "90",
            "-out",
            &cert,
        ]);
    }

    /// What an authority took back, valid until a year begins.
    fn revocation_list(&self, name: &str, issuer: &Authority, serials: &[u64], until: i32) {
        let list = crate::brokers::revocation_list(&issuer.issuer, serials, until).pem().expect("PEM");
        std::fs::write(self.list(name), list).expect("a file");
    }

    fn issue(&self, name: &str, issuer: &Authority, params: CertificateParams) {
        self.store(name, issuer, &params, "");
    }

    /// With the certificate of its issuer behind it.
    fn issue_chain(&self, name: &str, issuer: &Authority, params: CertificateParams) {
        self.store(name, issuer, &params, &issuer.pem);
    }

    fn store(&self, name: &str, issuer: &Authority, params: &CertificateParams, more: &str) {
        let key = KeyPair::generate().expect("key");
        let cert = params.signed_by(&key, &issuer.issuer).expect("certificate").pem();
        self.write(&format!("{name}.pem"), [cert.as_str(), more].concat());
        self.write(&format!("{name}.key"), key.serialize_pem());
    }

    fn self_signed(&self, name: &str, params: CertificateParams) {
        let key = KeyPair::generate().expect("key");
        self.write(&format!("{name}.pem"), params.self_signed(&key).expect("certificate").pem());
        self.write(&format!("{name}.key"), key.serialize_pem());
    }
}

fn openssl(arguments: &[&str]) -> String {
    let made = Command::new("openssl").args(arguments).output().expect("openssl");
    assert!(made.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8_lossy(&made.stdout).into_owned()
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn root(name: &str) -> Self {
        let params = authority_named(name);
        let key = KeyPair::generate().expect("key");
        Self { pem: params.self_signed(&key).expect("root").pem(), issuer: Issuer::new(params, key) }
    }

    fn below(&self, name: &str) -> Self {
        let params = authority_named(name);
        let key = KeyPair::generate().expect("key");
        let cert = params.signed_by(&key, &self.issuer).expect("intermediate");
        Self { pem: cert.pem(), issuer: Issuer::new(params, key) }
    }

    fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }
}

fn authority_named(name: &str) -> CertificateParams {
    let mut params = authority(CertificateParams::default());
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(mut params: CertificateParams) -> CertificateParams {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn server() -> CertificateParams {
    let mut params = purpose(CertificateParams::default(), Purpose::ServerAuth);
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let mut params = named(params, &["localhost"]);
    params.subject_alt_names.extend([
        SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
        SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
    ]);
    params
}

fn client(name: &str) -> CertificateParams {
    let mut params = purpose(CertificateParams::default(), Purpose::ClientAuth);
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

fn named(mut params: CertificateParams, names: &[&str]) -> CertificateParams {
    params.subject_alt_names =
        names.iter().map(|name| SanType::DnsName((*name).try_into().expect("a name"))).collect();
    params
}

fn purpose(mut params: CertificateParams, purpose: Purpose) -> CertificateParams {
    params.extended_key_usages = vec![purpose];
    params
}

fn numbered(mut params: CertificateParams) -> CertificateParams {
    params.serial_number = Some(SerialNumber::from(SERIAL));
    params
}

fn past(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    params
}

fn future(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2090, 1, 1);
    params.not_after = date_time_ymd(2091, 1, 1);
    params
}
