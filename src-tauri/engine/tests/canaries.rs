//! No secret where none belongs. A second process plants secrets in every field that takes one, uses the product
//! (connects, fails in every way in which somebody sends a secret back, tests drafts, locks and opens the vault), with
//! every log line on. Then every byte that it wrote is searched: files, standard output, standard error.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use heliograph_engine::broker::{BrokerOptions, BrokerPorts};
use heliograph_engine::endpoint::Scheme;
use heliograph_engine::engine::{Engine, EngineEvent, PublishRequest};
use heliograph_engine::history::RowFilter;
use heliograph_engine::profile::{
    Header, PayloadText, Profile, ProfileDraft, ProfileId, ProxyKind, Settings,
};
use heliograph_engine::secret::{Secret, SecretEdit, SecretField, Secrets};
use heliograph_engine::session::{Phase, SessionConfig};
use heliograph_engine::vault::{Keep, Keyring};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const PASSWORD: &str = "canary-password-5f1c";
const PASSPHRASE: &str = "canary-passphrase-77aa";
const PROXY: &str = "canary-proxy-e02b";
const HEADER: &str = "canary-header-91d4";
const VAULT: &str = "canary-vault-c3c3";
const NEXT_VAULT: &str = "canary-next-vault-1e7f";
const BROKER: &str = "canary-broker-4b60";
const PIN: &str = "canary-pin-2d0c";
/// The secret half of an Ed25519 key is any 32 bytes.
const KEY: &str = "canary-key-9d3f-canary-key-9d3f-";
const ALL: [&str; 9] = [PASSWORD, PASSPHRASE, PROXY, HEADER, VAULT, NEXT_VAULT, BROKER, PIN, KEY];

const FOLDER: &str = "CANARIES_FOLDER";
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn no_secret_is_in_anything_that_was_written() {
    let folder = tempfile::tempdir().expect("folder");
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["inside_uses_the_product", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .output()
        .expect("run");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    // What was to be seen was there to be seen: the search below is not of nothing.
    for sign in ["crashed with", "TRACE", "(hidden)", "bad_credentials", "traces:"] {
        assert!(text.contains(sign), "no {sign} in:\n{text}");
    }

    let mut found = Vec::new();
    search("standard output", &output.stdout, &mut found);
    search("standard error", &output.stderr, &mut found);
    let mut files = 0;
    walk(folder.path(), &mut |path| {
        files += 1;
        search(&path.display().to_string(), &std::fs::read(path).expect("read"), &mut found);
    });
    assert!(files >= 5, "{files} files");
    assert!(found.is_empty(), "{found:#?}");
}

fn walk(folder: &Path, file: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).expect("listed") {
        let path = entry.expect("entry").path();
        if path.is_dir() { walk(&path, file) } else { file(&path) }
    }
}

/// Looks for every secret as it is, in hexadecimal and in base64 at every alignment.
fn search(place: &str, bytes: &[u8], found: &mut Vec<String>) {
    let lower = bytes.to_ascii_lowercase();
    let mut look = |what: &str, form: &[u8], bytes: &[u8]| {
        if let Some(at) = bytes.windows(form.len()).position(|part| part == form) {
            let around = String::from_utf8_lossy(&bytes[at.saturating_sub(120)..bytes.len().min(at + 60)]);
            found.push(format!("{what} in {place}: …{around}"));
        }
    };
    for canary in ALL {
        look(canary, canary.as_bytes(), &lower);
        look(canary, hex::encode(canary).as_bytes(), &lower);
        let decimal: Vec<_> = canary.bytes().map(|byte| byte.to_string()).collect();
        look(canary, decimal.join(", ").as_bytes(), bytes);
        for skipped in 0..3 {
            // The middle of it is the same whatever stands before.
            let shifted = [&[0_u8, 0][..skipped], canary.as_bytes()].concat();
            let text = base64::engine::general_purpose::STANDARD_NO_PAD.encode(shifted);
            look(canary, &text.as_bytes()[4..text.len() - 4], bytes);
        }
    }
}

fn edits() -> Vec<SecretEdit> {
    vec![
        SecretEdit::set(SecretField::Password, PASSWORD.into()),
        SecretEdit::set(SecretField::KeyPassphrase, PASSPHRASE.into()),
        SecretEdit::set(SecretField::ProxyPassword, PROXY.into()),
        SecretEdit::set(SecretField::TokenPin, PIN.into()),
        SecretEdit::set(SecretField::WebsocketHeader("x-token".into()), HEADER.into()),
    ]
}

/// A connection that uses every secret that the transport has room for.
fn draft(engine: &Engine, url: &str, change: impl FnOnce(&mut Settings)) -> ProfileDraft {
    let mut draft = engine.new_draft();
    draft.name = url.to_owned();
    draft.endpoint = engine.parse_endpoint(url, Scheme::Mqtt).expect("url").endpoint;
    draft.settings.login.enabled = true;
    draft.settings.login.username = "planta".into();
    draft.settings.websocket.headers =
        vec![Header { name: "X-Token".into(), value: "canary-header-91d4".into(), secret: true }];
    draft.settings.timing.connect_timeout_s = 10;
    draft.settings.timing.reconnect = false;
    change(&mut draft.settings);
    draft
}

/// A peer that answers the first bytes it gets with what `answer` makes of them, and says nothing more.
async fn parrot(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("port");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut heard = vec![0; 4096];
            let count = stream.read(&mut heard).await.unwrap_or(0);
            let _ = stream.write_all(&answer(&heard[..count])).await;
            let _ = stream.shutdown().await;
        }
    });
    port
}

/// Refuses as HTTP servers and proxies do that show the request in their error page.
fn http(status: &'static str) -> impl Fn(&[u8]) -> Vec<u8> {
    move |heard| {
        let token = String::from_utf8_lossy(heard).lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            matches!(name, "X-Token" | "Proxy-Authorization").then(|| value.to_owned())
        });
        let token = token.unwrap_or_default();
        let head = format!(
            "HTTP/1.1 {status} because of {token}\r\nX-Echo: {token}\r\nContent-Length: {}\r\n\r\n",
            heard.len()
        );
        [head.as_bytes(), heard].concat()
    }
}

/// Refuses with a CONNACK whose reason string is the whole CONNECT that was heard.
fn connack(heard: &[u8]) -> Vec<u8> {
    let said: String = heard.iter().map(|&b| if b.is_ascii_graphic() { b as char } else { ' ' }).collect();
    let said = &said.as_bytes()[said.len().saturating_sub(100)..];
    let property = [&[0x1f, 0, u8::try_from(said.len()).expect("short")][..], said].concat();
    let length = u8::try_from(property.len()).expect("short");
    [&[0x20, length + 3, 0, 0x86, length][..], &property].concat()
}

async fn connect(engine: &Engine, profile: &Profile) -> Phase {
    engine.connect(profile.id).await.expect("begun");
    loop {
        let events = tokio::time::timeout(PATIENCE, engine.events()).await.expect("in time");
        for event in events {
            // As the window is told.
            println!("{}", serde_json::to_string(&event).expect("json"));
            let EngineEvent::Connection(status) = event else { continue };
            if status.id == profile.id
                && matches!(status.phase, Phase::Connected { .. } | Phase::Failed { .. })
            {
                return status.phase;
            }
        }
    }
}

async fn show(engine: &Engine, id: ProfileId) {
    let traces = engine.traces(id).await.expect("traces");
    println!("traces: {} {traces:?}", serde_json::to_string(&traces).expect("json"));
    let profile = engine.profile(id).expect("profile");
    println!("{profile:?} {}", serde_json::to_string(&profile).expect("json"));
    let secrets = engine.secrets_set(id).await.expect("places");
    println!("{secrets:?} {}", serde_json::to_string(&secrets).expect("json"));
    let view = engine.open_view(id, RowFilter::default()).await.expect("view");
    println!("{:?}", engine.page(view.view, 0, 100).await.expect("page"));
}

/// Imports what holds secrets in every place, and writes exports with and without them.
async fn in_and_out(engine: &Engine, folder: &Path) {
    let mqttx = serde_json::json!([{
        "name": "of another client", "host": "a.invalid", "port": 1883, "ssl": false, "clientId": "c", "mqttVersion": "5.0",
        "username": "planta", "password": PASSWORD, "keepalive": {"wrong": PASSWORD}, "apiToken": HEADER,
        "properties": {"authenticationData": PASSPHRASE},
    }]);
    // PKCS#8 (RFC 8410, 7) around it.
    let key = [&hex::decode("302e020100300506032b657004220420").expect("hex")[..], KEY.as_bytes()].concat();
    let key = base64::engine::general_purpose::STANDARD.encode(key);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
    let explorer = serde_json::json!({ "ConnectionManager_connections": { "a": {
        "type": "mqtt", "name": "with a key", "host": "e.invalid", "encryption": true, "password": PASSWORD,
        "clientKey": { "name": "k", "data": base64::engine::general_purpose::STANDARD.encode(&pem) },
    } } });
    let line = format!(
        "mqttx sub -t a -P {PASSWORD} -wh 'X-Token: {HEADER}' --unknown={PROXY} -l ws -h b.invalid -p 80"
    );
    let other = format!(
        "mosquitto_sub -t a -L mqtt://u:{PASSWORD}@c.invalid/a --proxy socks5h://u:{PROXY}@d.invalid:1 --psk {HEADER}"
    );
    for text in [
        mqttx.to_string(),
        explorer.to_string(),
        line,
        other,
        format!("mosquitto_sub -P '{PASSWORD}"),
        format!("{{\"{PASSWORD}\": "),
    ] {
        let input =
            serde_json::from_value(serde_json::json!({ "from": "text", "text": text })).expect("input");
        match engine.preview_import(input, None).await {
            Err(wrong) => println!("{wrong:?} {wrong}"),
            Ok(preview) => {
                println!("{preview:?} {}", serde_json::to_string(&preview).expect("json"));
                let done = engine.apply_import(preview.plan, vec![0]).await.expect("applied");
                println!("{done:?} {}", serde_json::to_string(&done).expect("json"));
            }
        }
    }
    let path = |name: &str| folder.join(name).display().to_string();
    let plain = engine.export_connections(path("plain.json"), None, None).await.expect("exported");
    let sealed = engine
        .export_connections(path("sealed.json"), None, Some(Secret::new(VAULT)))
        .await
        .expect("exported");
    println!("{plain:?} {sealed:?}");
    assert_eq!((plain.without_key.len(), sealed.without_key.len()), (1, 0), "the key is in the vault");
    assert!(sealed.secrets > 4 && plain.secrets == 0, "{sealed:?}");
    let again = serde_json::json!({ "from": "file", "path": path("sealed.json") });
    let again = || serde_json::from_value(again.clone()).expect("input");
    let wrong = engine.preview_import(again(), Some(Secret::new(NEXT_VAULT))).await.expect_err("wrong");
    println!("{wrong:?} {wrong}");
    println!("{:?}", engine.preview_import(again(), Some(Secret::new(VAULT))).await.expect("read"));
    engine.drop_import();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is the other process"]
async fn inside_uses_the_product() {
    // Every line of our own and of every library, as HELIOGRAPH_LOG=trace shows them.
    tracing_subscriber::fmt()
        .with_env_filter(heliograph_engine::logging::directives("trace"))
        .with_writer(std::io::stderr)
        .init();
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("folder"));
    let engine = Engine::open_with(&folder, Keyring::none()).expect("opened");

    // In memory first, then in a vault.
    let ports = BrokerPorts { mqtt: 0, mqtts: 0, ws: 0, wss: 0 };
    let options = BrokerOptions { ports, username: "planta".into(), ..BrokerOptions::default() };
    let broker = engine.start_broker(options, Some(Secret::new(PASSWORD))).await.expect("broker");
    let url =
        |scheme: &str| broker.urls.iter().find(|url| url.starts_with(scheme)).expect("listener").clone();

    let mut saved = Vec::new();
    for url in [url("mqtt://"), url("ws://")] {
        let draft = draft(&engine, &url, |_| {});
        saved.push(engine.save_profile(draft, None, edits()).await.expect("saved"));
    }
    engine.choose_vault(Keep::Passphrase, Some(Secret::new(VAULT))).await.expect("vault");
    for profile in &saved {
        let phase = connect(&engine, profile).await;
        assert!(matches!(phase, Phase::Connected { .. }), "{phase:?}");
        let request = PublishRequest {
            topic: "a/b".into(),
            payload: PayloadText { text: "hello".into(), ..PayloadText::default() },
            ..PublishRequest::default()
        };
        engine.publish(profile.id, request).await.expect("published");
        engine.disconnect(profile.id).await.expect("disconnected");
        show(&engine, profile.id).await;
    }

    // The broker's own password is another one now, so ours is refused.
    let options = BrokerOptions { ports, username: "planta".into(), ..BrokerOptions::default() };
    let broker = engine.start_broker(options, Some(Secret::new(BROKER))).await.expect("broker");
    let refusing = broker.urls.iter().find(|url| url.starts_with("mqtt://")).expect("listener").clone();
    let peers = [
        (refusing, None),
        (format!("mqtt://127.0.0.1:{}", parrot(connack).await), None),
        (format!("ws://127.0.0.1:{}/mqtt", parrot(http("403")).await), None),
        (format!("ws://127.0.0.1:{}/mqtt", parrot(|heard| heard.to_vec()).await), None),
        (format!("mqtt://127.0.0.1:{}", parrot(|heard| heard.to_vec()).await), None),
        ("mqtt://broker.invalid".into(), Some((ProxyKind::Http, parrot(http("407")).await))),
        ("mqtt://broker.invalid".into(), Some((ProxyKind::Http, parrot(http("502")).await))),
        ("mqtt://broker.invalid".into(), Some((ProxyKind::Socks5, parrot(|heard| heard.to_vec()).await))),
    ];
    for (url, proxy) in peers {
        let mut draft = draft(&engine, &url, |settings| {
            if let Some((kind, port)) = proxy {
                settings.proxy.kind = kind;
                settings.proxy.host = "127.0.0.1".into();
                settings.proxy.port = port;
                settings.proxy.username = "planta".into();
            }
        });
        let report = engine.check_draft(draft.clone(), edits()).await.expect("checked");
        println!("{report:?} {}", serde_json::to_string(&report).expect("json"));
        let trace = engine.test_connection(draft.clone(), edits()).await.expect("tested");
        println!("traces: {} {trace:?}", serde_json::to_string(&trace).expect("json"));
        draft.name = format!("{url} saved");
        let profile = engine.save_profile(draft, None, edits()).await.expect("saved");
        let phase = connect(&engine, &profile).await;
        assert!(matches!(phase, Phase::Failed { .. }), "{phase:?}");
        show(&engine, profile.id).await;
        engine.duplicate_profile(profile.id).await.expect("copied");
    }

    // A crash says what was at hand.
    let mut secrets = Secrets::default();
    secrets.apply(&edits()).expect("edits");
    let profile = engine.profile(saved[0].id).expect("profile");
    let plan = heliograph_engine::transport::plan(&profile, &secrets).expect("planned");
    let config = SessionConfig { profile, secrets, keep_trying: false };
    let told =
        std::thread::spawn(move || panic!("crashed with {plan:?}, {config:?} and {:?}", edits())).join();
    assert!(told.is_err());

    // A URL with a password in it, and texts that are wrong.
    let parsed =
        engine.parse_endpoint(&format!("mqtt://u:{PASSWORD}@broker:1883"), Scheme::Mqtt).expect("parsed");
    println!("{} {}", parsed.url, parsed.endpoint.host);
    let wrong =
        engine.parse_endpoint(&format!("mqtt://u:{PASSWORD}@bro ker:1x"), Scheme::Mqtt).expect_err("wrong");
    println!("{wrong:?} {wrong}");
    in_and_out(&engine, &folder).await;
    let wrong = engine.unlock_vault(Secret::new(NEXT_VAULT)).await.expect_err("wrong");
    println!("{wrong:?} {wrong}");
    let status = engine.change_vault_passphrase(Secret::new(VAULT), Secret::new(NEXT_VAULT)).await;
    println!("{status:?}");
    engine.lock_vault().await.expect("locked");
    let locked = engine.connect(saved[0].id).await.expect_err("locked");
    println!("{locked:?}");
    // While it is locked, in memory.
    engine.set_secrets(saved[0].id, edits()).await.expect("set");
    engine.unlock_vault(Secret::new(NEXT_VAULT)).await.expect("unlocked");
    engine.delete_profile(saved[1].id).await.expect("deleted");
    println!("{:?} {:?}", engine.library_tree().expect("tree"), engine.vault_status().await.expect("status"));
    engine.close().await;
}
