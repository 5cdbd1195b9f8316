//! Encrypted keys and PKCS#12 bundles against a server that demands a client certificate, over both TLS
//! transports: they connect with their passphrase, and without it the failure says so before anything is dialled.

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use brokers::{Mosquitto, MosquittoOptions, Pki};
use heliograph_engine::endpoint::{Endpoint, Scheme};
use heliograph_engine::failure::FailureCode;
use heliograph_engine::profile::{ClientCertificate, Profile, ProfileId, Settings, TrustMode};
use heliograph_engine::secret::{Secret, SecretField, Secrets};
use heliograph_engine::session::{self, SessionConfig};
use heliograph_engine::trace::{Outcome, Stage, StageDetail, Trace};

const RIGHT: &str = "canary passphrase";

fn openssl(dir: &Path, words: &str) {
    let made = Command::new("openssl")
        .args(words.split(' '))
        .args(["-passout", &format!("pass:{RIGHT}")])
        .current_dir(dir)
        .status()
        .expect("openssl runs");
    assert!(made.success(), "openssl {words}");
}

async fn attempt(url: &str, pki: &Pki, cert: &str, key: &str, passphrase: Option<&str>) -> Trace {
    let mut settings = Settings::default();
    settings.trust.mode = TrustMode::CaOnly;
    settings.trust.ca_files = vec![pki.ca.to_string_lossy().into_owned()];
    settings.client_certificate = ClientCertificate {
        enabled: true,
        cert_file: cert.to_owned(),
        key_file: key.to_owned(),
        ..ClientCertificate::default()
    };
    let mut secrets = Secrets::default();
    secrets.put(SecretField::KeyPassphrase, passphrase.map(Secret::new));
    let endpoint = Endpoint::parse_url(url, Scheme::Mqtt).expect("url").endpoint;
    let profile = Profile { id: ProfileId::random(), name: String::new(), endpoint, settings };
    session::test(SessionConfig { profile, secrets, keep_trying: false }, Arc::new(|_| {})).await
}

#[tokio::test]
async fn connect_with_their_passphrase_over_mqtts_and_wss() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = Pki::make(dir.path());
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    openssl(dir.path(), "pkcs12 -export -in client.pem -inkey client.key -out modern.p12");
    openssl(dir.path(), "pkcs12 -export -legacy -in client.pem -inkey client.key -out legacy.p12");
    openssl(dir.path(), "pkcs8 -topk8 -scrypt -in client.key -out scrypt.key");
    openssl(dir.path(), "pkey -traditional -aes-256-cbc -in client.key -out traditional.key");
    let options = MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() };
    let server = Mosquitto::start(&pki, &options);
    let urls =
        [format!("mqtts://localhost:{}", server.mqtts), format!("wss://localhost:{}/mqtt", server.wss)];
    for (cert, key) in [
        (path("modern.p12"), String::new()),
        (path("legacy.p12"), String::new()),
        (path("client.pem"), path("scrypt.key")),
        (path("client.pem"), path("traditional.key")),
    ] {
        for url in &urls {
            let trace = attempt(url, &pki, &cert, &key, Some(RIGHT)).await;
            assert_eq!(trace.verdict.as_ref().and_then(|v| v.failure.as_ref()), None, "{url} {cert} {key}");
            let sent = trace.stages.iter().find_map(|stage| match &stage.detail {
                StageDetail::Tls(tls) => tls.client_cert_sent.as_ref().map(|sent| sent.subject.clone()),
                _ => None,
            });
            assert_eq!(sent.as_deref(), Some("CN=planta-client"), "{url} {cert}");
            for (passphrase, code) in
                [(None, FailureCode::PassphraseRequired), (Some("mistaken"), FailureCode::PassphraseWrong)]
            {
                let trace = attempt(url, &pki, &cert, &key, passphrase).await;
                let failure = trace.verdict.as_ref().and_then(|v| v.failure.clone()).expect("refused");
                assert_eq!((failure.code, failure.stage), (code, Stage::Identity), "{url} {cert} {key}");
                let dialled = trace.stages.iter().find(|stage| stage.outcome == Outcome::Ok);
                assert!(dialled.is_none(), "nothing is dialled: {dialled:?}");
                let text = serde_json::to_string(&trace).expect("JSON");
                assert!(!text.contains("canary") && !text.contains("mistaken"), "{text}");
            }
        }
    }
}
