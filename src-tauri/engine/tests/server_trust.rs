//! Whose server certificates are accepted, against a real server: revocation lists from files, pins of a key and of
//! a certificate, what a broken pin says, and a name mismatch that is all that is let through.

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use brokers::{Identity, Mosquitto, MosquittoOptions, Pki, revocation_list};
use heliograph_engine::endpoint::{Endpoint, Scheme};
use heliograph_engine::failure::{Failure, FailureCode, FixAction};
use heliograph_engine::profile::{Profile, ProfileId, Settings, Trust, TrustMode};
use heliograph_engine::secret::Secrets;
use heliograph_engine::session::{self, SessionConfig};
use heliograph_engine::trace::{StageDetail, Trace};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber,
};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: PathBuf,
}

impl Authority {
    fn make(dir: &Path, name: &str) -> Self {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).expect("CA").pem();
        let path = dir.join(format!("{name}.pem"));
        std::fs::write(&path, pem).expect("written");
        Self { issuer: Issuer::new(params, key), pem: path }
    }

    fn server(&self, dir: &Path, file: &str, name: &str, host: &str, serial: u64, key: &KeyPair) -> Identity {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(key, &self.issuer).expect("certificate");
        let files = Identity { cert: dir.join(format!("{file}.pem")), key: dir.join(format!("{file}.key")) };
        std::fs::write(&files.cert, cert.pem()).expect("written");
        std::fs::write(&files.key, key.serialize_pem()).expect("written");
        files
    }

    fn revocation_list(&self, dir: &Path, serials: &[u64]) -> [PathBuf; 2] {
        let list = revocation_list(&self.issuer, serials, 2049);
        let name = format!("crl-{}", serials.len());
        let [pem, der] = ["pem", "der"].map(|end| dir.join(format!("{name}.{end}")));
        std::fs::write(&pem, list.pem().expect("PEM")).expect("written");
        std::fs::write(&der, list.der()).expect("written");
        [pem, der]
    }
}

async fn attempt(url: &str, trust: Trust) -> Trace {
    let endpoint = Endpoint::parse_url(url, Scheme::Mqtt).expect("url").endpoint;
    let settings = Settings { trust, ..Settings::default() };
    let profile = Profile { id: ProfileId::random(), name: String::new(), endpoint, settings };
    session::test(
        SessionConfig { profile, secrets: Secrets::default(), keep_trying: false },
        Arc::new(|_| {}),
    )
    .await
}

fn failure(trace: &Trace) -> Option<Failure> {
    trace.verdict.as_ref().and_then(|verdict| verdict.failure.clone())
}

/// How many revocation lists the trace says were read.
fn lists_read(trace: &Trace) -> usize {
    let files = trace.stages.iter().find_map(|stage| match &stage.detail {
        StageDetail::Identity(identity) => Some(&identity.files),
        _ => None,
    });
    files.expect("files").iter().map(|file| file.revocation_lists).sum()
}

fn start(pki: &Pki, server: &Identity) -> Mosquitto {
    Mosquitto::start(pki, &MosquittoOptions { server: Some(server.clone()), ..MosquittoOptions::default() })
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[tokio::test]
async fn a_revoked_server_is_refused_and_others_are_not() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = Pki::make(dir.path());
    let ca = Authority::make(dir.path(), "authority");
    let key = KeyPair::generate().expect("key");
    let broker = start(&pki, &ca.server(dir.path(), "server", "server", "localhost", 7, &key));
    let urls =
        [format!("mqtts://localhost:{}", broker.mqtts), format!("wss://localhost:{}/mqtt", broker.wss)];
    for mode in [TrustMode::CaOnly, TrustMode::SystemAndCa] {
        let trust = |lists: &[PathBuf]| Trust {
            mode,
            ca_files: vec![path(&ca.pem)],
            crl_files: lists.iter().map(|list| path(list)).collect(),
            ..Trust::default()
        };
        for url in &urls {
            assert_eq!(failure(&attempt(url, trust(&[])).await), None);
            for list in ca.revocation_list(dir.path(), &[6, 8]) {
                let trace = attempt(url, trust(&[list])).await;
                assert_eq!(failure(&trace), None, "{mode:?}");
                assert_eq!(lists_read(&trace), 1, "{mode:?}");
            }
            let [others, _] = ca.revocation_list(dir.path(), &[6, 8]);
            for list in ca.revocation_list(dir.path(), &[6, 7, 8]) {
                // One list takes it back, whatever stands in another of the same issuer's.
                for lists in [[others.clone(), list.clone()], [list.clone(), others.clone()]] {
                    let failure = failure(&attempt(url, trust(&lists)).await).expect("refused");
                    assert_eq!(failure.code, FailureCode::ServerCertRevoked, "{mode:?} {lists:?}");
                }
                let failure = failure(&attempt(url, trust(&[list])).await).expect("refused");
                assert_eq!(failure.code, FailureCode::ServerCertRevoked, "{mode:?}");
            }
        }
        let failure =
            failure(&attempt(&urls[0], trust(std::slice::from_ref(&ca.pem))).await).expect("no list");
        assert_eq!(failure.code, FailureCode::NotACrl, "{mode:?}");
    }
}

#[tokio::test]
async fn a_pin_of_the_key_outlives_a_renewal_and_a_broken_pin_says_what_differs() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = Pki::make(dir.path());
    let [ca, other] = ["authority", "other"].map(|name| Authority::make(dir.path(), name));
    let [key, new_key] = [(); 2].map(|()| KeyPair::generate().expect("key"));
    let broker = start(&pki, &ca.server(dir.path(), "first", "server", "localhost", 1, &key));
    let url = |broker: &Mosquitto| format!("mqtts://localhost:{}", broker.mqtts);

    // Nothing is trusted yet; the fix that is offered pins the key.
    let refused = failure(&attempt(&url(&broker), Trust::default()).await).expect("unknown authority");
    let pin = refused.fixes.iter().find_map(|fix| match &fix.action {
        FixAction::AddTrust { pinned_sha256: Some(pin), pinned_certificate: Some(der), .. } => {
            Some((pin.clone(), der.clone()))
        }
        _ => None,
    });
    let (pinned_sha256, pinned_certificate) = pin.expect("a fix that pins");
    let by_key = Trust { mode: TrustMode::Pinned, pinned_sha256, pinned_certificate, ..Trust::default() };
    let trace = attempt(&url(&broker), by_key.clone()).await;
    assert_eq!(failure(&trace), None);
    let leaf = trace.stages.iter().find_map(|stage| match &stage.detail {
        StageDetail::Tls(tls) => tls.server_chain.first().cloned(),
        _ => None,
    });
    let leaf = leaf.expect("the presented certificate");
    assert_eq!(leaf.spki_sha256, by_key.pinned_sha256);
    let by_certificate = Trust { pinned_sha256: leaf.sha256, ..by_key.clone() };
    assert_eq!(failure(&attempt(&url(&broker), by_certificate.clone()).await), None);

    for (issuer, name, key, pin, words) in [
        (&ca, "server", &key, &by_certificate, "renewal with the same key"),
        (&ca, "server", &new_key, &by_key, "renewal with a new key"),
        (&other, "server", &new_key, &by_key, "changed its authority"),
        (&other, "intruder", &new_key, &by_key, "another server"),
    ] {
        let broker = start(&pki, &issuer.server(dir.path(), "next", name, "localhost", 2, key));
        let broken = failure(&attempt(&url(&broker), pin.clone()).await).expect("another certificate");
        assert_eq!(broken.code, FailureCode::ServerCertPinMismatch);
        assert!(broken.cause.contains(words), "{words}: {}", broken.cause);
        let serial = |name: &str| broken.evidence.get(name).and_then(|c| c.get("serial")).cloned();
        assert_eq!((serial("pinned"), serial("presented")), (Some("01".into()), Some("02".into())));
    }
    let renewed = start(&pki, &ca.server(dir.path(), "renewed", "server", "localhost", 3, &key));
    assert_eq!(failure(&attempt(&url(&renewed), by_key).await), None, "the same key");
}

#[tokio::test]
async fn accepting_a_name_mismatch_accepts_nothing_else() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = Pki::make(dir.path());
    let trust = |ca: &Path, verify_host_name| Trust {
        mode: TrustMode::CaOnly,
        ca_files: vec![path(ca)],
        verify_host_name,
        ..Trust::default()
    };
    for (server, ca, strict, lenient) in [
        (&pki.other_name_server, &pki.ca, Some(FailureCode::ServerCertNameMismatch), None),
        (&pki.server, &pki.ca, None, None),
        (
            &pki.expired_server,
            &pki.ca,
            Some(FailureCode::ServerCertExpired),
            Some(FailureCode::ServerCertExpired),
        ),
        (
            &pki.foreign_server,
            &pki.ca,
            Some(FailureCode::ServerCertUnknownIssuer),
            Some(FailureCode::ServerCertUnknownIssuer),
        ),
    ] {
        let broker = start(&pki, server);
        let url = format!("wss://localhost:{}/mqtt", broker.wss);
        for (verify, wanted) in [(true, strict), (false, lenient)] {
            let code = failure(&attempt(&url, trust(ca, verify)).await).map(|failure| failure.code);
            assert_eq!(code, wanted, "{} {verify}", server.cert.display());
        }
    }
}
