//! Every encrypted format that openssl writes, with every way of failing to open it.

use super::*;

const RIGHT: &str = "Öffne dich 密码 🔑";

/// Formats of an encrypted key: a name, the key types it can hold (all when empty), and the openssl command.
const KEYS: [(&str, &str, &str); 19] = [
    ("pbes2-aes128.pem", "", "pkcs8 -topk8 -v2 aes-128-cbc"),
    ("pbes2-aes192.pem", "", "pkcs8 -topk8 -v2 aes-192-cbc"),
    ("pbes2-aes256.pem", "", "pkcs8 -topk8 -v2 aes-256-cbc"),
    ("pbes2-aes256-sha1.pem", "", "pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA1"),
    ("pbes2-aes256-sha384.pem", "", "pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA384"),
    ("pbes2-aes256-sha512.pem", "", "pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA512"),
    ("pbes2-3des.pem", "", "pkcs8 -topk8 -v2 des-ede3-cbc"),
    ("pbes2-des.pem", "", "pkcs8 -topk8 -v2 des-cbc -provider legacy -provider default"),
    ("pbes2.der", "", "pkcs8 -topk8 -v2 aes-256-cbc -outform DER"),
    ("scrypt.pem", "", "pkcs8 -topk8 -scrypt"),
    ("scrypt.der", "", "pkcs8 -topk8 -scrypt -scrypt_N 1024 -scrypt_r 4 -scrypt_p 2 -outform DER"),
    ("pbes1-md5-des.pem", "", "pkcs8 -topk8 -v1 PBE-MD5-DES -provider legacy -provider default"),
    (
        "pbes1-sha1-rc2.der",
        "",
        "pkcs8 -topk8 -v1 PBE-SHA1-RC2-64 -outform DER -provider legacy -provider default",
    ),
    ("pkcs12-3des.pem", "", "pkcs8 -topk8 -v1 PBE-SHA1-3DES"),
    ("pkcs12-2des.der", "", "pkcs8 -topk8 -v1 PBE-SHA1-2DES -outform DER"),
    ("pkcs12-rc2-128.pem", "", "pkcs8 -topk8 -v1 PBE-SHA1-RC2-128 -provider legacy -provider default"),
    ("pem-aes256.pem", "RSA ECDSA", "pkey -traditional -aes-256-cbc"),
    ("pem-aes128.pem", "RSA ECDSA", "pkey -traditional -aes-128-cbc"),
    ("pem-3des.pem", "RSA ECDSA", "pkey -traditional -des-ede3-cbc"),
];

/// Formats of a bundle, as options of `openssl pkcs12 -export`.
const BUNDLES: [(&str, &str); 9] = [
    ("modern.p12", ""),
    ("legacy.pfx", "-legacy"),
    ("rc2-128.p12", "-legacy -keypbe PBE-SHA1-RC2-128 -certpbe PBE-SHA1-RC2-128"),
    ("3des.p12", "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES"),
    ("2des-sha512.p12", "-keypbe PBE-SHA1-2DES -certpbe PBE-SHA1-2DES -macalg sha512"),
    ("plain-certificates.p12", "-certpbe NONE"),
    ("plain.p12", "-certpbe NONE -keypbe NONE"),
    ("no-checksum.p12", "-nomac"),
    ("many-rounds.p12", "-iter 20000 -macalg sha384"),
];

impl Folder {
    /// `leaf.key`, `leaf.pem`, and `mid.pem` that signed it.
    fn signed(&self, options: &str) {
        self.key("mid.key", options);
        self.openssl("req -x509 -new -key mid.key -subj /CN=mid -days 30 -out mid.pem");
        self.key("leaf.key", options);
        self.openssl("req -new -key leaf.key -subj /CN=leaf -out leaf.csr");
        self.openssl(
            "x509 -req -in leaf.csr -CA mid.pem -CAkey mid.key -CAcreateserial -days 30 -out leaf.pem",
        );
    }

    fn lock_key(&self, command: &str, into: &str) {
        self.write("pass.txt", RIGHT);
        self.openssl(&format!("{command} -in leaf.key -passout file:pass.txt -out {into}"));
    }

    fn bundle(&self, options: &str, into: &str) {
        self.write("pass.txt", RIGHT);
        self.openssl(&format!(
            "pkcs12 -export -inkey leaf.key -in leaf.pem -certfile mid.pem {options} -passout file:pass.txt -out {into}"
        ));
    }

    fn code(&self, cert: &str, key: &str, passphrase: Option<&str>) -> FailureCode {
        let opened = self.load_with(cert, key, passphrase);
        opened.map(|_| ()).map_err(|error| error.code).expect_err(&format!("{cert} {key} {passphrase:?}"))
    }
}

#[test]
fn every_encrypted_key_opens_with_its_passphrase_alone() {
    for (kind, options) in [KEY_TYPES[0], KEY_TYPES[1], KEY_TYPES[4]] {
        let folder = Folder::new();
        folder.signed(options);
        for (file, kinds, command) in KEYS {
            if !kinds.is_empty() && !kinds.split(' ').any(|allowed| kind.starts_with(allowed)) {
                continue;
            }
            folder.lock_key(command, file);
            let identity = folder.load_with("leaf.pem", file, Some(RIGHT));
            let identity = identity.map_err(|error| (kind, file, error)).expect("opens");
            assert_eq!(identity.presented.chain[0].key_type, kind, "{file}");
            assert_eq!(folder.code("leaf.pem", file, None), FailureCode::PassphraseRequired, "{file}");
            assert_eq!(folder.code("leaf.pem", file, Some("")), FailureCode::PassphraseRequired, "{file}");
            for wrong in ["wrong", "öffne dich 密码 🔑", " "] {
                let code = folder.code("leaf.pem", file, Some(wrong));
                assert_eq!(code, FailureCode::PassphraseWrong, "{kind} {file} {wrong}");
            }
            let report = report_file(&folder.path(file), None);
            assert!(report.key_encrypted && !report.bundle, "{file}");
            assert_eq!(report.error.map(|error| error.code), Some(FailureCode::PassphraseRequired), "{file}");
        }
    }
}

#[test]
fn a_damaged_encrypted_key_is_told_from_a_wrong_passphrase() {
    let folder = Folder::new();
    folder.signed(KEY_TYPES[0].1);
    for (file, _, command) in KEYS {
        folder.lock_key(command, file);
        let pem = file.ends_with(".pem");
        let bytes = folder.read(file);
        // A character well within the encrypted part, away from its first block.
        let middle = bytes.len() * 2 / 3;
        let mut changed = bytes.clone();
        changed[middle] = match changed[middle] {
            b'A' if pem => b'B',
            b'\n' => unreachable!("lines have 64 characters"),
            _ if pem => b'A',
            other => other ^ 1,
        };
        folder.write("changed", &changed);
        let code = folder.code("leaf.pem", "changed", Some(RIGHT));
        let told = [FailureCode::NotAPrivateKey, FailureCode::UnsupportedKey, FailureCode::KeyMismatch];
        assert!(told.contains(&code), "{file}: {code:?}");
        folder.write("cut", &bytes[..middle]);
        assert_eq!(folder.code("leaf.pem", "cut", Some(RIGHT)), FailureCode::NotAPrivateKey, "{file}");
    }
}

#[test]
fn every_bundle_opens_with_its_passphrase_alone() {
    for (kind, options) in [KEY_TYPES[0], KEY_TYPES[3], KEY_TYPES[4]] {
        let folder = Folder::new();
        folder.signed(options);
        for (file, options) in BUNDLES {
            folder.bundle(options, file);
            let given = if file == "plain.p12" { "its checksum needs it too" } else { file };
            let identity = folder.load_with(file, "", Some(RIGHT));
            let identity = identity.map_err(|error| (kind, given, error)).expect("opens");
            let names: Vec<_> = identity.presented.chain.iter().map(CertificateInfo::short_name).collect();
            assert_eq!(names, ["leaf", "mid"], "{file}");
            assert_eq!(identity.presented.chain[0].key_type, kind, "{file}");
            folder
                .load_with("leaf.pem", file, Some(RIGHT))
                .expect("the key in the bundle, the certificate beside");
            let report = report_file(&folder.path(file), Some(&Secret::new(RIGHT)));
            assert!(report.bundle && report.key_encrypted && report.error.is_none(), "{file}");
            assert!(report.found.starts_with("PKCS#12, 2 certificates, 1 private key"), "{}", report.found);

            assert_eq!(folder.code(file, "", None), FailureCode::PassphraseRequired, "{file}");
            assert_eq!(folder.code(file, "", Some("wrong")), FailureCode::PassphraseWrong, "{file}");
            let report = report_file(&folder.path(file), None);
            assert!(report.bundle && report.key_encrypted, "{file}");
            assert_eq!(report.error.map(|error| error.code), Some(FailureCode::PassphraseRequired), "{file}");

            let bytes = folder.read(file);
            for part in 1..8 {
                let mut changed = bytes.clone();
                changed[bytes.len() * part / 8] ^= 1;
                folder.write("changed.p12", &changed);
                if let Err(error) = folder.load_with("changed.p12", "", Some(RIGHT)) {
                    let damaged =
                        [FailureCode::NotAPkcs12, FailureCode::PassphraseWrong, FailureCode::UnsupportedKey];
                    assert!(
                        damaged.contains(&error.code) || file == "no-checksum.p12",
                        "{file} {part}: {error:?}"
                    );
                } else {
                    assert_eq!(file, "no-checksum.p12", "a changed bundle is never taken, {part}");
                }
                folder.write("cut.p12", &bytes[..bytes.len() * part / 8]);
                assert_eq!(folder.code("cut.p12", "", Some(RIGHT)), FailureCode::NotAPkcs12, "{file} {part}");
            }
        }
    }
}

#[test]
fn a_changed_bundle_is_told_from_a_wrong_passphrase() {
    let folder = Folder::new();
    folder.signed(KEY_TYPES[1].1);
    for (file, options) in [("modern.p12", ""), ("legacy.p12", "-legacy")] {
        folder.bundle(options, file);
        let mut bytes = folder.read(file);
        // The checksum itself stands near the end.
        let at = bytes.len() - 30;
        bytes[at] ^= 1;
        folder.write(file, bytes);
        assert_eq!(folder.code(file, "", Some(RIGHT)), FailureCode::NotAPkcs12, "{file}");
        assert_eq!(folder.code(file, "", Some("wrong")), FailureCode::PassphraseWrong, "{file}");
    }
}

#[test]
fn bundles_without_a_passphrase_open_without_one() {
    let folder = Folder::new();
    folder.signed(KEY_TYPES[1].1);
    for (file, options) in BUNDLES {
        folder.openssl(&format!(
            "pkcs12 -export -inkey leaf.key -in leaf.pem {options} -passout pass: -out {file}"
        ));
        for passphrase in [None, Some(""), Some("not asked for")] {
            folder.load_with(file, "", passphrase).map_err(|error| (file, error)).expect("opens");
        }
        assert!(!report_file(&folder.path(file), None).key_encrypted, "{file}");
    }
    let authorities = load_authorities(&[folder.path("modern.p12")], &mut Vec::new()).expect("as a CA file");
    assert_eq!(authorities.len(), 1);
    // A bundle of certificates alone lacks the key; in PEM text a bundle is one too.
    folder.openssl("pkcs12 -export -nokeys -in leaf.pem -passout pass: -out certificates.p12");
    assert_eq!(folder.code("certificates.p12", "", None), FailureCode::PrivateKeyMissing);
    folder.load("certificates.p12", "leaf.key").expect("with its key beside it");
    folder.openssl("base64 -in modern.p12 -out modern.b64");
    let text = String::from_utf8(folder.read("modern.b64")).expect("text");
    folder.write("modern.pem", format!("-----BEGIN PKCS12-----\n{text}-----END PKCS12-----\n"));
    folder.load("modern.pem", "").expect("in PEM");
}

#[test]
fn bundles_with_lengths_that_are_not_told_are_read() {
    let folder = Folder::new();
    folder.signed(KEY_TYPES[1].1);
    folder.bundle("", "modern.p12");
    let der = folder.read("modern.p12");
    folder.write("ber.p12", indefinite(&der));
    let identity = folder.load_with("ber.p12", "", Some(RIGHT)).expect("BER");
    assert_eq!(identity.presented.chain.len(), 2);
}

/// The same as BER without lengths, strings in pieces, as NSS and old Windows write it.
fn indefinite(der: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (tag, content) in der::elements(der).expect("DER") {
        match tag {
            0x30 | 0x31 | 0xa0 => {
                bytes.extend([tag, 0x80]);
                bytes.extend(indefinite(content));
                bytes.extend([0, 0]);
            }
            0x04 | 0x80 if content.len() > 64 => {
                bytes.extend([if tag == 0x04 { 0x24 } else { 0xa0 }, 0x80]);
                for piece in content.chunks(50) {
                    bytes.extend(der::encode(0x04, &[piece]));
                }
                bytes.extend([0, 0]);
            }
            _ => bytes.extend(der::encode(tag, &[content])),
        }
    }
    bytes
}

#[test]
fn hostile_files_end_soon() {
    let folder = Folder::new();
    folder.signed(KEY_TYPES[1].1);
    folder.lock_key("pkcs8 -topk8 -v2 aes-256-cbc -outform DER", "rounds.der");
    folder.lock_key("pkcs8 -topk8 -scrypt -outform DER", "scrypt.der");
    folder.bundle("", "bundle.p12");
    // 2048 rounds become 2,139,095,040; scrypt's N becomes 2³⁰, so that it wants a terabyte.
    let raise = |file: &str, from: &[u8], to: &[u8]| {
        let mut bytes = folder.read(file);
        let at: Vec<_> = (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
        assert!(!at.is_empty(), "{file}");
        // The length does not change: a field beside it is taken in.
        for at in at {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
        folder.write(file, bytes);
    };
    let grown = der::encode_number(2_139_095_040);
    let rewritten = |file: &str| {
        let bytes = folder.read(file);
        let key = der::encode_number(2048);
        replace_deep(&bytes, &key, &grown)
    };
    folder.write("rounds.der", rewritten("rounds.der"));
    folder.write("bundle.p12", rewritten("bundle.p12"));
    raise("scrypt.der", &[2, 2, 0x40, 0], &[2, 2, 0x7f, 0xff]);
    let scrypt = replace_deep(&folder.read("scrypt.der"), &[2, 2, 0x7f, 0xff], &der::encode_number(1 << 30));
    folder.write("scrypt.der", scrypt);
    let began = std::time::Instant::now();
    for (cert, key) in [("leaf.pem", "rounds.der"), ("leaf.pem", "scrypt.der"), ("bundle.p12", "")] {
        let error = folder.load_with(cert, key, Some(RIGHT)).expect_err("too costly");
        assert_eq!(error.code, FailureCode::UnsupportedKey, "{cert} {key}: {error:?}");
        assert!(error.message.contains("asks for"), "{error:?}");
    }
    // Many keys that each ask for much: the budget is the file's.
    folder.openssl("pkcs8 -topk8 -in leaf.key -iter 2000000 -passout pass:x -out one.pem");
    folder.join(&["one.pem"; 200], "many.pem");
    let _ = folder.load_with("leaf.pem", "many.pem", Some("y"));
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
}

/// Replaces an element wherever it stands, and corrects the lengths around it.
fn replace_deep(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (tag, content) in der::elements(der).expect("DER") {
        let element = der::encode(tag, &[content]);
        let inner = der::elements(content).filter(|inner| !inner.is_empty());
        bytes.extend(match inner {
            _ if element == from => to.to_vec(),
            Some(_) if tag & 0x20 != 0 || tag == 0x04 => {
                der::encode(tag, &[&replace_deep(content, from, to)])
            }
            _ => element,
        });
    }
    bytes
}

#[test]
fn what_is_written_here_is_read_by_openssl_and_by_us() {
    let folder = Folder::new();
    folder.signed(KEY_TYPES[1].1);
    let identity = folder.load("leaf.pem", "leaf.key").expect("identity");
    folder.openssl("pkcs8 -topk8 -nocrypt -in leaf.key -outform DER -out leaf.p8");
    let mid = Contents::of_bytes(&folder.read("mid.pem")).certificates.remove(0);
    let secret = Secret::new(RIGHT);
    let key = folder.read("leaf.p8");
    let chain = [identity.key.cert[0].as_ref(), mid.as_ref()];
    folder.write("ours.p12", pkcs12_bundle(&chain, &key, &secret).expect("written"));
    folder.write("ours.pem", encrypted_key_pem(&key, &secret).expect("written"));
    folder.write("pass.txt", RIGHT);
    folder.openssl("pkcs12 -in ours.p12 -passin file:pass.txt -nodes -out theirs.pem");
    assert_eq!(folder.load("theirs.pem", "").expect("read by openssl").presented.chain.len(), 2);
    folder.openssl("pkey -in ours.pem -passin file:pass.txt -out plain.pem");
    folder.load("leaf.pem", "plain.pem").expect("read by openssl");
    assert_eq!(folder.load_with("ours.p12", "", Some(RIGHT)).expect("read by us").presented.chain.len(), 2);
    folder.load_with("leaf.pem", "ours.pem", Some(RIGHT)).expect("read by us");
    assert_eq!(folder.code("ours.p12", "", Some("wrong")), FailureCode::PassphraseWrong);
}

#[test]
fn arbitrary_changes_of_encrypted_files_never_panic() {
    let folder = Folder::new();
    folder.signed(KEY_TYPES[4].1);
    folder.openssl("pkcs12 -export -inkey leaf.key -in leaf.pem -iter 1 -passout pass: -out bundle.p12");
    folder.openssl("pkcs8 -topk8 -in leaf.key -iter 1 -outform DER -passout pass:x -out key.der");
    for file in ["bundle.p12", "key.der"] {
        let bytes = folder.read(file);
        for index in 0..bytes.len() {
            for mask in [0xff, 0x01, 0x80] {
                let mut changed = bytes.clone();
                changed[index] ^= mask;
                // Rounds in the millions would only cost time here.
                if changed.windows(3).any(|w| matches!(w, [2, 3 | 4, first] if *first > 0)) {
                    continue;
                }
                for bytes in [&changed[..], &bytes[..index]] {
                    let _ = pkcs12::open(bytes, Some(&Secret::new("x")));
                    let _ = encryption::open_pkcs8(
                        bytes,
                        &encryption::Passphrase::of(&Secret::new("x")),
                        &mut encryption::Budget::default(),
                    );
                }
            }
        }
    }
}
