//! Files as the openssl command line makes them: every key type in every encoding, and wrong files of every sort.

use std::path::Path;
use std::process::Command;

use super::*;

mod encrypted;

/// Key types by the name that [`CertificateInfo::key_type`] gives them, with the options of `openssl genpkey`.
const KEY_TYPES: [(&str, &str); 5] = [
    ("RSA 2048", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
    ("ECDSA P-256", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
    ("ECDSA P-384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"),
    ("ECDSA P-521", "-algorithm EC -pkeyopt ec_paramgen_curve:P-521"),
    ("Ed25519", "-algorithm ED25519"),
];

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("temporary folder"))
    }

    /// Runs `openssl` with these words in the folder.
    fn openssl(&self, words: &str) {
        let output = Command::new("openssl")
            .args(words.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .expect("openssl runs");
        assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn key(&self, file: &str, options: &str) {
        self.openssl(&format!("genpkey {options} -out {file}"));
    }

    /// `key.pem` and `cert.pem`, self-signed.
    fn pair(&self, options: &str) {
        self.key("key.pem", options);
        self.openssl("req -x509 -new -key key.pem -subj /CN=device-42/O=Plant -days 30 -out cert.pem");
    }

    fn path(&self, file: &str) -> String {
        self.0.path().join(file).to_str().expect("UTF-8 path").to_owned()
    }

    fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.0.path().join(file), bytes).expect("written");
    }

    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(file)).expect("read")
    }

    fn join(&self, files: &[&str], into: &str) {
        let bytes: Vec<u8> = files.iter().flat_map(|file| self.read(file)).collect();
        self.write(into, bytes);
    }

    fn load(&self, cert: &str, key: &str) -> Result<ClientIdentity, IdentityError> {
        self.load_with(cert, key, None)
    }

    fn load_with(
        &self,
        cert: &str,
        key: &str,
        passphrase: Option<&str>,
    ) -> Result<ClientIdentity, IdentityError> {
        let mut secrets = Secrets::default();
        secrets.put(SecretField::KeyPassphrase, passphrase.map(Secret::new));
        let file = |name: &str| if name.is_empty() { String::new() } else { self.path(name) };
        let given = ClientCertificate {
            enabled: true,
            cert_file: file(cert),
            key_file: file(key),
            ..ClientCertificate::default()
        };
        let result = load_client(&given, &secrets, &mut Vec::new());
        let report = report_client(&given, &secrets);
        match &result {
            Ok(_) => assert_eq!(report.key_matches, Some(true)),
            Err(error) if error.code == FailureCode::CertificateMissing => {}
            Err(error) => {
                let errors = [report.cert.and_then(|f| f.error), report.key.and_then(|f| f.error)];
                assert!(
                    errors.iter().flatten().any(|e| e.code == error.code),
                    "{error:?} is reported: {errors:?}"
                );
                assert!(!error.message.is_empty() && !error.cause.is_empty());
            }
        }
        result
    }
}

fn now() -> UnixMicros {
    crate::message::Clock::start().now()
}

#[test]
fn every_key_type_in_every_encoding() {
    for (name, options) in KEY_TYPES {
        let folder = Folder::new();
        folder.pair(options);
        folder.openssl("x509 -in cert.pem -outform DER -out cert.der");
        folder.openssl("x509 -in cert.pem -text -out text.pem");
        folder.openssl("pkcs8 -topk8 -nocrypt -in key.pem -out key.p8");
        folder.openssl("pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.p8.der");
        let crlf = String::from_utf8(folder.read("cert.pem")).expect("text").replace('\n', "\r\n");
        folder.write("crlf.pem", format!("\u{feff}{crlf}"));
        let utf16: Vec<u8> = format!("\u{feff}{crlf}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        folder.write("utf16.pem", utf16);
        let indented = crlf.replace("\r\n", "\n   ");
        folder.write("indented.pem", format!("   {indented}"));
        folder.join(&["key.pem", "cert.pem"], "both.pem");
        let mut keys = vec!["key.pem", "key.p8", "key.p8.der", "both.pem"];
        if name != "Ed25519" {
            folder.openssl("pkey -in key.pem -traditional -out traditional.pem");
            folder.openssl("pkey -in key.pem -traditional -outform DER -out traditional.der");
            keys.extend(["traditional.pem", "traditional.der"]);
        }
        if name.starts_with("ECDSA") {
            let curve = name.trim_start_matches("ECDSA ");
            folder.openssl(&format!("ecparam -name {curve} -out params.pem"));
            folder.join(&["params.pem", "traditional.pem"], "with-params.pem");
            keys.push("with-params.pem");
        }
        for key in keys {
            for cert in
                ["cert.pem", "cert.der", "text.pem", "crlf.pem", "utf16.pem", "indented.pem", "both.pem"]
            {
                let identity = folder.load(cert, key).map_err(|e| (name, cert, key, e)).expect("identity");
                assert_eq!(identity.presented.chain[0].key_type, name, "{cert} {key}");
                assert_eq!(identity.presented.chain[0].common_name.as_deref(), Some("device-42"));
                assert!(identity.presented.unused.is_empty(), "{cert} {key}");
                assert!(identity.presented.chain[0].self_signed, "{name}");
            }
        }
        folder.load("both.pem", "").expect("key and certificate in one file");
    }
}

#[test]
fn chains_are_put_in_order() {
    let folder = Folder::new();
    folder.write("ca.ext", "basicConstraints=critical,CA:TRUE\n");
    folder.write(
        "leaf.ext",
        "extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\n\
         subjectAltName=DNS:device,IP:127.0.0.1,IP:::1,URI:urn:x,email:a@b\n",
    );
    for (name, signer, ext) in [("root", "", ""), ("mid", "root", "ca.ext"), ("leaf", "mid", "leaf.ext")] {
        // P-521 all the way: its signatures need more than x509-parser knows.
        folder.key(&format!("{name}.key"), KEY_TYPES[3].1);
        if signer.is_empty() {
            folder.openssl("req -x509 -new -key root.key -subj /CN=root -days 30 -out root.pem");
            continue;
        }
        folder.openssl(&format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr"));
        folder.openssl(&format!(
            "x509 -req -in {name}.csr -CA {signer}.pem -CAkey {signer}.key -CAcreateserial -days 30 \
             -extfile {ext} -out {name}.pem"
        ));
    }
    folder.pair(KEY_TYPES[1].1);
    folder.join(&["root.pem", "cert.pem", "mid.pem", "leaf.pem"], "mixed.pem");
    let identity = folder.load("mixed.pem", "leaf.key").expect("a chain");
    let names: Vec<_> = identity.presented.chain.iter().map(CertificateInfo::short_name).collect();
    assert_eq!(names, ["leaf", "mid", "root"]);
    assert_eq!(identity.key.cert.len(), 3);
    assert_eq!(identity.presented.chain[0].usages, ["digitalSignature", "clientAuth"]);
    assert_eq!(
        identity.presented.chain[0].sans,
        ["DNS:device", "IP:127.0.0.1", "IP:::1", "URI:urn:x", "email:a@b"]
    );
    assert!(
        !identity.presented.chain[0].is_ca
            && identity.presented.chain[1].is_ca
            && !identity.presented.chain[0].self_signed
    );
    assert_eq!(
        remarks(&identity.presented, now()).iter().map(IdentityRemark::words).collect::<Vec<_>>(),
        ["Not part of the client certificate's chain, so not sent: device-42"]
    );

    folder.join(&["leaf.key", "mid.pem"], "key-and-mid.pem");
    let identity = folder.load("leaf.pem", "key-and-mid.pem").expect("the key file holds the intermediate");
    assert_eq!(identity.presented.chain.len(), 2);

    let mut files = Vec::new();
    let authorities = load_authorities(&[folder.path("mixed.pem"), " ".into()], &mut files).expect("CAs");
    assert_eq!((authorities.len(), files.len()), (4, 1));
    assert_eq!((files[0].found.as_str(), files[0].format.as_str()), ("4 certificates", "pem"));
}

#[test]
fn fingerprints_and_dates_are_those_of_openssl() {
    let folder = Folder::new();
    folder.pair(KEY_TYPES[1].1);
    let info = folder.load("cert.pem", "key.pem").expect("identity").presented.chain.remove(0);
    let print = |what: &str| {
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-in", &folder.path("cert.pem")])
            .args(what.split_whitespace())
            .output()
            .expect("openssl runs");
        let text = String::from_utf8(output.stdout).expect("text");
        text.split_once('=').expect("name=value").1.trim().replace(':', "").to_lowercase()
    };
    assert_eq!(info.sha256, print("-fingerprint -sha256"));
    assert_eq!(info.sha1, print("-fingerprint -sha1"));
    assert_eq!(info.serial.trim_start_matches('0'), print("-serial").trim_start_matches('0'));
    assert_eq!(info.not_after - info.not_before, 30 * DAY);
    assert!((now() - info.not_before).abs() < DAY);
}

#[test]
fn wrong_files_are_named() {
    let folder = Folder::new();
    folder.pair(KEY_TYPES[1].1);
    folder.key("other.pem", KEY_TYPES[1].1);
    folder.key("rsa.pem", KEY_TYPES[0].1);
    folder.key("small.pem", "-algorithm RSA -pkeyopt rsa_keygen_bits:1024");
    folder.key("ed448.pem", "-algorithm ED448");
    folder.openssl("ecparam -genkey -name secp256k1 -noout -out k1.pem");
    folder.openssl("req -new -key key.pem -subj /CN=x -out request.pem");
    folder.openssl("req -in request.pem -outform DER -out request.der");
    folder.openssl("pkey -in key.pem -pubout -out public.pem");
    folder.openssl("pkey -in key.pem -pubout -outform DER -out public.der");
    folder.openssl("pkcs12 -export -in cert.pem -inkey key.pem -passout pass:canary -out bundle.p12");
    folder.openssl("crl2pkcs7 -nocrl -certfile cert.pem -out bundle.p7b");
    folder.openssl("crl2pkcs7 -nocrl -certfile cert.pem -outform DER -out bundle.p7b.der");
    folder.openssl("dhparam -dsaparam -out dh.pem 512");
    folder.write("empty.pem", "");
    folder.write("blank.pem", " \r\n\n");
    folder.write("text.pem", "hello");
    folder.write("text.p12", "hello");
    folder.write("zeros.pem", [0; 64]);
    folder.write("large.pem", vec![b'x'; 4 * 1024 * 1024 + 1]);
    folder.write("ssh.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me");
    let pem = folder.read("cert.pem");
    folder.write("cut.pem", &pem[..pem.len() / 2]);
    let broken = String::from_utf8(pem).expect("text").replacen("MII", "M!I", 1).replacen("MIB", "M!B", 1);
    folder.write("broken.pem", broken);
    std::fs::create_dir(folder.0.path().join("dir")).expect("folder");

    use FailureCode::*;
    for (cert, key, code, words) in [
        ("missing.pem", "key.pem", FileNotFound, "missing.pem"),
        ("no/such.pem", "key.pem", FileNotFound, "folder"),
        ("cert.pem/x", "key.pem", FileNotFound, ""),
        ("cert.pem", "missing.key", FileNotFound, "missing.key"),
        ("dir", "key.pem", FileUnreadable, "folder"),
        ("large.pem", "key.pem", FileUnreadable, "4 MiB"),
        ("empty.pem", "key.pem", FileEmpty, "0 bytes"),
        ("cert.pem", "blank.pem", FileEmpty, "empty"),
        ("text.pem", "key.pem", NotACertificate, "PEM block"),
        ("zeros.pem", "key.pem", NotACertificate, "PEM block"),
        ("cut.pem", "key.pem", NotACertificate, "end is missing"),
        ("broken.pem", "key.pem", NotACertificate, "base64"),
        ("request.pem", "key.pem", NotACertificate, "signing request"),
        ("request.der", "key.pem", NotACertificate, "signing request"),
        ("public.pem", "key.pem", NotACertificate, "public key"),
        ("bundle.p12", "", PassphraseRequired, "PKCS#12"),
        ("text.p12", "", NotAPkcs12, "does not begin as one"),
        ("bundle.p7b", "key.pem", NotACertificate, "openssl pkcs7"),
        ("bundle.p7b.der", "key.pem", NotACertificate, "openssl pkcs7"),
        ("dh.pem", "key.pem", NotACertificate, "DH PARAMETERS"),
        ("rsa.pem", "key.pem", NotACertificate, "private key"),
        ("cert.pem", "text.pem", NotAPrivateKey, "PEM block"),
        ("cert.pem", "cert.pem", NotAPrivateKey, "is a certificate"),
        ("cert.pem", "public.pem", NotAPrivateKey, "public key"),
        ("cert.pem", "public.der", NotAPrivateKey, "public key"),
        ("cert.pem", "request.pem", NotAPrivateKey, "signing request"),
        ("cert.pem", "bundle.p12", PassphraseRequired, "PKCS#12"),
        ("cert.pem", "ssh.pub", NotAPrivateKey, "SSH public key"),
        ("key.pem", "cert.pem", FilesSwapped, "exchanged"),
        ("cert.pem", "other.pem", KeyMismatch, "Both are ECDSA P-256"),
        ("cert.pem", "rsa.pem", KeyMismatch, "RSA 2048"),
        ("cert.pem", "", PrivateKeyMissing, "choose"),
        ("key.pem", "", CertificateMissing, "private key only"),
        ("", "key.pem", CertificateMissing, "No certificate"),
        ("cert.pem", "small.pem", UnsupportedKey, "RSA"),
        ("cert.pem", "ed448.pem", UnsupportedKey, "Ed448"),
        ("cert.pem", "k1.pem", UnsupportedKey, "secp256k1"),
    ] {
        let error = folder.load(cert, key).expect_err(&format!("{cert} {key}"));
        assert_eq!(error.code, code, "{cert} {key}: {error:?}");
        let text = format!("{} {}", error.message, error.cause);
        assert!(text.contains(words), "{cert} {key}: “{words}” in “{text}”");
    }
    let error = load_authorities(&[folder.path("key.pem")], &mut Vec::new()).expect_err("a key");
    assert_eq!(error.code, NotACertificate);
    // Without its passphrase nothing says what is in it; with one it could serve as a CA file.
    let error = load_authorities(&[folder.path("bundle.p12")], &mut Vec::new()).expect_err("a locked bundle");
    assert_eq!(error.code, PassphraseRequired);
    assert_eq!(report_authority(&folder.path("request.pem")).error.map(|e| e.code), Some(NotACertificate));
    assert!(report_file(&folder.path("key.pem"), None).error.is_none());
    assert!(report_file("/dev/null", None).error.is_some_and(|e| e.code == FileUnreadable));
}

#[cfg(unix)]
#[test]
fn files_that_may_not_be_read_and_pipes_are_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    folder.pair(KEY_TYPES[4].1);
    std::fs::set_permissions(Path::new(&folder.path("key.pem")), std::fs::Permissions::from_mode(0o000))
        .expect("mode");
    // For root everything is readable.
    if std::fs::File::open(folder.path("key.pem")).is_err() {
        let error = folder.load("cert.pem", "key.pem").expect_err("no permission");
        assert_eq!(error.code, FailureCode::FileUnreadable);
    }
    let made = Command::new("mkfifo").arg(folder.path("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    let error = folder.load("cert.pem", "pipe").expect_err("a pipe");
    assert_eq!(error.code, FailureCode::FileUnreadable);
}

#[test]
fn what_deserves_a_look_is_said() {
    let folder = Folder::new();
    folder.key("key.pem", KEY_TYPES[1].1);
    folder.openssl("req -x509 -new -key key.pem -subj /CN=web -days 30 -addext extendedKeyUsage=serverAuth -out cert.pem");
    let identity = folder.load("cert.pem", "key.pem").expect("identity");
    let said = |at: UnixMicros, words: &str| {
        remarks(&identity.presented, at).iter().any(|r| r.words().contains(words))
    };
    assert!(said(now(), "clientAuth"));
    assert!(said(now() + 20 * DAY, "expires in"));
    assert!(said(now() + 40 * DAY, "expired"));
    assert!(said(now() - 40 * DAY, "not valid yet"));
    assert!(!said(now(), "expire"));
}

#[test]
fn arbitrary_bytes_never_panic() {
    let folder = Folder::new();
    folder.pair(KEY_TYPES[1].1);
    folder.openssl("x509 -in cert.pem -outform DER -out cert.der");
    folder.openssl("pkey -in key.pem -outform DER -out key.der");
    for file in ["cert.der", "key.der", "cert.pem", "key.pem"] {
        let bytes = folder.read(file);
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 0xff;
            for bytes in [&changed[..], &bytes[..index]] {
                let contents = Contents::of_bytes(bytes);
                let _ = (contents.found(None), contents.keys.first().and_then(key_type));
                let _ = describe(bytes);
            }
        }
    }
}

#[test]
fn paths_are_quoted_for_a_shell() {
    assert_eq!(quoted("/a/b.pem"), "/a/b.pem");
    assert_eq!(quoted("my key's.pem"), r"'my key'\''s.pem'");
}
