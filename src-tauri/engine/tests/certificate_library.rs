//! The certificate library: what connections use is listed with its users and problems, files are replaced in all of
//! them at once, certificates come as text, and private keys are never copied.

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;

use std::path::Path;

use brokers::Pki;
use heliograph_engine::Engine;
use heliograph_engine::endpoint::EndpointParts;
use heliograph_engine::engine::{CertificateReplacement, CertificateRole, LibraryCertificate};
use heliograph_engine::error::ErrorCode;
use heliograph_engine::profile::{ClientCertificate, ProfileId, TrustMode};

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A saved connection that names these files.
async fn save(engine: &Engine, name: &str, cert: &Path, key: &Path, ca: &Path) -> ProfileId {
    let mut draft = engine.new_draft();
    draft.name = name.into();
    draft.endpoint = EndpointParts { tls: true, host: "localhost".into(), ..EndpointParts::default() };
    draft.settings.client_certificate = ClientCertificate {
        enabled: true,
        cert_file: text(cert),
        key_file: text(key),
        ..ClientCertificate::default()
    };
    draft.settings.trust.mode = TrustMode::CaOnly;
    draft.settings.trust.ca_files = vec![text(ca)];
    engine.save_profile(draft, None, Vec::new()).await.expect("saved").id
}

fn entry<'l>(list: &'l [LibraryCertificate], file: &Path) -> &'l LibraryCertificate {
    list.iter().find(|entry| entry.file == text(file)).expect("listed")
}

#[tokio::test]
async fn lists_replaces_takes_and_forgets() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = Pki::make(dir.path());
    let engine = Engine::open(&dir.path().join("data")).expect("opened");
    assert_eq!(engine.certificate_library().await.expect("empty"), []);
    let good = save(&engine, "a", &pki.client.cert, &pki.client.key, &pki.ca).await;
    let same = save(&engine, "b", &pki.client.cert, &pki.client.key, &pki.ca).await;
    let old = save(&engine, "c", &pki.expired_client.cert, &pki.expired_client.key, &pki.ca).await;

    let list = engine.certificate_library().await.expect("listed");
    let roles: Vec<_> = list.iter().map(|entry| entry.role).collect();
    assert_eq!(roles, [CertificateRole::Identity, CertificateRole::Identity, CertificateRole::Authority]);
    let client = entry(&list, &pki.client.cert);
    let mut users = client.used_by.clone();
    users.sort();
    let mut wanted = vec![good, same];
    wanted.sort();
    assert_eq!(users, wanted);
    assert_eq!((client.problems.len(), client.added, client.copy), (0, false, false));
    assert_eq!(client.identity.as_ref().and_then(|identity| identity.key_matches), Some(true));
    let expired = entry(&list, &pki.expired_client.cert);
    assert_eq!(
        (expired.used_by.as_slice(), expired.problems[0].code.as_str()),
        (&[old][..], "certificate_expired")
    );
    assert_eq!(expired.not_after, Some(1_609_459_200_000_000));
    assert_eq!(entry(&list, &pki.ca).used_by.len(), 3);

    let change = CertificateReplacement {
        role: CertificateRole::Identity,
        file: text(&pki.client.cert),
        key_file: text(&pki.client.key),
        new_file: text(&pki.foreign_client.cert),
        new_key_file: text(&pki.foreign_client.key),
    };
    let mut changed = engine.replace_certificate(&change).expect("replaced");
    changed.sort();
    assert_eq!(changed, wanted);
    let used = engine.profile(same).expect("profile").settings.client_certificate;
    assert_eq!((used.cert_file, used.key_file), (change.new_file.clone(), change.new_key_file.clone()));
    let kept = engine.profile(old).expect("profile").settings.client_certificate.cert_file;
    assert_eq!(kept, text(&pki.expired_client.cert), "another certificate stays");

    let add = |path: &Path| engine.add_certificate_files(vec![text(path)]);
    let nothing = dir.path().join("nothing.txt");
    std::fs::write(&nothing, "nothing").expect("written");
    assert_eq!(add(&nothing).await.expect_err("nothing in it").code, ErrorCode::InvalidInput);
    add(&pki.foreign_ca).await.expect("added");
    let list = engine.certificate_library().await.expect("listed");
    let added = entry(&list, &pki.foreign_ca);
    assert_eq!((added.role, added.added, added.used_by.len()), (CertificateRole::Authority, true, 0));
    engine.forget_certificate(&added.file).await.expect("forgotten");
    assert!(pki.foreign_ca.exists(), "a file of the person's is left alone");
    assert_eq!(engine.certificate_library().await.expect("listed").len(), list.len() - 1);

    let pem = std::fs::read_to_string(&pki.foreign_ca).expect("text");
    let key = std::fs::read_to_string(&pki.client.key).expect("text");
    for refused in [format!("{pem}{key}"), key, "hello".into()] {
        let error = engine.add_certificate_text(refused).await.expect_err("no certificate alone");
        assert_eq!(error.code, ErrorCode::InvalidInput);
    }
    let copy = engine.add_certificate_text(format!("  {pem}\n")).await.expect("taken");
    let list = engine.certificate_library().await.expect("listed");
    let listed = entry(&list, Path::new(&copy));
    assert!(listed.copy && listed.added && listed.report.error.is_none());
    let again = engine.keep_certificate(&listed.report.certificates[0].der_base64).await.expect("kept");
    assert_eq!(again, copy, "the same certificate is the same file");
    engine.forget_certificate(&copy).await.expect("forgotten");
    assert!(!Path::new(&copy).exists(), "a copy of ours goes");
    engine.close().await;
}
