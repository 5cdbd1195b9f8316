//! Keys that never leave their token: SoftHSM2's, over mqtts and wss, TLS 1.2 and 1.3, RSA and ECDSA; and everything
//! that can be wrong with module, token, PIN and key, each by its own code. The module reads where its tokens are from
//! the environment, so each case runs in a process of its own.

#![allow(clippy::panic, reason = "a failed case says so")]

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use brokers::{Identity, Mosquitto, MosquittoOptions, Nginx, NginxOptions, Pki, SoftHsm, TOKEN_PIN};
use heliograph_engine::Engine;
use heliograph_engine::endpoint::{Endpoint, Scheme};
use heliograph_engine::engine::{CertificateRole, EngineEvent};
use heliograph_engine::error::ErrorCode;
use heliograph_engine::identity::{self, TokenKey, token};
use heliograph_engine::profile::{ClientCertificate, Profile, ProfileDraft, ProfileId, Settings, TrustMode};
use heliograph_engine::secret::{Secret, SecretEdit, SecretField, Secrets};
use heliograph_engine::session::{self, Phase, SessionConfig};
use heliograph_engine::trace::{StageDetail, TlsDetail, Trace, VerdictOutcome};
use rcgen::{KeyPair, SubjectPublicKeyInfo};

const FOLDER: &str = "TOKENS_FOLDER";
const TOKEN: &str = "Plant; north";
const CERTIFICATE_OF_ITS_OWN: &str = "p256";

/// Makes a folder of tokens and runs a case of this file on it.
fn run(case: &str, mechanisms: &str) {
    let dir = tempfile::tempdir().expect("folder");
    let tokens = SoftHsm::make(dir.path(), mechanisms);
    let pki = Pki::make(dir.path());
    tokens.token(TOKEN);
    tokens.token("Other");
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048);
    let keys = [
        ("rsa", "a1", rsa.expect("key")),
        ("p256", "a2", KeyPair::generate().expect("key")),
        ("p384", "a3", KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("key")),
    ];
    for (label, id, key) in keys {
        let Identity { cert, key } = pki.issue_client(dir.path(), label, &key);
        tokens.import(TOKEN, label, id, &key);
        // From here on it is on the token alone.
        std::fs::remove_file(key).expect("removed");
        if label == CERTIFICATE_OF_ITS_OWN {
            tokens.certificate(TOKEN, label, id, &cert);
        }
    }
    let public = dir.path().join("asks.pub");
    tokens.generate_asking(TOKEN, "asks", "a4", &public);
    let public = std::fs::read(public).expect("public key");
    pki.certify_client(dir.path(), "asks", &SubjectPublicKeyInfo::from_der(&public).expect("public key"));
    let exe = std::env::current_exe().expect("this test");
    let output = Command::new(exe)
        .args([case, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(SoftHsm::VARIABLE, &tokens.config)
        .env(FOLDER, dir.path())
        .output()
        .expect("run");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{case} failed ({}):\n{text}",
        output.status
    );
    assert!(!text.contains(TOKEN_PIN), "the PIN is in the output:\n{text}");
}

#[test]
fn every_kind_of_key_on_every_transport_and_version() {
    run("inside_keys_sign", "ALL");
}

#[test]
fn what_a_token_cannot_is_done_another_way_or_named() {
    // SoftHSM passes over the first of a list of exceptions.
    let lacks = "-CKM_MD5,CKM_RSA_PKCS_PSS,CKM_SHA256_RSA_PKCS_PSS,CKM_SHA384_RSA_PKCS_PSS,CKM_SHA512_RSA_PKCS_PSS,CKM_ECDSA";
    run("inside_mechanisms_are_missing", lacks);
}

#[test]
fn a_key_that_wants_its_pin_for_each_signature_gets_it() {
    run("inside_a_key_asks_each_time", "ALL");
}

#[test]
fn a_key_on_a_token_is_in_the_library_without_a_file() {
    run("inside_the_library", "ALL");
}

#[test]
fn what_is_wrong_is_named() {
    run("inside_everything_is_wrong_once", "ALL");
}

#[test]
fn a_saved_connection_asks_for_its_pin_once() {
    run("inside_a_saved_connection", "ALL");
}

fn folder() -> PathBuf {
    std::env::var_os(FOLDER).expect("inside a case").into()
}

fn path(name: &str) -> String {
    folder().join(name).to_string_lossy().into_owned()
}

fn key(label: &str) -> TokenKey {
    TokenKey {
        module: SoftHsm::module().into(),
        token: TOKEN.into(),
        label: label.into(),
        ..TokenKey::default()
    }
}

fn settings(key: &TokenKey, cert_file: String) -> Settings {
    let mut settings = Settings {
        client_certificate: ClientCertificate {
            enabled: true,
            cert_file,
            key_file: key.uri(),
            ..ClientCertificate::default()
        },
        ..Settings::default()
    };
    settings.trust.mode = TrustMode::CaOnly;
    settings.trust.ca_files = vec![path("ca.pem")];
    settings.timing.connect_timeout_s = 20;
    settings
}

async fn attempt(url: &str, settings: Settings, pin: Option<&str>) -> Trace {
    let mut secrets = Secrets::default();
    secrets.put(SecretField::TokenPin, pin.map(Secret::new));
    let endpoint = Endpoint::parse_url(url, Scheme::Mqtts).expect("URL").endpoint;
    let profile = Profile { id: ProfileId::random(), name: String::new(), endpoint, settings };
    session::test(SessionConfig { profile, secrets, keep_trying: false }, Arc::new(|_| {})).await
}

fn tls(trace: &Trace) -> TlsDetail {
    let found = trace.stages.iter().find_map(|stage| match &stage.detail {
        StageDetail::Tls(tls) => Some(tls.clone()),
        _ => None,
    });
    found.expect("TLS")
}

fn code(trace: &Trace) -> String {
    match &trace.verdict.as_ref().expect("a verdict").failure {
        None => "connected".to_owned(),
        Some(failure) => {
            println!("{}: {} {:?}", failure.message, failure.cause, failure.fixes);
            assert!(!failure.fixes.is_empty(), "{failure:?}");
            serde_json::to_value(failure.code).expect("json").as_str().expect("a name").to_owned()
        }
    }
}

fn servers() -> (Pki, Mosquitto, Nginx) {
    let dir = folder();
    // Its own CA would be another one: the one that signed is in the folder.
    let pki = Pki::made_in(&dir);
    let options = MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() };
    let broker = Mosquitto::start(&pki, &options);
    let options = NginxOptions { required_header: None, protocols: "TLSv1.2", ..NginxOptions::default() };
    let old = Nginx::start(&pki, broker.ws, &options);
    (pki, broker, old)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a case of its own process"]
async fn inside_keys_sign() {
    let (_pki, broker, old) = servers();
    let urls = [
        (format!("mqtts://localhost:{}", broker.mqtts), "TLS 1.3"),
        (format!("wss://localhost:{}/mqtt", broker.wss), "TLS 1.3"),
        (format!("wss://localhost:{}/mqtt", old.port), "TLS 1.2"),
    ];
    for label in ["rsa", "p256", "p384"] {
        for (url, version) in &urls {
            let trace =
                attempt(url, settings(&key(label), path(&format!("{label}.pem"))), Some(TOKEN_PIN)).await;
            assert_eq!(code(&trace), "connected", "{label} {url}");
            let tls = tls(&trace);
            assert_eq!(tls.version.as_deref(), Some(*version), "{label} {url}");
            let sent = tls.client_cert_sent.and_then(|sent| sent.common_name);
            assert_eq!(sent.as_deref(), Some(label), "{url}");
            assert!(!serde_json::to_string(&trace).expect("json").contains(TOKEN_PIN));
        }
    }
    // The certificate may be on the token as well; the key by its identifier, the token by its serial number.
    let found = token::list(SoftHsm::module(), TOKEN, Some(&Secret::new(TOKEN_PIN))).expect("listed");
    let plant = found.iter().find(|token| token.label == TOKEN).expect("the token");
    let labels: Vec<_> = plant.keys.iter().map(|key| (key.label.as_str(), key.key_type.as_str())).collect();
    for known in [("rsa", "RSA 2048"), ("p256", "ECDSA P-256"), ("p384", "ECDSA P-384")] {
        assert!(labels.contains(&known), "{labels:?}");
    }
    let listed = plant.keys.iter().find(|key| key.label == CERTIFICATE_OF_ITS_OWN).expect("listed");
    assert_eq!(listed.certificate, CERTIFICATE_OF_ITS_OWN);
    assert!(!plant.hidden && found.iter().any(|token| token.label == "Other" && token.hidden));
    let (by_id, _) = TokenKey::parse(&listed.uri).expect("a URI");
    let by_id = TokenKey { label: String::new(), token: String::new(), ..by_id };
    let trace = attempt(&urls[1].0, settings(&by_id, String::new()), Some(TOKEN_PIN)).await;
    assert_eq!(code(&trace), "connected");
    // Many at once share the module.
    let all = (0..8).map(|_| attempt(&urls[0].0, settings(&key("p256"), path("p256.pem")), Some(TOKEN_PIN)));
    for trace in futures_util::future::join_all(all).await {
        assert_eq!(code(&trace), "connected");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a case of its own process"]
async fn inside_mechanisms_are_missing() {
    let (_pki, broker, old) = servers();
    let with = |label: &str| settings(&key(label), path(&format!("{label}.pem")));
    // Without PSS there is PKCS#1, which TLS 1.2 knows and TLS 1.3 does not.
    let url = format!("wss://localhost:{}/mqtt", old.port);
    assert_eq!(code(&attempt(&url, with("rsa"), Some(TOKEN_PIN)).await), "connected");
    let url = format!("mqtts://localhost:{}", broker.mqtts);
    let trace = attempt(&url, with("rsa"), Some(TOKEN_PIN)).await;
    assert_eq!(code(&trace), "token_mechanism_unsupported");
    let trace = attempt(&url, with("p256"), Some(TOKEN_PIN)).await;
    assert_eq!(code(&trace), "token_mechanism_unsupported");
}

/// What the key itself says: its PIN is asked for again each time it signs, also within one session.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a case of its own process"]
async fn inside_a_key_asks_each_time() {
    let (_pki, broker, old) = servers();
    let with = || settings(&key("asks"), path("asks.pem"));
    for url in [
        format!("mqtts://localhost:{}", broker.mqtts),
        format!("wss://localhost:{}/mqtt", broker.wss),
        format!("wss://localhost:{}/mqtt", old.port),
    ] {
        for _ in 0..2 {
            let trace = attempt(&url, with(), Some(TOKEN_PIN)).await;
            assert_eq!(code(&trace), "connected", "{url}");
            let sent = tls(&trace).client_cert_sent.and_then(|sent| sent.common_name);
            assert_eq!(sent.as_deref(), Some("asks"), "{url}");
        }
    }
    // One identity signs again and again, each time after the PIN.
    let mut secrets = Secrets::default();
    secrets.put(SecretField::TokenPin, Some(Secret::new(TOKEN_PIN)));
    let own = with().client_certificate;
    let loaded = identity::load_client(&own, &secrets, &mut Vec::new()).expect("an identity");
    let signer = loaded.key.key.choose_scheme(&[rustls::SignatureScheme::RSA_PSS_SHA256]).expect("a scheme");
    for message in [b"one", b"two"] {
        assert_eq!(signer.sign(message).expect("signed").len(), 256);
    }
    assert!(!format!("{signer:?}").contains(TOKEN_PIN));
    let loaded =
        identity::load_client(&own, &Secrets::default(), &mut Vec::new()).expect("the token is open");
    let asking = loaded.key.key.choose_scheme(&[rustls::SignatureScheme::RSA_PSS_SHA256]).expect("a scheme");
    let said = asking.sign(b"three").expect_err("no PIN").to_string();
    assert!(said.contains("wants its PIN"), "{said}");
    // The token is open, since another connection opened it: the PIN that a signature wants is still checked, once.
    secrets.put(SecretField::TokenPin, Some(Secret::new("not-the-pin")));
    let loaded = identity::load_client(&own, &secrets, &mut Vec::new()).expect("the token is open");
    let signer = loaded.key.key.choose_scheme(&[rustls::SignatureScheme::RSA_PSS_SHA256]).expect("a scheme");
    let said = signer.sign(b"three").expect_err("refused").to_string();
    assert!(said.contains("refuses the PIN for a signature"), "{said}");
    let again = format!("{:?}", signer.sign(b"four").expect_err("refused"));
    assert!(again.contains("not asked again"), "{again}");
    let url = format!("mqtts://localhost:{}", broker.mqtts);
    assert_eq!(code(&attempt(&url, with(), Some("not-the-pin")).await), "token_pin_wrong");
    assert_eq!(code(&attempt(&url, with(), Some(TOKEN_PIN)).await), "connected");
}

/// Identities without a certificate file: from the token where it shows the certificate, else the key alone; and a token
/// that is absent or does not answer holds nobody up.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a case of its own process"]
async fn inside_the_library() {
    let engine = Engine::open(&folder().join("data")).expect("opened");
    let slow = hanging_module();
    let cases = [
        ("with", key(CERTIFICATE_OF_ITS_OWN)),
        ("without", key("rsa")),
        ("hidden", TokenKey { token: "Other".into(), ..key("rsa") }),
        ("absent", TokenKey { token: "Nowhere".into(), ..key("rsa") }),
        ("slow", TokenKey { module: slow, ..key("rsa") }),
    ];
    let mut ids = std::collections::BTreeMap::new();
    for (name, key) in &cases {
        let draft = ProfileDraft {
            name: (*name).into(),
            endpoint: engine.parse_endpoint("mqtts://localhost", Scheme::Mqtts).expect("URL").endpoint,
            settings: settings(key, String::new()),
            ..engine.new_draft()
        };
        ids.insert(key.uri(), (*name, engine.save_profile(draft, None, Vec::new()).await.expect("saved").id));
    }
    for round in 0..2 {
        let began = Instant::now();
        let list = engine.certificate_library().await.expect("listed");
        assert!(began.elapsed() < token::PATIENCE, "round {round}: {:?}", began.elapsed());
        let identities: Vec<_> =
            list.iter().filter(|entry| entry.role == CertificateRole::Identity).collect();
        assert_eq!(identities.len(), cases.len());
        for entry in identities {
            let (name, id) = ids[&entry.key_file];
            assert_eq!((entry.file.as_str(), entry.used_by.as_slice()), ("", &[id][..]), "{name}");
            let identity = entry.identity.as_ref().expect("an identity");
            let names: Vec<_> =
                identity.chain.iter().filter_map(|info| info.common_name.as_deref()).collect();
            let codes: Vec<_> = entry.problems.iter().map(|problem| problem.code.as_str()).collect();
            let (chain, problems): (&[&str], &[&str]) = match name {
                "with" => (&[CERTIFICATE_OF_ITS_OWN], &[]),
                "without" | "hidden" => (&[], &[]),
                "absent" => (&[], &["token_not_found"]),
                _ => (&[], &["token_timeout"]),
            };
            assert_eq!((names.as_slice(), codes.as_slice()), (chain, problems), "{name}");
            assert_eq!(entry.not_after.is_some(), name == "with", "{name}");
        }
    }
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a case of its own process"]
async fn inside_everything_is_wrong_once() {
    let (_pki, broker, _old) = servers();
    let url = format!("mqtts://localhost:{}", broker.mqtts);
    let cert = || path("p256.pem");
    let text = path("text.so");
    std::fs::write(&text, "no library").expect("written");
    let libm =
        ["/lib/x86_64-linux-gnu/libm.so.6", "/usr/lib64/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6"];
    let libm = libm.into_iter().find(|path| Path::new(path).exists()).expect("libm");
    let good = key("p256");
    for (wrong, wanted) in [
        (TokenKey { module: "/no/such/module.so".into(), ..good.clone() }, "token_module_unusable"),
        (TokenKey { module: text, ..good.clone() }, "token_module_unusable"),
        (TokenKey { module: libm.into(), ..good.clone() }, "token_module_unusable"),
        (TokenKey { module: "libsofthsm2.so".into(), ..good.clone() }, "token_module_unusable"),
        // The library itself, and not by its whole path.
        (TokenKey { module: relative(SoftHsm::module()), ..good.clone() }, "token_module_unusable"),
        (TokenKey { token: "Nowhere".into(), ..good.clone() }, "token_not_found"),
        (TokenKey { token: String::new(), ..good.clone() }, "token_not_found"),
        (key("nobody"), "token_key_not_found"),
        (key("rsa"), "key_mismatch"),
    ] {
        assert_eq!(
            code(&attempt(&url, settings(&wrong, cert()), Some(TOKEN_PIN)).await),
            wanted,
            "{wrong:?}"
        );
    }
    let trace = attempt(&url, settings(&key("rsa"), path("no-such.pem")), Some(TOKEN_PIN)).await;
    assert_eq!(code(&trace), "file_not_found");

    // One try of a wrong PIN, and none of the same again. `Other` was not logged in to yet.
    let other = TokenKey { token: "Other".into(), ..good.clone() };
    assert_eq!(code(&attempt(&url, settings(&other, cert()), None).await), "token_pin_required");
    let wrong = || attempt(&url, settings(&other, cert()), Some("not-the-pin"));
    let first = wrong().await;
    assert_eq!(code(&first), "token_pin_wrong");
    let cause = |trace: &Trace| trace.verdict.as_ref().and_then(|v| v.failure.clone()).expect("failed").cause;
    assert!(
        cause(&first).contains("tried once") && cause(&first).contains("tries are limited"),
        "{}",
        cause(&first)
    );
    let second = wrong().await;
    assert_eq!(code(&second), "token_pin_wrong");
    assert!(cause(&second).contains("not asked again"), "{}", cause(&second));
    let trace = attempt(&url, settings(&other, cert()), Some(TOKEN_PIN)).await;
    assert_eq!(code(&trace), "token_key_not_found", "the right PIN is asked for again");

    // A module that hangs is waited for once, and holds nobody else up.
    let hanging = hanging_module();
    let slow = TokenKey { module: hanging, ..good.clone() };
    let began = Instant::now();
    let mut patient = settings(&slow, cert());
    patient.timing.connect_timeout_s = 30;
    let (hung, fine) = tokio::join!(attempt(&url, patient, Some(TOKEN_PIN)), async {
        let began = Instant::now();
        let trace = attempt(&url, settings(&good, cert()), Some(TOKEN_PIN)).await;
        (code(&trace), began.elapsed())
    });
    assert_eq!(code(&hung), "token_timeout");
    assert!(began.elapsed() < token::PATIENCE + Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(fine.0, "connected");
    assert!(fine.1 < token::PATIENCE, "{:?}", fine.1);
    let began = Instant::now();
    assert_eq!(code(&attempt(&url, settings(&slow, cert()), Some(TOKEN_PIN)).await), "token_timeout");
    assert!(began.elapsed() < token::PATIENCE, "known to hang: {:?}", began.elapsed());
    // One that is slower than the attempt is named as well.
    let mut hurried = settings(&TokenKey { module: hanging_module(), ..good }, cert());
    hurried.timing.connect_timeout_s = 1;
    assert_eq!(code(&attempt(&url, hurried, Some(TOKEN_PIN)).await), "token_timeout");
}

/// A path from here.
fn relative(path: &str) -> String {
    let up = std::env::current_dir().expect("here").components().count() - 1;
    let relative = "../".repeat(up) + path.trim_start_matches('/');
    assert!(Path::new(&relative).exists(), "{relative}");
    relative
}

/// A library that never answers.
fn hanging_module() -> String {
    let (source, library) = (path("hang.c"), path(&format!("hang-{}.so", uuid::Uuid::new_v4())));
    let code = "#include <unistd.h>\nunsigned long C_GetFunctionList(void **list) { for (;;) sleep(1); return 0; }\n";
    std::fs::write(&source, code).expect("written");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o", &library, &source]).status();
    assert!(built.expect("cc (package build-essential)").success());
    library
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a case of its own process"]
async fn inside_a_saved_connection() {
    let (_pki, broker, _old) = servers();
    let engine = Engine::open(&folder().join("data")).expect("opened");
    let base = engine.new_draft();
    let url = format!("wss://localhost:{}/mqtt", broker.wss);
    let endpoint = engine.parse_endpoint(&url, Scheme::Wss).expect("URL").endpoint;
    let draft = ProfileDraft {
        name: "a".into(),
        endpoint,
        settings: settings(&key("p384"), path("p384.pem")),
        ..base
    };
    // The editor looks at the certificate, and leaves the token alone.
    let typed = vec![SecretEdit::set(SecretField::TokenPin, "123".into())];
    let report = engine.check_draft(draft.clone(), typed).await.expect("checked");
    assert_eq!(report.problems, []);
    assert_eq!(report.identity.expect("an identity").chain.len(), 1);
    // Not even its library is called: one that hangs holds nobody up who types.
    let mut slow = draft.clone();
    slow.settings = settings(&TokenKey { module: hanging_module(), ..key("p384") }, path("p384.pem"));
    let began = Instant::now();
    let typed = vec![SecretEdit::set(SecretField::TokenPin, "1234".into())];
    assert_eq!(engine.check_draft(slow, typed).await.expect("checked").problems, []);
    assert!(began.elapsed() < token::PATIENCE / 2, "{:?}", began.elapsed());
    let id = engine.save_profile(draft, None, Vec::new()).await.expect("saved").id;
    let asked = engine.connect(id).await.expect_err("no PIN yet");
    assert_eq!(asked.code, ErrorCode::SecretNeeded);
    assert_eq!(asked.details["fields"], serde_json::json!([{ "kind": "token_pin" }]));
    let pin = vec![SecretEdit::set(SecretField::TokenPin, TOKEN_PIN.into())];
    engine.set_secrets(id, pin).await.expect("set");
    engine.connect(id).await.expect("begun");
    let phase = 'connected: loop {
        for event in tokio::time::timeout(Duration::from_secs(60), engine.events()).await.expect("in time") {
            let EngineEvent::Connection(status) = event else { continue };
            if matches!(status.phase, Phase::Connected { .. } | Phase::Failed { .. }) {
                break 'connected status.phase;
            }
        }
    };
    assert!(matches!(phase, Phase::Connected { .. }), "{phase:?}");
    let trace = engine.traces(id).await.expect("traces").remove(0);
    assert_eq!(trace.verdict.expect("verdict").outcome, VerdictOutcome::Connected);
    engine.close().await;
}
