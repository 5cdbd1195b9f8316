//! Identities in the vault: imported, used although their files are gone, replaced for every connection at once,
//! exported and deleted; and no key in any file but the vault. The local broker's password is kept there as well.

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;

use std::path::Path;
use std::process::Command;

use brokers::{Mosquitto, MosquittoOptions, Pki};
use heliograph_engine::Engine;
use heliograph_engine::broker::{BrokerOptions, BrokerPorts};
use heliograph_engine::endpoint::Scheme;
use heliograph_engine::engine::{CertificateReplacement, CertificateRole, LibraryCertificate};
use heliograph_engine::error::{Error, ErrorCode};
use heliograph_engine::import::RemarkCode;
use heliograph_engine::profile::{ClientCertificate, Profile, ProfileDraft, TrustMode};
use heliograph_engine::secret::{Secret, SecretEdit, SecretField};
use heliograph_engine::trace::{StageDetail, Trace};
use heliograph_engine::vault::{Keep, Keyring, SecretPlace};

const VAULT: &str = "a vault passphrase";

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn files(cert: &Path, key: &Path) -> ClientCertificate {
    ClientCertificate {
        enabled: true,
        cert_file: text(cert),
        key_file: text(key),
        ..ClientCertificate::default()
    }
}

fn passphrase(of: &str) -> Vec<SecretEdit> {
    vec![SecretEdit::set(SecretField::KeyPassphrase, of.into())]
}

fn open(folder: &Path) -> Engine {
    Engine::open_with(folder, Keyring::none()).expect("opened")
}

/// An engine whose secrets are in a vault with a passphrase.
async fn with_vault(folder: &Path) -> Engine {
    let engine = open(folder);
    engine.choose_vault(Keep::Passphrase, Some(Secret::new(VAULT))).await.expect("a vault");
    engine
}

fn openssl(dir: &Path, arguments: &str) {
    let output =
        Command::new("openssl").current_dir(dir).args(arguments.split(' ')).output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn draft(
    engine: &Engine,
    name: &str,
    url: &str,
    ca: &Path,
    certificate: ClientCertificate,
) -> ProfileDraft {
    let mut draft = engine.new_draft();
    draft.name = name.into();
    draft.endpoint = engine.parse_endpoint(url, Scheme::Wss).expect("URL").endpoint;
    draft.settings.client_certificate = certificate;
    draft.settings.trust.mode = TrustMode::CaOnly;
    draft.settings.trust.ca_files = vec![text(ca)];
    draft
}

async fn attempt(engine: &Engine, profile: &Profile) -> Result<Trace, Error> {
    let Profile { id, name, endpoint, settings } = profile.clone();
    let draft = ProfileDraft { id, name, endpoint: endpoint.into(), settings };
    engine.test_connection(draft, Vec::new()).await
}

/// The common name that was sent, or the code of the failure.
fn outcome(trace: &Trace) -> String {
    if let Some(failure) = &trace.verdict.as_ref().expect("a verdict").failure {
        return serde_json::to_value(failure.code).expect("json").as_str().expect("text").to_owned();
    }
    let sent = trace.stages.iter().find_map(|stage| match &stage.detail {
        StageDetail::Tls(tls) => tls.client_cert_sent.clone(),
        _ => None,
    });
    sent.and_then(|sent| sent.common_name).unwrap_or_default()
}

fn code(error: &Error) -> Option<&str> {
    error.details.get("failure").and_then(|code| code.as_str())
}

async fn identities(engine: &Engine) -> Vec<LibraryCertificate> {
    let list = engine.certificate_library().await.expect("listed");
    list.into_iter().filter(|entry| entry.role == CertificateRole::Identity).collect()
}

fn contains(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).expect("listed").any(|entry| {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            contains(&path, bytes)
        } else {
            read(&path).windows(bytes.len()).any(|part| part == bytes)
        }
    })
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("read")
}

/// A file that is referred to, not imported, is read anew for every connection: one that was renewed, under the same
/// name, is sent at the next one and listed with its new end; a renewal that is half done is named before anything is dialled.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_renewed_is_used_at_the_next_connect() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = Pki::make(dir.path());
    let options = MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() };
    let broker = Mosquitto::start(&pki, &options);
    let engine = open(&dir.path().join("data"));
    let own = files(&dir.path().join("own.pem"), &dir.path().join("own.key"));
    let put = |name: &str, ends: &[&str]| {
        for end in ends {
            std::fs::copy(dir.path().join(format!("{name}.{end}")), dir.path().join(format!("own.{end}")))
                .expect("copied");
        }
    };
    for name in ["first", "second"] {
        pki.issue_client(dir.path(), name, &rcgen::KeyPair::generate().expect("key"));
    }
    put("first", &["pem", "key"]);
    for url in [format!("mqtts://localhost:{}", broker.mqtts), format!("wss://localhost:{}/mqtt", broker.wss)]
    {
        put("first", &["pem", "key"]);
        let draft = draft(&engine, &url, &url, &pki.ca, own.clone()).await;
        let profile = engine.save_profile(draft.clone(), None, Vec::new()).await.expect("saved");
        assert_eq!(outcome(&attempt(&engine, &profile).await.expect("tried")), "first", "{url}");

        put("second", &["pem"]);
        let report = engine.check_draft(draft, Vec::new()).await.expect("checked");
        assert_eq!(report.identity.as_ref().and_then(|identity| identity.key_matches), Some(false));
        assert_eq!(outcome(&attempt(&engine, &profile).await.expect("tried")), "key_mismatch", "{url}");

        put("second", &["key"]);
        assert_eq!(outcome(&attempt(&engine, &profile).await.expect("tried")), "second", "{url}");
        let listed = identities(&engine).await;
        let name = listed[0].report.certificates[0].common_name.as_deref();
        assert_eq!((name, listed[0].copy), (Some("second"), false));
    }
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_identity_outlives_its_files() {
    let dir = tempfile::tempdir().expect("directory");
    let (pki, data) = (Pki::make(dir.path()), dir.path().join("data"));
    let options = MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() };
    let broker = Mosquitto::start(&pki, &options);
    let url = format!("wss://localhost:{}/mqtt", broker.wss);
    let rsa =
        rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).expect("key");
    pki.issue_client(dir.path(), "rsa", &rsa);
    openssl(
        dir.path(),
        "pkcs12 -export -in rsa.pem -inkey rsa.key -certfile ca.pem -out rsa.p12 -passout pass:sesame",
    );
    openssl(dir.path(), "pkey -in rsa.key -traditional -out pkcs1.key");
    openssl(dir.path(), "rsa -in pkcs1.key -aes256 -traditional -passout pass:sesame -out locked.key");
    openssl(dir.path(), "pkey -in client.key -traditional -out sec1.key");
    let der = {
        openssl(dir.path(), "pkcs8 -topk8 -nocrypt -in rsa.key -outform DER -out rsa.der");
        read(&dir.path().join("rsa.der"))
    };
    let engine = with_vault(&data).await;

    // A passphrase is asked for, tried, and not kept: what is kept opens without one.
    let bundle = || ClientCertificate {
        enabled: true,
        cert_file: text(&dir.path().join("rsa.p12")),
        key_file: String::new(),
        ..ClientCertificate::default()
    };
    let missing = engine.import_identity(bundle(), None, Vec::new()).await.expect_err("closed");
    assert_eq!(code(&missing), Some("passphrase_required"));
    let wrong = engine.import_identity(bundle(), None, passphrase("wrong")).await.expect_err("wrong");
    assert_eq!(code(&wrong), Some("passphrase_wrong"));
    let imported = engine.import_identity(bundle(), None, passphrase("sesame")).await.expect("imported");
    assert!(imported.key_file.starts_with("vault:"), "{imported:?}");
    // The same key is the same entry, however it was written down.
    for key in ["pkcs1.key", "locked.key"] {
        let from = files(&dir.path().join("rsa.pem"), &dir.path().join(key));
        let again = engine.import_identity(from, None, passphrase("sesame")).await.expect("imported");
        assert_eq!(again.key_file, imported.key_file, "{key}");
    }
    let sec1 = files(&pki.client.cert, &dir.path().join("sec1.key"));
    let second = engine.import_identity(sec1, None, Vec::new()).await.expect("imported");
    assert_ne!(second.key_file, imported.key_file);

    let mut saved = Vec::new();
    for name in ["a", "b"] {
        let draft = draft(&engine, name, &url, &pki.ca, imported.clone()).await;
        let report = engine.check_draft(draft.clone(), Vec::new()).await.expect("checked");
        assert_eq!(report.problems, []);
        assert_eq!(report.identity.as_ref().and_then(|identity| identity.key_matches), Some(true));
        saved.push(engine.save_profile(draft, None, Vec::new()).await.expect("saved"));
    }
    for file in ["rsa.p12", "rsa.key", "pkcs1.key", "locked.key", "sec1.key", "client.key"] {
        std::fs::remove_file(dir.path().join(file)).expect("removed");
    }
    for profile in &saved {
        assert_eq!(outcome(&attempt(&engine, profile).await.expect("tried")), "rsa");
    }
    engine.close().await;
    drop(engine);

    // Another run: the vault is locked, which is said; once open, nobody is asked again.
    let engine = open(&data);
    let locked = attempt(&engine, &saved[0]).await.expect_err("locked");
    assert_eq!(locked.code, ErrorCode::VaultLocked);
    assert_eq!(locked.details["fields"], serde_json::json!([{ "kind": "private_key" }]));
    assert_eq!(engine.connect(saved[0].id).await.expect_err("locked").code, ErrorCode::VaultLocked);
    let report = engine
        .check_draft(draft(&engine, "c", &url, &pki.ca, imported.clone()).await, Vec::new())
        .await
        .expect("checked");
    assert_eq!(report.problems, [], "what is locked is not missing");
    engine.unlock_vault(Secret::new(VAULT)).await.expect("unlocked");
    assert_eq!(outcome(&attempt(&engine, &saved[0]).await.expect("tried")), "rsa");

    // The library lists both, and replaces one by the other in every connection.
    let list = identities(&engine).await;
    let used = list.iter().find(|entry| entry.key_file == imported.key_file && !entry.used_by.is_empty());
    assert_eq!(used.expect("listed").used_by.len(), 2);
    let unused = list.iter().find(|entry| entry.key_file == second.key_file).expect("listed");
    assert!(unused.copy && unused.used_by.is_empty() && unused.problems.is_empty(), "{unused:?}");
    let change = CertificateReplacement {
        role: CertificateRole::Identity,
        file: imported.cert_file.clone(),
        key_file: imported.key_file.clone(),
        new_file: second.cert_file.clone(),
        new_key_file: second.key_file.clone(),
    };
    assert_eq!(engine.replace_certificate(&change).expect("replaced").len(), 2);
    let changed = engine.profile(saved[1].id).expect("profile");
    assert_eq!(outcome(&attempt(&engine, &changed).await.expect("tried")), "planta-client");

    // Export: a bundle that openssl opens with the new passphrase alone, of mode 0600.
    let target = dir.path().join("out.p12");
    let export = |passphrase: &'static str| {
        engine.export_identity(imported.clone(), text(&target), Secret::new(passphrase))
    };
    assert_eq!(export("").await.expect_err("a passphrase is needed").code, ErrorCode::InvalidInput);
    export("another").await.expect("exported");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&target).expect("written").permissions().mode() & 0o777, 0o600);
    }
    openssl(dir.path(), "pkcs12 -in out.p12 -passin pass:another -nodes -nocerts -out back.pem");
    openssl(dir.path(), "pkcs8 -topk8 -nocrypt -in back.pem -outform DER -out back.der");
    assert_eq!(read(&dir.path().join("back.der")), der, "the key comes back as it was");

    // Deleting: not while it is used, and then for good.
    assert!(engine.forget_certificate(&second.cert_file).await.is_err(), "two connections use it");
    let stored = engine.vault_status().await.expect("status").stored;
    for entry in identities(&engine).await.iter().filter(|entry| entry.key_file == imported.key_file) {
        engine.forget_certificate(&entry.file).await.expect("deleted");
    }
    assert_eq!(engine.vault_status().await.expect("status").stored, stored - 1);
    assert_eq!(
        export("another").await.map_err(|error| code(&error).map(str::to_owned)),
        Err(Some("file_not_found".into()))
    );
    assert_eq!(outcome(&attempt(&engine, &saved[0]).await.expect("tried")), "file_not_found");
    let orphan = ClientCertificate { cert_file: text(&pki.client.cert), ..imported };
    let orphan = engine
        .save_profile(draft(&engine, "d", &url, &pki.ca, orphan).await, None, Vec::new())
        .await
        .expect("saved");
    assert_eq!(outcome(&attempt(&engine, &orphan).await.expect("tried")), "private_key_missing");

    // Leaving the vault would lose what nobody can type again.
    let refused = engine.choose_vault(Keep::Session, None).await.expect_err("keys are in it");
    assert_eq!(refused.details["field"], "keep");
    engine.close().await;
    // The key is 1.2 KiB; a part from its middle would be found wherever it lay in the clear.
    assert!(!contains(&data, &der[200..232]), "a private key lies in the data folder");
}

/// A connection whose key is in the vault and whose certificate and CA have no file but ours, on another computer: only
/// the sealed export goes there.
#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_export_takes_the_key_along_and_connects_elsewhere() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = Pki::make(dir.path());
    let options = MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() };
    let broker = Mosquitto::start(&pki, &options);
    let url = format!("wss://localhost:{}/mqtt", broker.wss);
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    let engine = with_vault(&here).await;
    let ca =
        engine.add_certificate_text(std::fs::read_to_string(&pki.ca).expect("PEM")).await.expect("taken");
    let imported = engine
        .import_identity(files(&pki.client.cert, &pki.client.key), None, Vec::new())
        .await
        .expect("imported");
    let draft = draft(&engine, "a", &url, Path::new(&ca), imported.clone()).await;
    let saved = engine.save_profile(draft, None, Vec::new()).await.expect("saved");
    let (sealed, plain) = (text(&dir.path().join("sealed.json")), text(&dir.path().join("plain.json")));
    let left = engine.export_connections(plain.clone(), None, None).await.expect("exported");
    assert_eq!((left.secrets, left.without_key), (0, vec!["a".to_owned()]));
    let passphrase = || Some(Secret::new("battery staple"));
    let taken = engine.export_connections(sealed.clone(), None, passphrase()).await.expect("exported");
    assert_eq!((taken.secrets, taken.without_key.len()), (1, 0));
    let der = identity_der(&pki.client.key);
    engine.close().await;
    drop(engine);
    std::fs::remove_dir_all(&here).expect("removed");
    for file in [&pki.client.key, &pki.client.cert] {
        std::fs::remove_file(file).expect("removed");
    }

    let engine = with_vault(&there).await;
    let preview = |path: &str, passphrase| {
        let input = serde_json::json!({ "from": "file", "path": path });
        engine.preview_import(serde_json::from_value(input).expect("input"), passphrase)
    };
    let row = preview(&plain, None).await.expect("read").rows.remove(0);
    let codes: Vec<_> = row.remarks.iter().map(|remark| remark.code).collect();
    assert!(codes.contains(&RemarkCode::KeyLeft), "{row:?}");
    let plan = preview(&sealed, passphrase()).await.expect("read");
    assert_eq!(plan.rows[0].remarks, []);
    let done = engine.apply_import(plan.plan, vec![0]).await.expect("applied");
    assert_eq!((done.secrets, done.secrets_error.is_none()), (1, true));
    let came = engine.profile(saved.id).expect("there");
    assert_eq!(came.settings.client_certificate.key_file, imported.key_file);
    assert_eq!(outcome(&attempt(&engine, &came).await.expect("tried")), "planta-client");
    // It is listed as one that was imported here, stays when its connection goes, and can be deleted then.
    let listed = identities(&engine).await;
    assert!(listed.len() == 1 && listed[0].copy && listed[0].added, "{listed:?}");
    engine.delete_profile(saved.id).await.expect("deleted");
    let left = identities(&engine).await.remove(0);
    assert_eq!((left.key_file.as_str(), left.used_by.len()), (imported.key_file.as_str(), 0));
    engine.forget_certificate(&left.file).await.expect("deleted");
    assert_eq!(engine.vault_status().await.expect("status").stored, 0);
    engine.close().await;
    assert!(!contains(&there, &der[der.len() - 40..der.len() - 8]), "a private key lies in the data folder");
}

/// A key that came encrypted is kept so: its passphrase is asked for, opens it, and it can be deleted when nothing names
/// it any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_came_encrypted_wants_its_passphrase_and_connects() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = Pki::make(dir.path());
    let options = MosquittoOptions { require_certificate: true, ..MosquittoOptions::default() };
    let broker = Mosquitto::start(&pki, &options);
    openssl(dir.path(), "pkey -in client.key -aes256 -passout pass:sesame -out locked.key");
    let base64 = |path: &Path| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, read(path));
    let explorer = serde_json::json!({ "ConnectionManager_connections": { "a": {
        "type": "mqtt", "name": "a", "host": "localhost", "port": broker.wss, "protocol": "ws", "basePath": "mqtt",
        "encryption": true, "certValidation": true, "configVersion": 1, "subscriptions": [],
        "selfSignedCertificate": { "name": "ca", "data": base64(&pki.ca) },
        "clientCertificate": { "name": "c", "data": base64(&pki.client.cert) },
        "clientKey": { "name": "k", "data": base64(&dir.path().join("locked.key")) },
    } } });
    let engine = with_vault(&dir.path().join("data")).await;
    let input = serde_json::json!({ "from": "text", "text": explorer.to_string() });
    let plan =
        engine.preview_import(serde_json::from_value(input).expect("input"), None).await.expect("read");
    let done = engine.apply_import(plan.plan, vec![0]).await.expect("applied");
    let profile = engine.profile(done.profiles[0].id).expect("there");
    let asked = engine.connect(profile.id).await.expect_err("no passphrase yet");
    assert_eq!(asked.code, ErrorCode::SecretNeeded);
    assert_eq!(asked.details["fields"], serde_json::json!([{ "kind": "key_passphrase" }]));
    assert_eq!(outcome(&attempt(&engine, &profile).await.expect("tried")), "passphrase_required");
    engine.set_secrets(profile.id, passphrase("wrong")).await.expect("set");
    assert_eq!(outcome(&attempt(&engine, &profile).await.expect("tried")), "passphrase_wrong");
    engine.set_secrets(profile.id, passphrase("sesame")).await.expect("set");
    assert_eq!(outcome(&attempt(&engine, &profile).await.expect("tried")), "planta-client");
    // Decrypted, it is a key like others; the encrypted one is named by nothing then, and goes.
    let own = profile.settings.client_certificate.clone();
    let clear = engine.import_identity(own.clone(), Some(profile.id), Vec::new()).await.expect("imported");
    assert_ne!(clear.key_file, own.key_file);
    let change = CertificateReplacement {
        role: CertificateRole::Identity,
        file: own.cert_file.clone(),
        key_file: own.key_file.clone(),
        new_file: clear.cert_file.clone(),
        new_key_file: clear.key_file,
    };
    engine.replace_certificate(&change).expect("replaced");
    assert!(engine.forget_certificate(&clear.cert_file).await.is_err(), "a connection uses it");
    let orphan = identities(&engine).await.into_iter().find(|entry| entry.key_file == own.key_file);
    let orphan = orphan.expect("listed");
    assert_eq!((orphan.file.as_str(), orphan.used_by.len()), ("", 0));
    let stored = engine.vault_status().await.expect("status").stored;
    engine.forget_certificate(&orphan.key_file).await.expect("deleted");
    assert_eq!(engine.vault_status().await.expect("status").stored, stored - 1);
    let changed = engine.profile(profile.id).expect("there");
    assert_eq!(outcome(&attempt(&engine, &changed).await.expect("tried")), "planta-client");
    engine.close().await;
}

/// The key in a PEM file, as it would lie in a file in the clear.
fn identity_der(key: &Path) -> Vec<u8> {
    let folder = key.parent().expect("a folder");
    openssl(folder, "pkcs8 -topk8 -nocrypt -in client.key -outform DER -out client.der");
    read(&folder.join("client.der"))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_vault_nothing_is_imported() {
    let dir = tempfile::tempdir().expect("directory");
    let (pki, engine) = (Pki::make(dir.path()), open(&dir.path().join("data")));
    let import = || engine.import_identity(files(&pki.client.cert, &pki.client.key), None, Vec::new());
    assert_eq!(import().await.expect_err("no keyring").code, ErrorCode::VaultLocked);
    engine.choose_vault(Keep::Session, None).await.expect("chosen");
    assert_eq!(import().await.expect_err("this session only").details["field"], "keep");
    assert_eq!(identities(&engine).await.len(), 0);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_brokers_password_is_kept() {
    let dir = tempfile::tempdir().expect("directory");
    let engine = with_vault(dir.path()).await;
    let ports = BrokerPorts { mqtt: 0, mqtts: 0, ws: 0, wss: 0 };
    let options = BrokerOptions { ports, username: "planta".into(), ..BrokerOptions::default() };
    let status = engine.start_broker(options, Some(Secret::new("sesame"))).await.expect("started");
    assert_eq!(status.password_place, Some(SecretPlace::Passphrase));
    engine.close().await;
    drop(engine);

    let engine = open(dir.path());
    engine.resume_broker().await.expect("looked");
    let waiting = engine.broker_status().await;
    assert!(!waiting.running && waiting.error.is_some(), "{waiting:?}");
    engine.unlock_vault(Secret::new(VAULT)).await.expect("unlocked");
    let running = loop {
        tokio::time::timeout(std::time::Duration::from_secs(30), engine.events()).await.expect("in time");
        let status = engine.broker_status().await;
        if status.running {
            break status;
        }
    };
    // It asks for the same password, and lends it to a connection of the window.
    let url = running.urls.iter().find(|url| url.starts_with("mqtt://")).expect("listener");
    let mut draft = engine.new_draft();
    draft.endpoint = engine.parse_endpoint(url, Scheme::Mqtt).expect("URL").endpoint;
    draft.settings.login.enabled = true;
    draft.settings.login.username = "planta".into();
    let profile = engine.save_profile(draft, None, Vec::new()).await.expect("saved");
    let verdict =
        |trace: Trace| trace.verdict.and_then(|verdict| verdict.failure).map(|failure| failure.code);
    let refused = verdict(attempt(&engine, &profile).await.expect("tried"));
    assert!(refused.is_some(), "without a password nobody gets in");
    engine.lend_broker_password(profile.id).await.expect("lent");
    assert_eq!(verdict(attempt(&engine, &profile).await.expect("tried")), None);
    engine.close().await;
}

/// All that is not at hand is asked for at once, and what was typed for one attempt is there for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_opens_the_key_is_asked_for_with_the_rest() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = Pki::make(dir.path());
    openssl(dir.path(), "pkey -in client.key -aes256 -passout pass:sesame -out locked.key");
    let data = dir.path().join("data");
    let engine = open(&data);
    engine.choose_vault(Keep::Never, None).await.expect("nothing is kept");
    let certificate = files(&pki.client.cert, &dir.path().join("locked.key"));
    let mut draft = draft(&engine, "a", "wss://localhost:1/mqtt", &pki.ca, certificate).await;
    draft.settings.login.enabled = true;
    let password = || vec![SecretEdit::set(SecretField::Password, "s3cret".into())];
    let id = engine.save_profile(draft, None, password()).await.expect("saved").id;
    let asked_for = async |engine: &Engine| {
        let asked = engine.connect(id).await.expect_err("something is missing");
        assert_eq!(asked.code, ErrorCode::SecretNeeded);
        asked.details["fields"].clone()
    };
    assert_eq!(asked_for(&engine).await, serde_json::json!([{ "kind": "key_passphrase" }]));
    engine.set_secrets(id, passphrase("sesame")).await.expect("set");
    engine.connect(id).await.expect("the password was not used up by asking");
    engine.close().await;

    let engine = open(&data);
    let both = serde_json::json!([{ "kind": "password" }, { "kind": "key_passphrase" }]);
    assert_eq!(asked_for(&engine).await, both);
    engine.set_secrets(id, [password(), passphrase("sesame")].concat()).await.expect("set");
    engine.connect(id).await.expect("all of it is there");
    engine.close().await;
}
