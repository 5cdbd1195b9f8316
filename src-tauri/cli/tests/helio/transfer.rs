//! Connections from other clients, and exports with secrets.

use std::process::Stdio;

use serde_json::json;

use crate::brokers::{MosquittoOptions, PASSWORD, PASSWORD_PART, USER};
use crate::command::{Bench, Ended, Helio, text};

const PASSPHRASE: &str = "correct horse";

/// A run with a vault that opens with a passphrase, as on a machine without a keyring.
fn run(bench: &Bench, words: &[&str], vault: Option<&str>, export: Option<&str>) -> Ended {
    let mut command = bench.command(words);
    command.stdin(Stdio::null()).env("HELIOGRAPH_KEYRING", "off");
    for (name, value) in [("HELIO_VAULT_PASSPHRASE", vault), ("HELIO_EXPORT_PASSPHRASE", export)] {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Helio::start(&mut command).end()
}

/// Makes the vault, as the window would.
fn with_vault(bench: &Bench) {
    use heliograph_engine::library::Library;
    use heliograph_engine::secret::Secret;
    use heliograph_engine::vault::{Keep, Keyring, Vault};
    let data = bench.dir.path().join("data");
    std::fs::create_dir_all(&data).expect("folder");
    let library = Library::open(&data.join("heliograph.db")).expect("library");
    let vault = Vault::new(&data, std::sync::Arc::new(library), Keyring::none(), || {});
    vault.choose(Keep::Passphrase, Some(&Secret::new(PASSPHRASE))).expect("chosen");
}

fn mqttx(bench: &Bench, port: u16) -> String {
    let file = bench.path("mqttx.json");
    let content = json!([{
        "clientId": "mqttx_1", "name": "Plant", "clean": true, "protocol": "mqtt", "host": "localhost",
        "port": port, "keepalive": 60, "connectTimeout": 10, "reconnect": true, "username": USER,
        "password": PASSWORD, "ssl": false, "certType": "", "mqttVersion": "5.0", "clientIdWithTime": true,
        "messages": [{"payload": "x"}], "subscriptions": [{"topic": "a", "qos": 1}],
    }]);
    std::fs::write(&file, content.to_string()).expect("written");
    file
}

/// Every file of the data folder but the sealed vault, searched for the password.
fn found_in_the_open(bench: &Bench) -> Vec<String> {
    fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("listed") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if std::fs::read(&path)
                .expect("read")
                .windows(PASSWORD_PART.len())
                .any(|w| w == PASSWORD_PART.as_bytes())
            {
                found.push(path.display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(&bench.dir.path().join("data"), &mut found);
    found
}

#[test]
fn an_export_of_mqttx_is_shown_then_imported_and_connects() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions { password: true, ..Default::default() });
    let file = mqttx(&bench, broker.mqtt);
    let dry = run(&bench, &["profiles", "import", &file, "--dry-run"], None, None).assert_status(0);
    for words in [
        "MQTTX: 1 connection would be added; nothing was",
        "Plant",
        "user name",
        "into the vault: password",
        "clientIdWithTime (true): Heliograph has nothing like it",
        "not imported: 1 left behind",
        "subscriptions: a",
    ] {
        assert!(dry.out.contains(words), "no “{words}” in {dry:#?}");
    }
    assert!(run(&bench, &["profiles", "list", "--json"], None, None).out.is_empty());

    // Without a vault that can keep the password nothing comes in.
    run(&bench, &["profiles", "import", &file], None, None).assert_status(2).assert_says("--without-secrets");
    assert!(run(&bench, &["profiles", "list", "--json"], None, None).out.is_empty());
    with_vault(&bench);
    run(&bench, &["profiles", "import", &file], None, None)
        .assert_status(2)
        .assert_says("HELIO_VAULT_PASSPHRASE");
    let done = run(&bench, &["profiles", "import", &file], Some(PASSPHRASE), None).assert_status(0);
    assert!(done.out.starts_with("Added 1 connection, 1 secret into the vault\n"), "{done:#?}");
    assert!(
        done.err.contains("still holds 1 secret in the open") && done.err.contains("mqttx.json"),
        "{done:#?}"
    );
    for ended in [&dry, &done] {
        assert!(!ended.out.contains(PASSWORD_PART) && !ended.err.contains(PASSWORD_PART), "{ended:#?}");
    }
    assert!(found_in_the_open(&bench).is_empty(), "{:?}", found_in_the_open(&bench));
    let trace = run(&bench, &["trace", "@Plant", "--json"], Some(PASSPHRASE), None).assert_status(0).json();
    assert_eq!(trace.last().expect("a verdict")["outcome"], "connected");

    let without = run(&bench, &["profiles", "import", &file, "--without-secrets", "--json"], None, None);
    assert_eq!(without.assert_status(0).json()[0]["name"], "Plant 2");
}

#[test]
fn an_export_with_secrets_opens_with_its_passphrase_alone() {
    let (bench, other) = (Bench::new(), Bench::new());
    let broker = bench.mosquitto(&MosquittoOptions { password: true, ..Default::default() });
    with_vault(&bench);
    let file = mqttx(&bench, broker.mqtt);
    run(&bench, &["profiles", "import", &file], Some(PASSPHRASE), None).assert_status(0);
    let sealed = bench.path("sealed.json");
    let words = ["profiles", "export", "--with-secrets", "-o", &sealed];
    run(&bench, &words, Some(PASSPHRASE), None).assert_status(2).assert_says("--passphrase-stdin");
    run(&bench, &words, None, Some("horse battery")).assert_status(2).assert_says("HELIO_VAULT_PASSPHRASE");
    run(&bench, &words, Some(PASSPHRASE), Some("short")).assert_status(2).assert_says("8 characters");
    let done = run(&bench, &words, Some(PASSPHRASE), Some("horse battery")).assert_status(0);
    assert!(done.err.contains("1 connection with 1 secret"), "{done:#?}");
    let content = std::fs::read_to_string(&sealed).expect("read");
    assert!(!content.contains(PASSWORD_PART) && !content.contains("Plant"), "{content}");

    with_vault(&other);
    let import = ["profiles", "import", sealed.as_str()];
    run(&other, &import, Some(PASSPHRASE), None).assert_status(2).assert_says("HELIO_EXPORT_PASSPHRASE");
    run(&other, &import, Some(PASSPHRASE), Some("horse batterz"))
        .assert_status(2)
        .assert_says("not the passphrase");
    run(&other, &import, Some(PASSPHRASE), Some("horse battery")).assert_status(0);
    let trace = run(&other, &["trace", "@Plant", "--json"], Some(PASSPHRASE), None).assert_status(0).json();
    assert_eq!(trace.last().expect("a verdict")["outcome"], "connected");
    std::fs::write(&sealed, content.replacen("\"content\": \"", "\"content\": \"AAAA", 1)).expect("written");
    run(&other, &import, Some(PASSPHRASE), Some("horse battery")).assert_status(2).assert_says("damaged");

    // The passphrase by standard input, and the same connections again.
    std::fs::write(&sealed, content).expect("written");
    let words = ["profiles", "import", sealed.as_str(), "--passphrase-stdin", "--dry-run"];
    let ended = other.run_with_input(&words, b"horse battery\n").assert_status(0);
    assert!(ended.out.contains("Plant 2 (was Plant)"), "{ended:#?}");
}

/// A private key inside the settings of MQTT Explorer: into the vault, to another computer and back to the broker.
#[test]
fn a_private_key_goes_along_in_a_sealed_export_alone() {
    use base64::Engine as _;
    let (bench, other) = (Bench::new(), Bench::new());
    let broker = bench.mosquitto(&MosquittoOptions { require_certificate: true, ..Default::default() });
    let data = |path: &std::path::Path| {
        let content = std::fs::read(path).expect("read");
        json!({ "name": "x", "data": base64::engine::general_purpose::STANDARD.encode(content) })
    };
    let file = bench.path("settings.json");
    let content = json!({ "ConnectionManager_connections": { "a": {
        "type": "mqtt", "name": "Press", "host": "localhost", "port": broker.wss, "protocol": "ws", "basePath": "mqtt",
        "encryption": true, "selfSignedCertificate": data(&bench.pki.ca),
        "clientCertificate": data(&bench.pki.client.cert), "clientKey": data(&bench.pki.client.key),
    } } });
    std::fs::write(&file, content.to_string()).expect("written");
    run(&bench, &["profiles", "import", &file], None, None).assert_status(2).assert_says("--without-secrets");
    with_vault(&bench);
    let dry = run(&bench, &["profiles", "import", &file, "--dry-run"], None, None).assert_status(0);
    assert!(dry.out.contains("into the vault: private key"), "{dry:#?}");
    let done = run(&bench, &["profiles", "import", &file], Some(PASSPHRASE), None).assert_status(0);
    assert!(done.err.contains("still holds 1 secret in the open"), "{done:#?}");

    let plain = run(&bench, &["profiles", "export"], None, None).assert_status(0);
    assert!(
        plain.err.contains("The private key of these connections is in the vault")
            && plain.err.contains("Press"),
        "{plain:#?}"
    );
    let sealed = bench.path("sealed.json");
    let words = ["profiles", "export", "--with-secrets", "-o", &sealed];
    let done = run(&bench, &words, Some(PASSPHRASE), Some("horse battery")).assert_status(0);
    assert!(done.err.contains("1 connection with 1 secret"), "{done:#?}");

    with_vault(&other);
    let kept = other.path("plain.json");
    std::fs::write(&kept, &plain.out).expect("written");
    let dry = run(&other, &["profiles", "import", &kept, "--dry-run"], None, None).assert_status(0);
    assert!(dry.out.contains("The private key is in the vault of where this comes from"), "{dry:#?}");
    run(&other, &["profiles", "import", &sealed], Some(PASSPHRASE), Some("horse battery")).assert_status(0);
    let trace = run(&other, &["trace", "@Press", "--json"], Some(PASSPHRASE), None).assert_status(0).json();
    assert_eq!(trace.last().expect("a verdict")["outcome"], "connected");
}

#[test]
fn a_command_line_becomes_a_saved_connection() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions { require_certificate: true, ..Default::default() });
    let line = format!(
        "$ mosquitto_sub -h localhost -p {} --cafile {} \\\n  --cert '{}' --key '{}' -t 'plant/#' -q 1 | tee x\n",
        broker.mqtts,
        text(&bench.pki.ca),
        text(&bench.pki.client.cert),
        text(&bench.pki.client.key),
    );
    let done = bench.run_with_input(&["profiles", "import", "-"], line.as_bytes()).assert_status(0);
    assert!(done.out.contains(&format!("localhost  mqtts://localhost:{}", broker.mqtts)), "{done:#?}");
    assert!(done.err.contains("What comes after | is another command"), "{done:#?}");
    let shown = bench.run(&["profiles", "show", "localhost", "--json"]).assert_status(0).json();
    assert_eq!(shown[0]["settings"]["subscriptions"][0]["filter"], "plant/#");
    let trace = bench.run(&["trace", "@localhost", "--json"]).assert_status(0).json();
    assert_eq!(trace.last().expect("a verdict")["outcome"], "connected");
    bench
        .run_with_input(&["profiles", "import", "-"], b"ls -la")
        .assert_status(2)
        .assert_says("mosquitto_sub");
}
