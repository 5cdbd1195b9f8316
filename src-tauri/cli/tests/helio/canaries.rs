//! No secret in anything that `helio` prints or writes, in no command, however it was given; and a private key in the
//! vault or on a token serves `helio` as it serves the window.

use std::path::Path;
use std::process::{Command, Stdio};

use heliograph_engine::Engine;
use heliograph_engine::endpoint::Scheme;
use heliograph_engine::profile::{ClientCertificate, Header, ProxyKind, Settings, TrustMode};
use heliograph_engine::secret::{Secret, SecretEdit, SecretField};
use heliograph_engine::vault::{Keep, Keyring};

use crate::brokers::{MosquittoOptions, PASSWORD, PASSWORD_PART, SoftHsm, TOKEN_PIN, USER, free_port};
use crate::command::{Bench, Ended, Helio, text};

const KEY: &str = "canary-key-passphrase";
const PROXY: &str = "canary-proxy-password";
const HEADER: &str = "canary-header-value";
const VAULT: &str = "canary-vault-passphrase";

/// Runs it as a script would, with every secret in the environment or on standard input.
fn run(bench: &Bench, words: &[&str]) -> Ended {
    let mut command = bench.command(words);
    command
        .stdin(Stdio::piped())
        .env("HELIOGRAPH_KEYRING", "off")
        .env("HELIOGRAPH_LOG", "trace")
        .env("HELIO_VAULT_PASSPHRASE", VAULT)
        .env("HELIO_KEY_PASSWORD", KEY)
        .env("HELIO_PROXY_PASSWORD", PROXY)
        .env(SoftHsm::VARIABLE, bench.path("softhsm2.conf"))
        .env("HELIO_TOKEN_PIN", TOKEN_PIN);
    let mut helio = Helio::start(&mut command);
    let mut stdin = helio.stdin();
    let _ = std::io::Write::write_all(&mut stdin, format!("{PASSWORD}\n").as_bytes());
    drop(stdin);
    helio.end()
}

fn secrets() -> [&'static str; 6] {
    [PASSWORD_PART, KEY, PROXY, HEADER, VAULT, TOKEN_PIN]
}

fn no_secret_in(place: &str, bytes: &[u8]) {
    for secret in secrets() {
        let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "{secret} in {place}:\n{}", String::from_utf8_lossy(bytes));
    }
}

fn no_secret_in_folder(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("listed") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            no_secret_in_folder(&path);
        } else {
            no_secret_in(&path.display().to_string(), &std::fs::read(&path).expect("read"));
        }
    }
}

/// Connections as the window saves them: with an imported key, and with every secret there is.
async fn save(bench: &Bench, wss: u16, plain: u16) {
    let engine = Engine::open_with(&bench.dir.path().join("data"), Keyring::none()).expect("opened");
    engine.choose_vault(Keep::Passphrase, Some(Secret::new(VAULT))).await.expect("a vault");
    let from = ClientCertificate {
        enabled: true,
        cert_file: text(&bench.pki.client.cert).into(),
        key_file: bench.path("locked.key"),
        ..ClientCertificate::default()
    };
    let passphrase = vec![SecretEdit::set(SecretField::KeyPassphrase, KEY.into())];
    let imported = engine.import_identity(from, None, passphrase).await.expect("imported");
    let save = async |name: &str, url: String, change: &dyn Fn(&mut Settings), secrets: Vec<SecretEdit>| {
        let mut draft = engine.new_draft();
        draft.name = name.into();
        draft.endpoint = engine.parse_endpoint(&url, Scheme::Mqtt).expect("URL").endpoint;
        draft.settings.trust.mode = TrustMode::CaOnly;
        draft.settings.trust.ca_files = vec![text(&bench.pki.ca).into()];
        draft.settings.timing.connect_timeout_s = 20;
        change(&mut draft.settings);
        engine.save_profile(draft, None, secrets).await.expect("saved");
    };
    let url = format!("wss://localhost:{wss}/mqtt");
    save("imported", url, &|settings| settings.client_certificate = imported.clone(), Vec::new()).await;
    let everything = |settings: &mut Settings| {
        settings.login.enabled = true;
        settings.login.username = USER.into();
        settings.websocket.headers =
            vec![Header { name: "X-Token".into(), value: String::new(), secret: true }];
        // The broker's port is no proxy, and says nothing.
        settings.timing.connect_timeout_s = 2;
        settings.proxy.kind = ProxyKind::Http;
        settings.proxy.host = "127.0.0.1".into();
        settings.proxy.port = plain;
        settings.proxy.username = USER.into();
    };
    let all = vec![
        SecretEdit::set(SecretField::Password, PASSWORD.into()),
        SecretEdit::set(SecretField::ProxyPassword, PROXY.into()),
        SecretEdit::set(SecretField::WebsocketHeader("x-token".into()), HEADER.into()),
    ];
    let url = format!("ws://localhost:{plain}/mqtt");
    // The same without a proxy that nothing goes through: what is sent as a header gets there.
    let header = |settings: &mut Settings| {
        everything(settings);
        settings.proxy.kind = ProxyKind::None;
    };
    save("header", url.clone(), &header, all.clone()).await;
    save("everything", url, &everything, all).await;
    engine.close().await;
}

#[test]
fn nothing_that_helio_prints_or_writes_holds_a_secret() {
    let bench = Bench::new();
    let asks = MosquittoOptions { require_certificate: true, ..Default::default() };
    let demanding = bench.mosquitto(&asks);
    let locked = bench.mosquitto(&MosquittoOptions { password: true, ..Default::default() });
    let sealed = Command::new("openssl")
        .args(["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", &format!("pass:{KEY}"), "-in"])
        .args([text(&bench.pki.client.key), "-out", &bench.path("locked.key")])
        .status();
    assert!(sealed.expect("openssl").success());
    let tokens = SoftHsm::make(bench.dir.path(), "ALL");
    tokens.token("Plant");
    tokens.import("Plant", "press", "a1", &bench.pki.client.key);
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    runtime.block_on(save(&bench, demanding.wss, locked.ws));
    std::fs::remove_file(bench.path("locked.key")).expect("removed");

    let plain = format!("mqtt://localhost:{}", locked.mqtt);
    let nobody = format!("mqtt://localhost:{}", free_port());
    let mqtts = format!("mqtts://localhost:{}", demanding.mqtts);
    let (ca, cert) = (text(&bench.pki.ca), text(&bench.pki.client.cert));
    let uri =
        format!("pkcs11:token=Plant;object=press?module-path={}&pin-value={TOKEN_PIN}", SoftHsm::module());
    let module = SoftHsm::module();
    let user = ["-u", USER, "--password-stdin"];
    let out = bench.path("export.json");
    let table: Vec<(i32, Vec<&str>)> = vec![
        (0, [&["trace", &plain, "--debug"], &user[..]].concat()),
        (0, [&["trace", &plain, "--json"], &user[..]].concat()),
        (0, [&["trace", &plain, "--report"], &user[..]].concat()),
        (3, [&["trace", &nobody, "--debug"], &user[..]].concat()),
        (
            0,
            [&["sub", &plain, "-t", "$SYS/broker/version", "-C", "1", "--debug", "--json"], &user[..]]
                .concat(),
        ),
        (0, [&["pub", &plain, "-t", "a", "-m", "x", "-q", "1", "--debug", "--json"], &user[..]].concat()),
        (0, vec!["trace", "@imported", "--debug"]),
        (0, vec!["trace", "@imported", "--json"]),
        (0, vec!["trace", "@imported", "--report"]),
        (0, vec!["trace", "@header", "--debug"]),
        (0, vec!["trace", "@header", "--json"]),
        (0, vec!["trace", "@header", "--report"]),
        (3, vec!["trace", "@everything", "--debug"]),
        (3, vec!["trace", "@everything", "--json"]),
        (3, vec!["trace", "@everything", "--report"]),
        (0, vec!["trace", &mqtts, "--ca", ca, "--cert", cert, "--key", &uri, "--debug"]),
        (0, vec!["trace", &mqtts, "--ca", ca, "--cert", cert, "--key", &uri, "--json"]),
        (
            0,
            vec![
                "trace",
                &mqtts,
                "--ca",
                ca,
                "--cert",
                cert,
                "--pkcs11-module",
                module,
                "--pkcs11-token",
                "Plant",
                "--pkcs11-label",
                "press",
                "--report",
            ],
        ),
        (0, vec!["probe", "@imported"]),
        (0, vec!["profiles", "list"]),
        (0, vec!["profiles", "show", "everything", "--json"]),
        (0, vec!["profiles", "export", "-o", &out]),
        (0, vec!["cert", "create"]),
        (0, vec!["cert", "issue", "client", "a", "--p12", "--key-password-stdin"]),
        (0, vec!["cert", "show", cert]),
        (0, vec!["cert", "check", "--cert", cert, "--key", text(&bench.pki.client.key), "--ca", ca]),
    ];
    let mut seen = String::new();
    for (status, words) in table {
        let ended = run(&bench, &words);
        assert_eq!(ended.status, status, "{words:?}: {ended:#?}");
        no_secret_in(&format!("{words:?}, standard output"), ended.out.as_bytes());
        no_secret_in(&format!("{words:?}, standard error"), ended.err.as_bytes());
        seen.push_str(&ended.out);
        seen.push_str(&ended.err);
    }
    // What was to be seen was there to be seen: the search was not of nothing.
    for sign in ["TRACE", "CN=planta-client", "pkcs11:", "vault:", "CONNECT", "X-Token", "(hidden)"] {
        assert!(seen.contains(sign), "no {sign} in what helio printed");
    }
    no_secret_in_folder(&bench.dir.path().join("data"));
    no_secret_in(&out, &std::fs::read(&out).expect("exported"));
}

#[test]
fn a_token_that_is_not_right_is_named() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions { require_certificate: true, ..Default::default() });
    let url = format!("mqtts://localhost:{}", broker.mqtts);
    let (ca, cert) = (text(&bench.pki.ca), text(&bench.pki.client.cert));
    let with =
        |more: &[&str]| run(&bench, &[&["trace", &url, "--ca", ca, "--cert", cert, "--json"], more].concat());
    let ended = with(&["--pkcs11-module", "/no/such.so", "--pkcs11-token", "a"]).assert_status(2);
    assert_eq!(ended.json().last().expect("a verdict")["code"], "token_module_unusable");
    with(&["--key", "pkcs11:token=a"]).assert_status(2).assert_says("module-path");
    with(&["--key", "k.pem", "--pkcs11-module", "/m.so"]).assert_status(2);
    with(&["--pkcs11-label", "a"]).assert_status(2).assert_says("--pkcs11-module");
}
