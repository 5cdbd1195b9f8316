//! Files and command lines as people have them, made for these tests: every format and version, and what is wrong
//! with files.
#![allow(clippy::panic, reason = "a test says what it missed")]

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::endpoint::EndpointReason;
use crate::profile::{MqttVersion, Qos, UserProperty};
use crate::vault::{Keep, Keyring, SecretPlace};

fn read(text: &str) -> Result<Plan> {
    Plan::read(text, None, Path::new("/data"))
}

fn plan(text: &str) -> Plan {
    read(text).expect(text)
}

/// The only connection, its secrets and the remarks on it.
fn one(text: &str) -> (Profile, Secrets, Vec<String>) {
    let plan = plan(text);
    let rows = preview(&plan).rows;
    let profile = plan.document.all().next().unwrap_or_else(|| panic!("{:?}", plan.refused)).clone();
    let secrets = plan.facts[&profile.id].secrets.clone();
    (profile, secrets, rows[0].remarks.iter().map(brief).collect())
}

fn brief(remark: &ImportRemark) -> String {
    let ImportRemark { code, field, value, used, .. } = remark;
    let code = serde_json::to_value(code).expect("code");
    format!("{} {field} {value} {used}", code.as_str().expect("text"))
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn preview(plan: &Plan) -> ImportPreview {
    let dir = tempfile::tempdir().expect("folder");
    let (library, vault) = opened(dir.path());
    plan.preview(&library, &vault).expect("preview")
}

/// A data folder without a keyring.
fn opened(dir: &Path) -> (Arc<Library>, Vault) {
    let library = Arc::new(Library::open(&dir.join("heliograph.db")).expect("library"));
    let vault = Vault::new(dir, library.clone(), Keyring::none(), || {});
    (library, vault)
}

fn secret(secrets: &Secrets, field: &SecretField) -> Option<String> {
    secrets.get(field).map(|secret| secret.expose_text().expect("text").to_owned())
}

fn reason(text: &str) -> String {
    let error = read(text).map(|plan| plan.refused.len()).expect_err(text);
    error.details["reason"].as_str().expect("a reason").to_owned()
}

/// What MQTTX 1.8 to 1.13 writes.
fn mqttx() -> Value {
    let text = r##"[{
        "clientId": "mqttx_0badcafe", "name": "Plant north", "clean": false, "protocol": "wss",
        "host": "broker.example", "port": 8084, "keepalive": 30, "connectTimeout": 12, "reconnect": true,
        "reconnectPeriod": 4000, "username": "planta", "password": "canary-mqttx", "path": "/mqtt",
        "certType": "self", "ssl": true, "mqttVersion": "5.0", "unreadMessageCount": 3,
        "clientIdWithTime": false, "parentId": null, "orderId": 1, "rejectUnauthorized": true,
        "ALPNProtocols": "[mqtt, x-amzn]", "ca": "/no/ca.pem", "cert": "/no/cert.pem", "key": "/no/key.pem",
        "isCollection": false, "id": "6c1b", "createAt": "2024-01-01 10:00:00", "updateAt": "2024-01-01 10:00:00",
        "messages": [{"payload": "canary-history", "topic": "a"}, {"payload": "b", "topic": "b"}],
        "subscriptions": [
            {"id": "s1", "topic": "plant/#", "qos": 1, "disabled": false, "alias": "All", "color": "#FF0000",
             "createAt": "x", "nl": true, "rap": true, "rh": 2, "subscriptionIdentifier": 7},
            {"topic": "alarms", "qos": 2, "disabled": true}
        ],
        "will": {
            "id": "w", "lastWillTopic": "gone", "lastWillPayload": "bye", "lastWillQos": 1, "lastWillRetain": true,
            "properties": {
                "willDelayInterval": 5, "payloadFormatIndicator": true, "messageExpiryInterval": 60,
                "contentType": "text/plain", "responseTopic": "answer",
                "correlationData": {"type": "Buffer", "data": [0, 255]},
                "userProperties": {"site": "north"}
            }
        },
        "properties": {
            "sessionExpiryInterval": null, "receiveMaximum": 20, "maximumPacketSize": 1000,
            "topicAliasMaximum": 10, "requestResponseInformation": true, "requestProblemInformation": false,
            "userProperties": {"a": ["1", "2"], "b": "3"},
            "authenticationMethod": "SCRAM-SHA-256",
            "authenticationData": {"type": "Buffer", "data": [99, 97, 110, 97, 114, 121]}
        }
    }]"##;
    serde_json::from_str(text).expect("json")
}

#[test]
fn a_connection_of_mqttx_comes_in_whole() {
    let text = mqttx().to_string();
    let (profile, secrets, remarks) = one(&text);
    assert_eq!(
        (profile.name.as_str(), profile.endpoint.url().as_str()),
        ("Plant north", "wss://broker.example:8084/mqtt")
    );
    let settings = &profile.settings;
    assert_eq!((settings.login.enabled, settings.login.username.as_str()), (true, "planta"));
    assert_eq!(secret(&secrets, &SecretField::Password).as_deref(), Some("canary-mqttx"));
    let own = &settings.client_certificate;
    assert_eq!(
        (own.enabled, own.cert_file.as_str(), own.key_file.as_str()),
        (true, "/no/cert.pem", "/no/key.pem")
    );
    assert_eq!(
        (settings.trust.mode, settings.trust.ca_files.as_slice()),
        (TrustMode::CaOnly, &["/no/ca.pem".to_owned()][..])
    );
    assert_eq!(settings.tls.alpn, ["mqtt", "x-amzn"]);
    let session = &settings.session;
    assert_eq!(
        (session.version, session.client_id.as_str(), session.clean_start),
        (MqttVersion::V5, "mqttx_0badcafe", false)
    );
    assert_eq!((session.keep_alive_s, session.session_expiry_s), (30, Some(u32::MAX)));
    assert_eq!(
        (session.receive_maximum, session.maximum_packet_size, session.topic_alias_maximum),
        (Some(20), Some(1000), Some(10))
    );
    assert!(session.request_response_information && !session.request_problem_information);
    let pair = |name: &str, value: &str| UserProperty { name: name.into(), value: value.into() };
    assert_eq!(session.user_properties, [pair("a", "1"), pair("a", "2"), pair("b", "3")]);
    let timing = &settings.timing;
    assert_eq!((timing.connect_timeout_s, timing.reconnect, timing.reconnect_initial_s), (12, true, 4));
    let will = &settings.will;
    assert_eq!(
        (will.enabled, will.topic.as_str(), will.payload.text.as_str(), will.retain),
        (true, "gone", "bye", true)
    );
    assert_eq!(
        (will.qos, will.delay_s, will.properties.message_expiry_s),
        (Qos::AtLeastOnce, Some(5), Some(60))
    );
    assert_eq!(will.properties.correlation_data.as_ref().map(|data| data.text.as_str()), Some("00ff"));
    assert_eq!(will.properties.user_properties, [pair("site", "north")]);
    let [first, second] = &settings.subscriptions[..] else { panic!("{:?}", settings.subscriptions) };
    assert_eq!(
        (first.filter.as_str(), first.label.as_str(), first.qos),
        ("plant/#", "All", Qos::AtLeastOnce)
    );
    assert!(first.enabled && first.no_local && first.retain_as_published && first.retain_handling == 2);
    assert!(!second.enabled && second.qos == Qos::ExactlyOnce);
    assert_eq!(
        remarks,
        [
            "file_missing ca /no/ca.pem",
            "file_missing cert /no/cert.pem",
            "file_missing key /no/key.pem",
            "no_counterpart properties.authenticationMethod",
            "no_counterpart properties.authenticationData",
            "no_counterpart subscriptions[0].subscriptionIdentifier 7",
            "no_counterpart subscriptions[].color",
            "messages_left messages 2",
        ]
    );
    // What is shown, logged or printed holds no secret and no message.
    let plan = plan(&text);
    let shown =
        format!("{:?} {} {plan:?}", preview(&plan), serde_json::to_string(&preview(&plan)).expect("json"));
    assert!(!shown.contains("canary"), "{shown}");
}

/// Versions 1.0 to 1.7: no `protocol`, properties of CONNECT outside, some of the will too, `db.json` as a whole.
#[test]
fn older_versions_of_mqttx_are_read() {
    let old = json!({
        "clientId": "old", "name": "Old", "clean": true, "host": "10.0.0.7", "port": "8883", "keepalive": 60,
        "connectTimeout": 10, "reconnect": false, "username": "", "password": "", "path": "", "certType": "server",
        "ssl": true, "mqttVersion": "3.1.1", "unreadMessageCount": 0, "messages": [], "client": {"connected": false},
        "sessionExpiryInterval": 30, "ca": "", "cert": "", "key": "",
        "subscriptions": [{"topic": "a", "qos": 0, "retain": false, "color": ""}],
        "will": {"lastWillTopic": "", "lastWillPayload": "", "lastWillQos": 0, "lastWillRetain": false, "contentType": ""}
    });
    let database = json!({"windowSize": {"width": 1, "height": 2}, "settings": {"currentLang": "en"},
        "suggestConnections": [], "connections": [old]});
    for text in [old.to_string(), json!([old]).to_string(), database.to_string()] {
        let (profile, secrets, remarks) = one(&text);
        assert_eq!(profile.endpoint.url(), "mqtts://10.0.0.7:8883", "{text}");
        let settings = &profile.settings;
        assert_eq!(
            (settings.login.enabled, settings.will.enabled, settings.timing.reconnect),
            (false, false, false)
        );
        assert_eq!(
            (settings.session.version, settings.session.session_expiry_s),
            (MqttVersion::V311, Some(30))
        );
        assert_eq!(settings.trust.mode, TrustMode::System);
        assert!(secrets.set_fields().is_empty() && remarks.is_empty(), "{remarks:?}");
    }
    let whole = preview(&plan(&database.to_string()));
    assert_eq!(whole.source, ImportSource::Mqttx);
    assert_eq!(whole.remarks.iter().map(brief).collect::<Vec<_>>(), ["no_counterpart settings"]);
}

#[test]
fn what_decides_in_mqttx_decides_here() {
    let with = |changes: Value| {
        let mut all = mqttx();
        let map = all[0].as_object_mut().expect("object");
        map.insert("messages".into(), json!([]));
        map.insert("properties".into(), json!({}));
        map.insert("subscriptions".into(), json!([]));
        for (name, value) in changes.as_object().expect("changes") {
            map.insert(name.clone(), value.clone());
        }
        one(&all.to_string())
    };
    // The transport is `protocol`, whatever `ssl` and certificates say.
    let (profile, _, remarks) = with(json!({"protocol": "ws"}));
    assert_eq!(profile.endpoint.url(), "ws://broker.example:8084/mqtt");
    assert!(remarks.contains(&"transport_decides ssl true protocol ws".to_owned()), "{remarks:?}");
    assert!(remarks.contains(&"certificate_without_tls cert ws".to_owned()), "{remarks:?}");
    let (profile, _, remarks) = with(json!({"rejectUnauthorized": false, "certType": "server"}));
    assert_eq!(
        (profile.settings.trust.mode, profile.settings.client_certificate.enabled),
        (TrustMode::Insecure, false)
    );
    assert!(remarks.contains(&"server_not_verified rejectUnauthorized false".to_owned()), "{remarks:?}");
    assert!(remarks.contains(&"no_counterpart ca /no/ca.pem".to_owned()), "{remarks:?}");
    let (profile, _, remarks) =
        with(json!({"mqttVersion": "3.1", "clientIdWithTime": true, "reconnectPeriod": 0}));
    assert_eq!(
        (profile.settings.session.version, profile.settings.timing.reconnect),
        (MqttVersion::V311, false)
    );
    assert!(remarks.contains(&"changed mqttVersion 3.1 3.1.1".to_owned()), "{remarks:?}");
    assert!(remarks.contains(&"no_counterpart clientIdWithTime true".to_owned()), "{remarks:?}");
    let (profile, _, remarks) = with(json!({"parentId": "c0ffee", "quantum": 7, "accessToken": "canary"}));
    assert_eq!(profile.endpoint.host().to_string(), "broker.example");
    assert!(remarks.contains(&"folder_unnamed parentId MQTTX 1".to_owned()), "{remarks:?}");
    assert!(remarks.contains(&"not_understood quantum 7".to_owned()), "{remarks:?}");
    assert!(remarks.contains(&"not_understood accessToken".to_owned()), "{remarks:?}");
    let (_, _, remarks) =
        with(json!({"keepalive": {"a": 1}, "password": {"x": "canary"}, "clean": "perhaps",
        "will": 7, "ALPNProtocols": {"a": 1}, "subscriptions": [7, {"topic": "a", "qos": 9}]}));
    for wanted in [
        "wrong_value keepalive",
        "wrong_value password",
        "wrong_value clean perhaps",
        "wrong_value will 7",
        "wrong_value ALPNProtocols",
        "not_understood subscriptions[0]",
        "wrong_value subscriptions[1].qos 9",
    ] {
        assert!(remarks.contains(&wanted.to_owned()), "{wanted}: {remarks:?}");
    }
    assert!(!remarks.concat().contains("canary"));
}

#[test]
fn collections_become_folders_and_what_cannot_come_in_is_named() {
    let connection = |name: &str, host: &str| {
        json!({"clientId": "c", "name": name, "host": host, "port": 1883,
        "ssl": false, "mqttVersion": "5.0", "keepalive": 60})
    };
    let text = json!([
        {"id": "1", "name": "North", "isCollection": true, "children": [
            connection("a", "a.example"),
            {"name": "Hall", "isCollection": true, "children": [connection("b", "b.example")]}
        ]},
        connection("top", "c.example"), connection("broken", "no host"), 7
    ])
    .to_string();
    let preview = preview(&plan(&text));
    assert_eq!(preview.folders, ["North", "North / Hall"]);
    let rows: Vec<_> =
        preview.rows.iter().map(|row| (row.index, row.name.as_str(), row.folder.as_deref())).collect();
    assert_eq!(
        rows,
        [
            (Some(0), "top", None),
            (Some(1), "a", Some("North")),
            (Some(2), "b", Some("North / Hall")),
            (None, "broken", None),
        ]
    );
    let why = &preview.rows[3].remarks[0];
    assert!(why.code == RemarkCode::CannotConnect && why.used.contains("space"), "{why:?}");
    assert_eq!((why.reason, why.value.as_str()), (Some(EndpointReason::HostSpace), "no host"));
    assert_eq!(brief(&preview.remarks[0]), "not_understood [3]");
}

fn certificate() -> (String, String) {
    let key = rcgen::KeyPair::generate().expect("key");
    let made = rcgen::CertificateParams::new(vec!["planta".into()])
        .expect("parameters")
        .self_signed(&key)
        .expect("made");
    (made.pem(), key.serialize_pem())
}

fn explorer(certificate: &str, key: &str) -> Value {
    let base64 = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    json!({
        "ConnectionManager_connections": {
            "7b": {
                "configVersion": 1, "certValidation": true, "clientId": "mqtt-explorer-0badcafe", "id": "7b",
                "name": "Plant", "encryption": true, "subscriptions": [{"topic": "#", "qos": 0}, {"topic": "$SYS/#", "qos": 1}],
                "type": "mqtt", "host": "broker.example", "port": 443, "protocol": "ws", "basePath": "ws/mqtt",
                "username": "planta", "password": "canary-explorer",
                "selfSignedCertificate": {"name": "ca.pem", "data": base64(certificate)},
                "clientCertificate": {"name": "c.pem", "data": base64(certificate)},
                "clientKey": {"name": "k.pem", "data": base64(key)}
            },
            "v0": {
                "certValidation": false, "clientId": "mine", "encryption": true, "host": "old.example", "id": "v0",
                "name": "old", "port": 8883, "protocol": "mqtt", "subscriptions": ["a", "b"], "type": "mqtt"
            }
        },
        "Settings": {"topicFilter": ""}
    })
}

#[test]
fn mqtt_explorer_brings_its_certificates_as_files_and_its_keys_into_the_vault() {
    let (certificate, key) = certificate();
    let text = explorer(&certificate, &key).to_string();
    let dir = tempfile::tempdir().expect("folder");
    let plan = Plan::read(&text, None, dir.path()).expect("plan");
    let shown = preview(&plan);
    assert_eq!(shown.remarks.iter().map(brief).collect::<Vec<_>>(), ["no_counterpart Settings"]);
    let [row, old] = &shown.rows[..] else { panic!("{:?}", shown.rows) };
    assert_eq!(
        (row.url.as_str(), row.username.as_deref()),
        ("wss://broker.example:443/ws/mqtt", Some("planta"))
    );
    assert_eq!((row.subscriptions.as_slice(), row.files.len()), (&["#", "$SYS/#"].map(String::from)[..], 2));
    assert_eq!(row.secrets, [SecretField::Password, SecretField::PrivateKey]);
    assert!(row.remarks.is_empty() && !format!("{shown:?} {plan:?}").contains("canary"));
    assert_eq!(
        old.remarks.iter().map(brief).collect::<Vec<_>>(),
        ["server_not_verified certValidation false"]
    );
    assert!(std::fs::read_dir(dir.path()).expect("listed").next().is_none(), "a plan writes nothing");

    let (library, vault) = opened(dir.path());
    vault.choose(Keep::Passphrase, Some(&Secret::new("correct horse"))).expect("chosen");
    let done = plan.apply(None, &library, &vault).expect("applied");
    assert_eq!((done.profiles.len(), done.secrets), (2, 2));
    let profile = library.profile(done.profiles[0].id).expect("there");
    let own = &profile.settings.client_certificate;
    assert!(profile.settings.session.client_id.starts_with("heliograph-"), "a made up one is not kept");
    assert_eq!(profile.settings.session.version, MqttVersion::V311);
    let name = KeyPlace::in_vault(&own.key_file).expect("a key in the vault");
    let der = pem_content(&key);
    assert_eq!(vault.private_key(name).expect("open").expect("there").expose(), der);
    // A part of its middle would be found wherever it lay in the clear, whatever stands around it.
    let middle = &der[der.len() - 40..der.len() - 8];
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &der);
    for form in [middle, &encoded.as_bytes()[40..80]] {
        let found = holding(dir.path(), form);
        assert!(found.is_empty(), "{found:?}");
    }
    assert_eq!(
        std::fs::read_to_string(&own.cert_file).expect("read").replace("\r\n", "\n"),
        certificate.replace("\r\n", "\n")
    );
    assert_eq!((profile.settings.trust.mode, profile.settings.trust.ca_files.len()), (TrustMode::CaOnly, 1));
    let kept = vault.all_of(profile.id).expect("in memory");
    assert_eq!(secret(&kept, &SecretField::Password).as_deref(), Some("canary-explorer"));
    let database = std::fs::read(dir.path().join("heliograph.db")).expect("read");
    assert!(!database.windows(6).any(|part| part == b"canary"));
    let old = library.profile(done.profiles[1].id).expect("there");
    assert_eq!((old.settings.session.client_id.as_str(), old.settings.subscriptions.len()), ("mine", 2));

    // The same again adds, and overwrites nothing.
    let again = Plan::read(&text, None, dir.path())
        .expect("plan")
        .apply(Some(&[0]), &library, &vault)
        .expect("applied");
    assert_eq!((again.profiles.len(), again.profiles[0].name.as_str()), (1, "Plant 2"));
    assert_eq!(library.tree().expect("tree").profiles.len(), 3);
}

/// The vault's own rules hold: what it cannot take now is in memory, and goes in when it opens.
#[test]
fn secrets_wait_for_a_vault_that_is_locked() {
    let dir = tempfile::tempdir().expect("folder");
    let (library, vault) = opened(dir.path());
    let passphrase = Secret::new("correct horse");
    vault.choose(Keep::Passphrase, Some(&passphrase)).expect("chosen");
    vault.lock();
    let (certificate, key) = certificate();
    for (text, secrets, owner) in
        [(mqttx().to_string(), 1, None), (explorer(&certificate, &key).to_string(), 2, Some(key))]
    {
        let plan = Plan::read(&text, None, dir.path()).expect("plan");
        let done = plan.apply(None, &library, &vault).expect("applied");
        assert!(done.secrets == secrets && done.secrets_error.is_none(), "{done:?}");
        let profile = library.profile(done.profiles[0].id).expect("there");
        let id = match owner {
            None => profile.id,
            Some(_) => {
                let name = KeyPlace::in_vault(&profile.settings.client_certificate.key_file);
                ProfileId(name.expect("a key in the vault").0)
            }
        };
        let place = || vault.places(id).expect("places")[0].place;
        assert_eq!(place(), SecretPlace::Session);
        vault.unlock(&passphrase).expect("unlocked");
        assert_eq!(place(), SecretPlace::Passphrase);
        vault.lock();
    }
}

/// Every way to write a key down, and whether it is kept in the clear, as it came, or not at all.
#[test]
fn keys_of_every_kind_are_taken_into_the_vault() {
    let dir = tempfile::tempdir().expect("folder");
    let (certificate, key) = certificate();
    let at = |name: &str| dir.path().join(name);
    let openssl = |arguments: &str| {
        let run =
            std::process::Command::new("openssl").current_dir(dir.path()).args(arguments.split(' ')).output();
        let run = run.expect("openssl");
        assert!(run.status.success(), "{arguments}: {}", String::from_utf8_lossy(&run.stderr));
    };
    std::fs::write(at("c.pem"), &certificate).expect("written");
    std::fs::write(at("k.pem"), &key).expect("written");
    openssl("pkey -in k.pem -traditional -out sec1.pem");
    openssl("pkey -in k.pem -outform DER -out k.der");
    openssl("pkey -in k.pem -aes256 -passout pass:sesame -out locked.pem");
    openssl("ec -in k.pem -aes256 -passout pass:sesame -out legacy.pem");
    openssl("pkcs12 -export -in c.pem -inkey k.pem -out open.p12 -passout pass:");
    openssl("pkcs12 -export -in c.pem -inkey k.pem -out locked.p12 -passout pass:sesame");
    let names = |file: &str, of: &str| -> (Plan, String) {
        let bytes = std::fs::read(at(file)).expect("read");
        let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
        let mut all = explorer(&certificate, "");
        let connection = &mut all["ConnectionManager_connections"]["7b"];
        for name in ["clientCertificate", "clientKey"] {
            if of == name || of != "clientKey" {
                connection[name] = Value::Null;
            }
        }
        connection[of] = json!({ "name": file, "data": data });
        let plan = Plan::read(&all.to_string(), None, dir.path()).expect("plan");
        let own = plan.document.all().next().expect("one").settings.client_certificate.clone();
        (plan, own.key_file)
    };
    let clear = names("k.der", "clientKey").1;
    for (file, of, in_the_clear) in [
        ("k.pem", "clientKey", true),
        ("sec1.pem", "clientKey", true),
        ("open.p12", "clientKey", true),
        ("open.p12", "clientCertificate", true),
        ("locked.pem", "clientKey", false),
        ("legacy.pem", "clientKey", false),
        ("locked.p12", "clientKey", false),
        ("locked.p12", "clientCertificate", false),
    ] {
        let (plan, key_file) = names(file, of);
        assert_eq!(key_file == clear, in_the_clear, "{file} {key_file}");
        let name = KeyPlace::in_vault(&key_file).expect(file);
        assert_eq!(name.wants_passphrase(), !in_the_clear, "{file}");
        let (library, vault) = opened(&dir.path().join(format!("{of}-{file}")));
        vault.choose(Keep::Passphrase, Some(&Secret::new("correct horse"))).expect("chosen");
        let done = plan.apply(None, &library, &vault).expect("applied");
        let profile = library.profile(done.profiles[0].id).expect("there");
        // It is the certificate's, once the passphrase is there; and that is asked for, and nothing else.
        let mut secrets = vault.secrets_for(&profile, |_| None).expect("secrets");
        let load = |secrets: &Secrets| {
            let own = &profile.settings.client_certificate;
            identity::load_client(own, secrets, &mut Vec::new()).map(|found| found.key_matches)
        };
        if !in_the_clear {
            let error = load(&secrets).expect_err(file);
            assert_eq!(error.code, crate::failure::FailureCode::PassphraseRequired, "{file}");
            assert!(error.message.contains("vault") && !error.message.contains("vault:"), "{error}");
            let passphrase = crate::secret::SecretEdit::set(SecretField::KeyPassphrase, "sesame".into());
            vault.set(profile.id, &[passphrase]).expect("set");
            secrets = vault.secrets_for(&profile, |_| None).expect("secrets");
        }
        assert_eq!(load(&secrets), Ok(Some(true)), "{file}");
    }
}

/// The bytes of the only block in PEM text.
fn pem_content(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    let text: String = lines.collect();
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).expect("base64")
}

/// The files below a folder that hold these bytes.
fn holding(folder: &Path, bytes: &[u8]) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("listed").map(|entry| entry.expect("entry").path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => holding(&path, bytes),
            false => {
                let content = std::fs::read(&path).expect("read");
                let found = content.windows(bytes.len()).any(|part| part == bytes);
                if found { vec![path] } else { Vec::new() }
            }
        })
        .collect()
}

#[test]
fn certificates_that_are_none_are_named_and_left_out() {
    let (certificate, key) = certificate();
    let mut all = explorer(&certificate, &key);
    let connection = &mut all["ConnectionManager_connections"]["7b"];
    for (name, data) in [("selfSignedCertificate", "§§§"), ("clientCertificate", "AAAA"), ("clientKey", "")]
    {
        connection[name]["data"] = json!(data);
    }
    connection["encryption"] = json!(false);
    let preview = preview(&plan(&all.to_string()));
    assert_eq!(preview.rows[0].files.len(), 0);
    let remarks: Vec<_> = preview.rows[0].remarks.iter().map(brief).collect();
    assert_eq!(remarks, ["unreadable selfSignedCertificate", "unreadable clientCertificate"]);
    // Certificate and key in one: the key does not go into a file.
    let connection = &mut all["ConnectionManager_connections"]["7b"];
    connection["clientCertificate"]["data"] = json!(format!("{certificate}{key}"));
    connection["clientKey"] = Value::Null;
    let plan = plan(&all.to_string());
    let facts = plan.facts.values().find(|facts| !facts.files.is_empty()).expect("files");
    assert!(facts.files.len() == 1 && facts.key.is_some(), "{facts:?}");
    let remarks: Vec<_> = super::tests::preview(&plan).rows[0].remarks.iter().map(brief).collect();
    assert!(remarks.contains(&"certificate_without_tls clientCertificate ws".to_owned()), "{remarks:?}");
}

/// Command line, URL, version, user name, password, filters, and remarks.
type CommandRow = (
    &'static str,
    &'static str,
    MqttVersion,
    &'static str,
    Option<&'static str>,
    &'static [&'static str],
    &'static [&'static str],
);

#[test]
fn command_lines_mean_what_their_programs_would_do() {
    use MqttVersion::{V5, V311};
    let rows: &[CommandRow] = &[
        (
            "mosquitto_sub -h broker.example -t 'plant/#' -v",
            "mqtt://broker.example:1883",
            V311,
            "",
            None,
            &["plant/#"],
            &["of_the_run -v"],
        ),
        ("$ mosquitto_sub -t '#'", "mqtt://localhost:1883", V311, "", None, &["#"], &[]),
        ("user@host:~$ sudo /usr/bin/mosquitto_sub -t # -h b", "mqtt://b:1883", V311, "", None, &["#"], &[]),
        (
            "C:\\mosquitto\\mosquitto_sub.exe -h b -t a --cafile C:\\certs\\ca.pem",
            "mqtts://b:8883",
            V311,
            "",
            None,
            &["a"],
            &["file_missing --cafile C:\\certs\\ca.pem"],
        ),
        ("mosquitto_sub -h b -p 8883 -t a -t b -q 1", "mqtts://b:8883", V311, "", None, &["a", "b"], &[]),
        ("mosquitto_sub -h b -p 1884 -t a --tls-use-os-certs", "mqtts://b:1884", V311, "", None, &["a"], &[]),
        (
            "mosquitto_sub \\\n  -h b \\  \n  --cert /no/c --key /no/k -t a",
            "mqtt://b:1883",
            V311,
            "",
            None,
            &["a"],
            &["file_missing --cert /no/c", "file_missing --key /no/k", "certificate_without_tls --cert mqtt"],
        ),
        (
            "mosquitto_sub -u planta -P 'can ary' -h b -t a",
            "mqtt://b:1883",
            V311,
            "planta",
            Some("can ary"),
            &["a"],
            &[],
        ),
        (
            "mosquitto_sub -u \"pl an\" -P can\\ ary\\'s -h b -t a",
            "mqtt://b:1883",
            V311,
            "pl an",
            Some("can ary's"),
            &["a"],
            &[],
        ),
        (
            "mosquitto_sub -L mqtts://u:canary@b:8884/plant/+/x",
            "mqtts://b:8884",
            V311,
            "u",
            Some("canary"),
            &["plant/+/x"],
            &[],
        ),
        ("mosquitto_sub -L mqtt://b/#", "mqtt://b:1883", V311, "", None, &["#"], &[]),
        (
            "mosquitto_sub -L ftp://u:canary@b/x -t a",
            "mqtt://localhost:1883",
            V311,
            "",
            None,
            &["a"],
            &["wrong_value -L"],
        ),
        (
            "mosquitto_sub -h b -t '$SYS/#' -V mqttv5 -c -i me -x 60 -k 20 -R --retain-as-published",
            "mqtt://b:1883",
            V5,
            "",
            None,
            &["$SYS/#"],
            &[],
        ),
        ("mosquitto_sub -h b -t a -R", "mqtt://b:1883", V311, "", None, &["a"], &["no_counterpart -R"]),
        (
            "mosquitto_sub -h b -t a -P $SECRET -u ${USER}",
            "mqtt://b:1883",
            V311,
            "",
            None,
            &["a"],
            &["shell_variable -P", "shell_variable -u"],
        ),
        (
            "mosquitto_sub -h b -t a -C 1 -W 3 -F '%p' | jq . && rm x",
            "mqtt://b:1883",
            V311,
            "",
            None,
            &["a"],
            &["of_the_run -C", "of_the_run -W", "of_the_run -F", "rest_of_line |"],
        ),
        (
            "mosquitto_sub -h b -t a --psk canary --psk-identity me --ciphers X -A 1.2.3.4 -S",
            "mqtts://b:8883",
            V311,
            "",
            None,
            &["a"],
            &[
                "no_counterpart --psk",
                "no_counterpart --psk-identity me",
                "no_counterpart --ciphers X",
                "no_counterpart -A 1.2.3.4",
                "no_counterpart -S",
            ],
        ),
        (
            "mosquitto_sub -h b -t a --insecure --cafile /no/ca --tls-version tlsv1.1 --tls-alpn mqtt",
            "mqtts://b:8883",
            V311,
            "",
            None,
            &["a"],
            &[
                "host_not_verified --insecure",
                "file_missing --cafile /no/ca",
                "changed --tls-version tlsv1.1 TLS 1.2",
            ],
        ),
        (
            "mosquitto_sub -h b -t a -D connect session-expiry-interval 9 -D CONNECT user-property k v -D subscribe subscription-identifier 1",
            "mqtt://b:1883",
            V5,
            "",
            None,
            &["a"],
            &["no_counterpart -D subscribe subscription-identifier"],
        ),
        (
            "mosquitto_sub -h b -t a --wonder=canary -y canary",
            "mqtt://b:1883",
            V311,
            "",
            None,
            &["a"],
            &["not_understood --wonder", "not_understood -y", "not_understood …"],
        ),
        (
            "mosquitto_pub -h b -t a -m canary -r -q 1",
            "mqtt://b:1883",
            V311,
            "",
            None,
            &[],
            &["of_the_run -t a", "of_the_run -m", "of_the_run -r", "of_the_run -q 1"],
        ),
        (
            "mosquitto_rr -h b -t a -e c -m canary",
            "mqtt://b:1883",
            V5,
            "",
            None,
            &[],
            &["of_the_run -t a", "of_the_run -e", "of_the_run -m"],
        ),
        (
            "mosquitto_sub -t a -k x -q 7 -V 9 -p",
            "mqtt://localhost:1883",
            V311,
            "",
            None,
            &["a"],
            &["wrong_value -k x", "wrong_value -q 7", "wrong_value -V 9", "wrong_value -p"],
        ),
        (
            "mqttx sub -t a b -q 0 2 -nl true false -rh 1 -h b -p 8083 -l ws --path /ws -u u -P canary",
            "ws://b:8083/ws",
            V5,
            "u",
            Some("canary"),
            &["a", "b"],
            &[],
        ),
        (
            "mqttx sub -l wss -h b -p 8084 -t a --key /no/k --cert /no/c",
            "wss://b:8084/mqtt",
            V5,
            "",
            None,
            &["a"],
            &["file_missing --key /no/k", "file_missing --cert /no/c"],
        ),
        (
            "mqttx conn -h b --protocol=mqtts --port=8883 --insecure -V 3.1.1",
            "mqtts://b:8883",
            V311,
            "",
            None,
            &[],
            &["server_not_verified --insecure"],
        ),
        ("mqttx conn -hb -p1884 -up 'a: b' -se 5", "mqtt://b:1884", V5, "", None, &[], &[]),
        (
            "mqttx pub -h b -t a -m canary -Cup 'a: 1'",
            "mqtt://b:1883",
            V5,
            "",
            None,
            &[],
            &["of_the_run -t a", "of_the_run -m"],
        ),
        (
            "mqttx sub -h b -p 80 -l ws -t a -wh 'Authorization: Bearer canary' 'X-Plant: north'",
            "ws://b:80/mqtt",
            V5,
            "",
            None,
            &["a"],
            &[],
        ),
        (
            "docker run --rm eclipse-mosquitto mosquitto_sub -h b -t a # why",
            "mqtt://b:1883",
            V311,
            "",
            None,
            &["a"],
            &[],
        ),
    ];
    for (line, url, version, username, password, filters, remarks) in rows {
        let (profile, secrets, said) = one(line);
        assert_eq!(profile.endpoint.url(), *url, "{line}");
        let settings = &profile.settings;
        assert_eq!(settings.session.version, *version, "{line}");
        assert_eq!(settings.login.username, *username, "{line}");
        assert_eq!(secret(&secrets, &SecretField::Password).as_deref(), *password, "{line}");
        let found: Vec<_> = settings.subscriptions.iter().map(|sub| sub.filter.as_str()).collect();
        assert_eq!(found, *filters, "{line}");
        let (mut said, mut wanted) =
            (said, remarks.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        said.sort();
        wanted.sort();
        assert_eq!(said, wanted, "{line}");
        let shown = format!("{:?}", preview(&plan(line)));
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[test]
fn the_rest_of_a_command_line_arrives_too() {
    let (profile, secrets, remarks) = one(
        "mosquitto_sub -h b -t a -i me -c -k 20 -V 5 -x 60 --will-topic gone --will-payload bye --will-qos 2 \
         --will-retain --proxy socks5h://u:canary@p:1081 -D will will-delay-interval 4 -D will user-property k v",
    );
    let Settings { session, will, proxy, .. } = &profile.settings;
    assert_eq!((session.client_id.as_str(), session.clean_start, session.keep_alive_s), ("me", false, 20));
    assert_eq!(session.session_expiry_s, Some(60));
    assert_eq!(
        (will.topic.as_str(), will.payload.text.as_str(), will.qos, will.retain, will.delay_s),
        ("gone", "bye", Qos::ExactlyOnce, true, Some(4))
    );
    assert_eq!((proxy.host.as_str(), proxy.port, proxy.username.as_str()), ("p", 1081, "u"));
    assert_eq!(secret(&secrets, &SecretField::ProxyPassword).as_deref(), Some("canary"));
    assert!(remarks.is_empty(), "{remarks:?}");

    let (profile, secrets, _) = one(
        "mqttx sub -t a b -q 0 2 -nl true false -rh 1 -h b -p 80 -l ws -wh 'X-Token: canary' 'X-Plant: n' -rp 2500 --no-clean",
    );
    let [a, b] = &profile.settings.subscriptions[..] else { panic!("two") };
    assert_eq!(
        (a.qos, b.qos, a.no_local, b.no_local, b.retain_handling),
        (Qos::AtMostOnce, Qos::ExactlyOnce, true, false, 1)
    );
    let headers = &profile.settings.websocket.headers;
    assert!(headers[0].secret && headers[0].value.is_empty() && headers[1].value == "n");
    let field = SecretField::WebsocketHeader("x-token".into());
    assert_eq!(secret(&secrets, &field).as_deref(), Some("canary"));
    assert_eq!(
        (profile.settings.timing.reconnect_initial_s, profile.settings.session.session_expiry_s),
        (3, Some(u32::MAX))
    );

    let several = preview(&plan(
        "$ mosquitto_sub -h one -t a\n$ mosquitto_pub -h two -t b -m x; true\nmqttx bench conn\nmqttx conn -h three",
    ));
    let urls: Vec<_> = several.rows.iter().map(|row| row.url.as_str()).collect();
    assert_eq!(urls, ["mqtt://one:1883", "mqtt://two:1883", "mqtt://three:1883"]);
    assert_eq!(brief(&several.remarks[0]), "no_counterpart mqttx bench");
    let home = std::env::home_dir().expect("home").join("ca.pem").to_string_lossy().into_owned();
    for path in ["~/ca.pem", "$HOME/ca.pem"] {
        let (profile, _, _) = one(&format!("mosquitto_sub -t a --cafile {path}"));
        assert_eq!(profile.settings.trust.ca_files, std::slice::from_ref(&home));
    }
    let unix = preview(&plan("mosquitto_sub --unix /run/m.sock -t a"));
    assert_eq!((unix.rows[0].index, unix.rows[0].remarks[0].code), (None, RemarkCode::CannotConnect));
}

#[test]
fn what_is_no_export_says_so() {
    for text in [
        "",
        "  ",
        "hello world",
        "ls -la",
        "mosquitto -c x.conf",
        "<root/>",
        "- clientId: a",
        "[7]",
        "{}",
        "null",
        "{\"a\": 1}",
        "don't",
        "{\"connections\": []}",
    ] {
        assert_eq!(reason(text), "not_known", "{text}");
    }
    for text in [
        "[",
        "{\"a\":",
        "[1,2",
        "{\"format\": \"heliograph-connections\",",
        "mosquitto_sub -t 'open",
        "mqttx sub -t \"x",
    ] {
        assert_eq!(reason(text), "damaged", "{text}");
    }
    let cut = mqttx().to_string();
    assert_eq!(reason(&cut[..cut.len() / 2]), "damaged");
    assert_eq!(reason(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))), "damaged");
    assert_eq!(reason(&format!("[{{\"messages\": {}", "[".repeat(100_000))), "damaged");
    for text in [
        "[]",
        "{\"ConnectionManager_connections\": {}}",
        "{\"ConnectionManager_connections\": 7}",
        "mqttx bench conn",
    ] {
        assert_eq!(reason(text), "empty", "{text}");
    }
    let connection = json!({"host": "a", "clientId": "c", "ssl": false, "mqttVersion": "5.0"});
    let many = json!(vec![connection; MOST_CONNECTIONS + 5]).to_string();
    assert_eq!(reason(&many), "too_many");
    assert!(read(&mqttx().to_string()).is_ok() && read(&format!("\u{feff}\n{}", mqttx())).is_ok());
}

/// A history of a hundred thousand messages is counted, and not kept.
#[test]
fn a_long_history_is_counted_and_left_behind() {
    let mut all = mqttx();
    let message = json!({"payload": "x".repeat(100), "topic": "plant/line/sensor", "qos": 0, "properties": {"a": null}});
    all[0]["messages"] = json!(vec![message; 100_000]);
    let (_, _, remarks) = one(&all.to_string());
    assert!(remarks.contains(&"messages_left messages 100000".to_owned()), "{remarks:?}");
}

#[test]
fn remarks_are_bounded() {
    let mut all = mqttx();
    for number in 0..500 {
        all[0][format!("x{number}")] = json!("y".repeat(10_000));
    }
    let (_, _, remarks) = one(&all.to_string());
    assert!(remarks.len() < 70 && remarks.last().expect("some").starts_with("more"), "{}", remarks.len());
    assert!(remarks.iter().all(|remark| remark.len() < 200));
}

#[test]
fn hostile_values_stay_values() {
    let hostile = "'); DROP TABLE profile;-- <img src=x onerror=alert(1)> \u{202e}\u{0}\n";
    let text = json!([{"clientId": hostile, "name": hostile, "host": "a", "port": 1883, "ssl": false, "mqttVersion": "5.0",
        "username": hostile, "path": "/../../etc", "subscriptions": [{"topic": hostile, "alias": hostile}]}]).to_string();
    let dir = tempfile::tempdir().expect("folder");
    let library = Library::open(&dir.path().join("heliograph.db")).expect("library");
    let vault = Vault::new(
        dir.path(),
        Arc::new(Library::open(&dir.path().join("v.db")).expect("library")),
        Keyring::none(),
        || {},
    );
    let done = plan(&text).apply(None, &library, &vault).expect("applied");
    let profile = library.profile(done.profiles[0].id).expect("there");
    assert_eq!(profile.settings.login.username, hostile);
    assert!(!profile.name.contains(['\0', '\n']));
    // What is shown of them before, in the window and by `helio`, is one line each.
    let shown = preview(&plan(&text));
    let row = &shown.rows[0];
    let texts = row.subscriptions.iter().chain(&row.username).cloned();
    let texts: Vec<_> = texts.chain(row.remarks.iter().map(ImportRemark::sentence)).collect();
    assert!(texts.len() > 2, "{texts:?}");
    assert!(!texts.iter().any(|text| text.contains(char::is_control)), "{texts:?}");
    for port in [json!(-1), json!(70_000), json!("1883; rm"), json!(1.5), json!([1])] {
        let text = json!([{"clientId": "c", "host": "a", "port": port, "ssl": false, "mqttVersion": "5.0"}])
            .to_string();
        let plan = plan(&text);
        assert!(plan.refused.len() == 1 || port.is_array(), "{port}");
    }
}

/// What an export with secrets holds comes in again as it was, secrets included.
fn round_trip(profiles: &[(Profile, Secrets)]) {
    let dir = tempfile::tempdir().expect("folder");
    let at = |name: &str| dir.path().join(name);
    let (from, from_vault) = opened(&at("from"));
    let folder = from.create_folder("Plants").expect("folder");
    for (index, (profile, secrets)) in profiles.iter().enumerate() {
        from.save(profile, (index % 2 == 1).then_some(folder)).expect("saved");
        from_vault.put_all(profile.id, secrets).expect("kept");
    }
    let passphrase = Secret::new("correct horse");
    let sealed =
        crate::export::with_secrets(&from, &from_vault, &at("from"), None, &passphrase).expect("written");
    let plain = crate::export::without_secrets(&from, None).expect("written");
    let (to, to_vault) = opened(&at("to"));
    let plan = Plan::read(&sealed.text, Some(&passphrase), &at("to")).expect("read");
    assert_eq!(plan.secrets(), sealed.summary.secrets as usize);
    plan.apply(None, &to, &to_vault).expect("applied");
    assert_eq!(crate::export::without_secrets(&to, None).expect("written").text, plain.text);
    for (profile, secrets) in profiles {
        let kept = to_vault.all_of(profile.id).expect("there");
        let values = |secrets: &Secrets| {
            let fields = secrets.set_fields().into_iter();
            fields
                .map(|field| (field.key(), secrets.get(&field).map(|s| s.expose().to_vec())))
                .collect::<Vec<_>>()
        };
        assert_eq!(values(&kept), values(secrets));
    }
}

/// A connection whose certificate is in a file of ours and whose key is in the vault, in a data folder of its own.
fn with_a_key(data: &Path) -> (Profile, Arc<Library>, Vault) {
    let (certificate, key) = certificate();
    let (library, vault) = opened(data);
    vault.choose(Keep::Passphrase, Some(&Secret::new("correct horse"))).expect("chosen");
    let plan = Plan::read(&explorer(&certificate, &key).to_string(), None, data).expect("plan");
    let done = plan.apply(Some(&[0]), &library, &vault).expect("applied");
    (library.profile(done.profiles[0].id).expect("there"), library, vault)
}

/// What belongs to a key in the vault goes along in an export with secrets, and is exact in another data folder; in
/// one without, it is said by name what is missing.
#[test]
fn keys_in_the_vault_go_along_in_sealed_exports_alone() {
    let dir = tempfile::tempdir().expect("folder");
    let at = |name: &str| dir.path().join(name);
    let (profile, library, vault) = with_a_key(&at("from"));
    let key_file = &profile.settings.client_certificate.key_file;
    let name = KeyPlace::in_vault(key_file).expect("in the vault");
    let key = vault.private_key(name).expect("open").expect("there");
    // Two connections, one key.
    let twin = Profile { id: ProfileId::random(), name: "Twin".into(), ..profile.clone() };
    library.save(&twin, None).expect("saved");
    let passphrase = Secret::new("battery staple");
    let sealed =
        crate::export::with_secrets(&library, &vault, &at("from"), None, &passphrase).expect("written");
    assert_eq!((sealed.summary.secrets, sealed.summary.without_key.len()), (2, 0), "{:?}", sealed.summary);
    let plain = crate::export::without_secrets(&library, None).expect("written");
    assert_eq!(plain.summary.without_key, ["Plant", "Twin"]);
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key.expose());
    for export in [&sealed.text, &plain.text] {
        assert!(!export.contains(&text[40..80]));
    }

    let (there, there_vault) = opened(&at("to"));
    there_vault.choose(Keep::Passphrase, Some(&Secret::new("another one"))).expect("chosen");
    let plan = Plan::read(&sealed.text, Some(&passphrase), &at("to")).expect("read");
    assert!(!format!("{plan:?}").contains(&text[40..80]));
    let rows = plan.preview(&there, &there_vault).expect("preview").rows;
    assert_eq!(rows[0].secrets, [SecretField::Password, SecretField::PrivateKey]);
    assert_eq!((rows[1].secrets.as_slice(), rows[1].files.len()), (&[SecretField::PrivateKey][..], 2));
    assert!(rows.iter().all(|row| row.remarks.is_empty()), "{rows:?}");
    // One row takes the key along.
    let done = plan.apply(Some(&[1]), &there, &there_vault).expect("applied");
    assert_eq!((done.secrets, done.profiles.len()), (1, 1));
    let kept = there_vault.private_key(name).expect("open").expect("there");
    assert_eq!(kept.expose(), key.expose());
    let came = there.profile(twin.id).expect("there");
    let own = &came.settings.client_certificate;
    assert_eq!(&own.key_file, key_file);
    assert!(Path::new(&own.cert_file).starts_with(at("to")), "{own:?}");
    let secrets = there_vault.secrets_for(&came, |_| None).expect("secrets");
    let loaded = identity::load_client(own, &secrets, &mut Vec::new()).expect("an identity");
    assert_eq!(loaded.key_matches, Some(true));
    // But for the paths of files that are ours, it is what it was, and as often as one likes.
    let same = |mut other: Profile, like: &Profile| {
        let (settings, wanted) = (&mut other.settings, &like.settings);
        settings.client_certificate.cert_file.clone_from(&wanted.client_certificate.cert_file);
        settings.trust.ca_files.clone_from(&wanted.trust.ca_files);
        assert_eq!(&other, like);
    };
    same(came.clone(), &twin);
    let again =
        crate::export::with_secrets(&there, &there_vault, &at("to"), None, &passphrase).expect("written");
    let back = Plan::read(&again.text, Some(&passphrase), &at("from")).expect("read");
    assert_eq!(back.document.all().next(), Some(&twin), "the paths are those of the folder again");

    // Without secrets the row says what is missing where it is missing.
    let remarks = |library: &Library, vault: &Vault| {
        let rows = plan_of(&plain.text).preview(library, vault).expect("preview").rows;
        rows.iter().flat_map(|row| row.remarks.iter().map(brief)).collect::<Vec<_>>()
    };
    assert_eq!(remarks(&there, &there_vault), Vec::<String>::new(), "it is here");
    let (empty, empty_vault) = opened(&at("empty"));
    assert_eq!(remarks(&empty, &empty_vault), ["key_left settings.client_certificate.key_file"; 2]);
    let mut plan = plan;
    plan.without_secrets();
    assert_eq!(plan.secrets(), 0);
    let rows = plan.preview(&empty, &empty_vault).expect("preview").rows;
    assert!(rows.iter().all(|row| row.secrets.is_empty() && row.remarks.len() == 1), "{rows:?}");
}

fn plan_of(text: &str) -> Plan {
    Plan::read(text, None, Path::new("/data")).expect("read")
}

/// A sealed file that somebody made on purpose: a key comes in under the name of what it is, so that it takes no
/// other's place; what is no key is left out and said.
#[test]
fn a_key_cannot_take_the_place_of_another() {
    let dir = tempfile::tempdir().expect("folder");
    let (profile, library, vault) = with_a_key(dir.path());
    let name = KeyPlace::in_vault(&profile.settings.client_certificate.key_file).expect("in the vault");
    let key = vault.private_key(name).expect("open").expect("there");
    let export = crate::export::without_secrets(&library, None).expect("written").text;
    let passphrase = Secret::new("battery staple");
    for (planted, said) in [(pem_content(&certificate().1), 0), (b"no key".to_vec(), 1)] {
        let mut secrets = Secrets::default();
        secrets.put(SecretField::PrivateKey, Some(Secret::new(planted)));
        let whole = WholeExport {
            export: export.clone(),
            secrets: vec![(ProfileId(name.0), secrets)],
            ..WholeExport::default()
        };
        let text = sealed_text::seal_export(whole, &passphrase).expect("sealed");
        let plan = Plan::read(&text, Some(&passphrase), dir.path()).expect("read");
        assert_eq!(plan.secrets(), 0, "nobody names it");
        let remarks = plan.preview(&library, &vault).expect("preview").remarks;
        assert_eq!(remarks.len(), said, "{remarks:?}");
        plan.apply(None, &library, &vault).expect("applied");
        let kept = vault.private_key(name).expect("open").expect("there");
        assert_eq!(kept.expose(), key.expose());
    }
}

#[test]
fn a_wrong_value_in_an_export_of_ours_is_told_row_by_row_and_the_rest_comes_in() {
    let dir = tempfile::tempdir().expect("folder");
    let (library, vault) = opened(&dir.path().join("empty"));
    let connection = |name: &str, endpoint: Value, settings: Value| json!({ "id": Uuid::new_v4(), "name": name, "endpoint": endpoint, "settings": settings });
    let endpoint = json!({ "websocket": true, "tls": true, "host": "a", "port": "443", "path": "/mqtt" });
    let document = json!({
        "format": FORMAT,
        "version": 1,
        "profiles": [
            connection("a", endpoint.clone(), json!({
                "session": { "keep_alive_s": 70_000, "client_id": "press-4" },
                "trust": { "ca_files": ["/ca.pem", 7] },
                "websocket": { "headers": [{ "name": "X-Token", "value": "canary", "secret": "yes" }] },
                "login": { "enabled": "yes", "username": ["canary"] },
            })),
            7,
        ],
        "folders": [{ "id": Uuid::new_v4(), "name": "Plants", "profiles": [
            connection("b", json!({ "tls": "yes", "host": "b" }), json!({})),
            connection("c", json!({ "host": "no host" }), json!({})),
            connection("d", endpoint, json!({})),
        ] }],
    });
    let plan = Plan::read(&document.to_string(), None, dir.path()).expect("read");
    let preview = plan.preview(&library, &vault).expect("preview");
    let rows: Vec<_> = (preview.rows.iter())
        .map(|row| (row.name.as_str(), row.index, row.remarks.iter().map(brief).collect::<Vec<_>>()))
        .collect();
    assert_eq!(
        rows,
        [
            (
                "a",
                Some(0),
                vec![
                    "replaced settings.login.enabled yes false".to_owned(),
                    "wrong_value settings.login.username".to_owned(),
                    "replaced settings.session.keep_alive_s 70000 60".to_owned(),
                    "wrong_value settings.trust.ca_files[1] 7".to_owned(),
                    "replaced settings.websocket.headers[0].secret true".to_owned(),
                ]
            ),
            ("d", Some(1), vec![]),
            ("b", None, vec!["no_endpoint endpoint.tls yes".to_owned()]),
            ("c", None, vec![brief(&preview.rows[3].remarks[0])]),
        ]
    );
    assert_eq!(preview.rows[3].remarks[0].reason, Some(EndpointReason::HostSpace));
    assert_eq!(preview.rows[2].folder.as_deref(), Some("Plants"));
    let whole: Vec<_> = preview.remarks.iter().map(brief).collect();
    assert_eq!(whole, ["wrong_value profiles[1] 7"]);
    for remark in preview.rows.iter().flat_map(|row| &row.remarks) {
        let said = remark.sentence();
        assert!(["editor", "file", "host"].iter().any(|what| said.contains(what)), "says what to do: {said}");
    }
    assert!(!format!("{preview:?}").contains("canary"));
    let done = plan.apply(None, &library, &vault).expect("applied");
    assert_eq!(done.profiles.len(), 2);
    let came = library.profile(done.profiles[0].id).expect("there").settings;
    assert_eq!((came.session.client_id.as_str(), came.session.keep_alive_s), ("press-4", 60));
    assert_eq!(came.trust.ca_files, ["/ca.pem"]);
    // Whether it is a secret was not to be understood: it is one.
    assert_eq!(came.websocket.headers[0].value, "");
    let kept = vault.all_of(done.profiles[0].id).expect("in memory");
    let field = SecretField::WebsocketHeader("x-token".into());
    assert_eq!(secret(&kept, &field).as_deref(), Some("canary"));
}

#[test]
fn fields_of_an_export_of_ours_that_nobody_knows_are_told_and_the_rest_comes_in() {
    let dir = tempfile::tempdir().expect("folder");
    let (_, library, _) = with_a_key(dir.path());
    library.create_folder("Plants").expect("folder");
    let text = crate::export::without_secrets(&library, None).expect("written").text;
    let mut value: Value = serde_json::from_str(&text).expect("json");
    value["shade"] = json!(7);
    value["nothing"] = Value::Null;
    value["folders"][0]["shade"] = json!("blue");
    let profile = &mut value["profiles"][0];
    profile["shade"] = json!(false);
    profile["endpoint"]["quic"] = json!(true);
    profile["settings"]["trust"]["mode2"] = json!("canary-of-a-later-version");
    profile["settings"]["subscriptions"][1]["share"] = json!({ "name": "a" });
    profile["settings"]["websocket"]["headers"] =
        json!([{ "name": "X-Token", "value": "canary-header", "secret": true }]);
    let (empty, vault) = opened(&dir.path().join("empty"));
    let plan = Plan::read(&value.to_string(), None, dir.path()).expect("read");
    let preview = plan.preview(&empty, &vault).expect("preview");
    let said: Vec<_> = preview.rows[0].remarks.iter().map(brief).collect();
    assert_eq!(
        said,
        [
            "not_understood endpoint.quic",
            "not_understood settings.subscriptions[1].share",
            "not_understood settings.trust.mode2",
            "not_understood shade",
            "key_left settings.client_certificate.key_file",
        ]
    );
    let whole: Vec<_> = preview.remarks.iter().map(brief).collect();
    assert_eq!(whole, ["not_understood shade", "not_understood folders[0].shade"]);
    assert!(!format!("{preview:?} {plan:?}").contains("canary"));
    let done = plan.apply(None, &empty, &vault).expect("applied");
    // What is understood is all there, and a value that an export of ours never has is a secret.
    let came = empty.profile(done.profiles[0].id).expect("there");
    assert_eq!(came.settings.subscriptions.len(), 2);
    assert_eq!(came.settings.websocket.headers[0].value, "");
    let field = SecretField::WebsocketHeader("x-token".into());
    let kept = vault.all_of(came.id).expect("in memory");
    assert_eq!(secret(&kept, &field).as_deref(), Some("canary-header"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_export_with_secrets_comes_back_exactly(
        all in prop::collection::vec(
            (any::<String>(), "[a-z]{1,9}", any::<u16>(), prop::collection::vec(any::<u8>(), 0..40), any::<[bool; 4]>(), any::<String>()),
            0..5,
        ),
    ) {
        let profiles: Vec<_> = all.into_iter().map(|(name, host, number, bytes, [websocket, tls, clean, login], text)| {
            let endpoint = EndpointParts { websocket, tls, host, port: String::new(), path: "/x".into() };
            let mut settings = Settings::default();
            settings.login.enabled = login;
            settings.login.username.clone_from(&text);
            settings.session.clean_start = clean;
            settings.session.keep_alive_s = number;
            settings.session.user_properties = vec![UserProperty { name: text.clone(), value: text }];
            let name = name.replace('\0', "");
            let profile = draft::build(ProfileDraft { id: ProfileId::random(), name, endpoint, settings }).expect("built");
            let mut secrets = Secrets::default();
            secrets.put(SecretField::Password, Some(Secret::new(bytes.clone())));
            // Used now or not: what is kept goes along.
            for field in [SecretField::KeyPassphrase, SecretField::TokenPin, SecretField::ProxyPassword] {
                secrets.put(field, tls.then(|| Secret::new(bytes.clone())));
            }
            secrets.put(SecretField::WebsocketHeader("x-a".into()), (number > 9).then(|| Secret::new(bytes)));
            (profile, secrets)
        }).collect();
        round_trip(&profiles);
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), words in prop::collection::vec("-{0,2}[a-zA-Z]{0,3}|[$'\"\\\\#|^`=:/ \n]{0,3}|-D|-L|mqtt://[@:/a]{0,5}", 0..12)) {
        let _ = read(&text);
        for tool in ["mosquitto_sub", "mosquitto_pub", "mosquitto_rr", "mqttx sub", "mqttx conn", "mqttx pub"] {
            let _ = read(&format!("{tool} {}", words.join(" "))).map(|plan| preview(&plan));
        }
    }

    #[test]
    fn no_value_makes_it_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), 0..9_u8), 1..6)) {
        let values = [json!(null), json!(7), json!(-1), json!(1e300), json!("x"), json!([]), json!([{}]), json!({"a": [1]}), json!(true)];
        let (certificate, key) = ("-----BEGIN CERTIFICATE-----", "-----BEGIN");
        for mut all in [mqttx(), explorer(certificate, key)] {
            for (index, value) in &changes {
                replace(&mut all, index, &values[usize::from(*value)]);
            }
            let _ = read(&all.to_string()).map(|plan| preview(&plan));
        }
    }
}

/// Puts a value in the place of some other.
fn replace(all: &mut Value, index: &prop::sample::Index, value: &Value) {
    fn count(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(count).sum::<usize>(),
            Value::Object(map) => map.values().map(count).sum(),
            _ => 0,
        }
    }
    fn put(at: &mut Value, left: &mut usize, value: &Value) {
        if *left == 0 {
            *left = usize::MAX;
            *at = value.clone();
            return;
        }
        *left -= 1;
        match at {
            Value::Array(items) => items.iter_mut().for_each(|item| put(item, left, value)),
            Value::Object(map) => map.values_mut().for_each(|item| put(item, left, value)),
            _ => {}
        }
    }
    let mut left = index.index(count(all));
    put(all, &mut left, value);
}
