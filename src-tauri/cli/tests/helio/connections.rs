//! Messages over every transport, with every way to authenticate, in both versions of MQTT.

use serde_json::{Value, json};

use crate::brokers::{MosquittoOptions, PASSWORD, PASSWORD_PART, USER};
use crate::command::{Bench, Helio, certificate, login, text};

const TRANSPORTS: [&str; 4] = ["mqtt", "mqtts", "ws", "wss"];

#[test]
fn messages_go_round_on_every_transport_with_every_authentication() {
    let bench = Bench::new();
    for (password, require_certificate) in [(false, false), (true, false), (false, true), (true, true)] {
        let broker =
            bench.mosquitto(&MosquittoOptions { password, require_certificate, ..Default::default() });
        std::thread::scope(|scope| {
            for transport in TRANSPORTS {
                let tls = matches!(transport, "mqtts" | "wss");
                let mut options = Vec::new();
                if tls {
                    options.extend(["--ca", text(&bench.pki.ca), "--ca-only"]);
                }
                if password {
                    options.extend(login());
                }
                if require_certificate && tls {
                    options.extend(certificate(&bench.pki));
                }
                let url = format!("{transport}://localhost:{}", broker.port(transport));
                let bench = &bench;
                scope.spawn(move || {
                    for version in ["5", "3.1.1"] {
                        round_trip(bench, &url, &[&options[..], &["-V", version]].concat());
                    }
                });
            }
        });
    }
}

/// A subscriber with `--json` sees what is published at each QoS; the trace names the transport.
fn round_trip(bench: &Bench, url: &str, options: &[&str]) {
    let words = |first: &[&str], last: &[&str]| -> Vec<String> {
        first.iter().chain([&url]).chain(options).chain(last).map(|word| (*word).to_owned()).collect()
    };
    let run = |words: &[String]| bench.run(&words.iter().map(String::as_str).collect::<Vec<_>>());

    let topic = |qos: u8| format!("{}/{qos}", url.replace(['/', ':'], "-"));
    let sub =
        words(&["sub"], &["-t", &topic(0).replace("/0", "/#"), "-q", "2", "--json", "-C", "3", "--debug"]);
    let mut sub = bench.helio(&sub.iter().map(String::as_str).collect::<Vec<_>>());
    sub.says("SUBACK");
    let sent = [(0, "grün"), (1, "-1"), (2, "")];
    for (qos, payload) in sent {
        run(&words(&["pub"], &["-t", &topic(qos), "-m", payload, "-q", &qos.to_string()])).assert_status(0);
    }
    let ended = sub.end().assert_status(0);
    let got: Vec<_> =
        ended.json().iter().map(|m| (m["topic"].clone(), m["payload"].clone(), m["qos"].clone())).collect();
    assert_eq!(got, sent.map(|(qos, payload)| (json!(topic(qos)), json!(payload), json!(qos))));
    for message in ended.json() {
        assert_is_a_message(&message);
    }
    assert!(!ended.err.contains(PASSWORD_PART), "{}", ended.err);

    let trace = run(&words(&["trace"], &["--json"])).assert_status(0).json();
    let verdict = trace.last().expect("a verdict");
    assert_eq!(verdict["outcome"], "connected");
    assert!(verdict["url"].as_str().is_some_and(|said| said.starts_with(url)), "{verdict}");
    assert_eq!((&verdict["stage"], &verdict["code"]), (&Value::Null, &Value::Null));
    let ran = |name: &str| trace.iter().any(|stage| stage["stage"] == name && stage["outcome"] == "ok");
    assert_eq!(ran("tls"), url.starts_with("mqtts") || url.starts_with("wss"), "{trace:#?}");
    assert_eq!(ran("websocket"), url.starts_with("ws"), "{trace:#?}");
    for stage in &trace[..trace.len() - 1] {
        let whole = stage["outcome"] == "skipped" || stage["micros"].is_u64() && stage["detail"].is_object();
        assert!(stage["stage"].is_string() && whole, "{stage}");
    }
}

/// The shape of a line of `helio sub --json`.
fn assert_is_a_message(message: &Value) {
    let object = message.as_object().expect("an object");
    let mut names: Vec<_> = object.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["dup", "encoding", "payload", "properties", "qos", "retain", "time", "topic"]);
    assert!(
        message["properties"].is_object() && message["retain"].is_boolean() && message["dup"].is_boolean()
    );
    let time = message["time"].as_str().expect("a time");
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
}

#[test]
fn bytes_that_are_no_text_and_properties_are_in_the_json() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions::default());
    let url = format!("mqtt://localhost:{}", broker.mqtt);
    std::fs::write(bench.path("payload"), [0xff, 0, 1]).expect("a file");
    bench
        .run(&[
            "pub",
            &url,
            "-t",
            "kept",
            "-f",
            &bench.path("payload"),
            "-r",
            "-q",
            "1",
            "--json",
            "--content-type",
            "application/x",
            "--response-topic",
            "answers",
            "--correlation-data",
            "id",
            "--message-user-property",
            "a=b",
            "--message-user-property",
            "a=c",
        ])
        .assert_status(0);
    let ended = bench.run(&["sub", &url, "-t", "kept", "-C", "1", "--json"]).assert_status(0);
    let message = &ended.json()[0];
    assert_is_a_message(message);
    assert_eq!((&message["payload"], &message["encoding"]), (&json!("/wAB"), &json!("base64")));
    assert_eq!(message["retain"], true);
    let properties = &message["properties"];
    assert_eq!(properties["content_type"], "application/x");
    assert_eq!(properties["response_topic"], "answers");
    assert_eq!(properties["correlation_data_hex"], "6964");
    let pairs = json!([{"name": "a", "value": "b"}, {"name": "a", "value": "c"}]);
    assert_eq!(properties["user_properties"], pairs);

    let format = "%t|%x|%l|%q|%r|%d|%%";
    let ended = bench.run(&["sub", &url, "-t", "kept", "-C", "1", "-F", format]).assert_status(0);
    assert_eq!(ended.out, "kept|ff0001|3|0|1|0|%\n");
    let ended = bench.run(&["sub", &url, "-t", "none", "-t", "kept", "-C", "1", "-v"]).assert_status(0);
    assert!(ended.out.starts_with("kept "), "{}", ended.out);
}

#[test]
fn standard_input_is_a_payload_or_one_a_line() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions::default());
    let url = format!("mqtt://localhost:{}", broker.mqtt);
    let mut sub = bench.helio(&["sub", &url, "-t", "in", "-q", "1", "-C", "4", "--debug"]);
    sub.says("SUBACK");
    bench.run_with_input(&["pub", &url, "-t", "in", "-s", "-q", "1"], b"whole").assert_status(0);
    let lines = bench
        .run_with_input(&["pub", &url, "-t", "in", "--stdin-lines", "-q", "1", "--json"], b"a\r\n\nlast")
        .assert_status(0);
    assert_eq!(lines.json().iter().filter(|became| became["code"].is_u64()).count(), 3);
    assert_eq!(sub.end().assert_status(0).out, "whole\na\n\nlast\n");
}

#[test]
fn the_password_comes_from_where_it_is_not_seen() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions { password: true, ..Default::default() });
    let url = format!("mqtt://localhost:{}", broker.mqtt);
    let words = ["trace", &url, "-u", USER, "--debug"];
    let from_input = [&words[..], &["--password-stdin"]].concat();
    let ended = bench.run_with_input(&from_input, format!("{PASSWORD}\r\n").as_bytes()).assert_status(0);
    assert!(!ended.err.contains(PASSWORD_PART) && !ended.out.contains(PASSWORD_PART));
    ended.assert_says("password masked");
    let mut command = bench.command(&words);
    Helio::start(command.env("HELIO_PASSWORD", PASSWORD)).end().assert_status(0);
    // What is typed comes before what the environment says.
    let mut command = bench.command(&[&words[..], &["-P", "wrong"]].concat());
    Helio::start(command.env("HELIO_PASSWORD", PASSWORD)).end().assert_status(3);
    let both = ["pub", &url, "-t", "a", "-s", "--password-stdin"];
    bench.run_with_input(&both, b"x").assert_status(2).assert_says("Standard input");
}

#[test]
fn encrypted_keys_and_bundles_open_with_a_passphrase_from_anywhere() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions { require_certificate: true, ..Default::default() });
    let (key, p12) = (bench.path("encrypted.key"), bench.path("client.p12"));
    let client = &bench.pki.client;
    let openssl = |words: &[&str]| {
        let status = std::process::Command::new("openssl").args(words).status().expect("openssl");
        assert!(status.success(), "{words:?}");
    };
    let (cert, plain) = (text(&client.cert), text(&client.key));
    openssl(&["pkcs8", "-topk8", "-v2", "aes256", "-in", plain, "-out", &key, "-passout", "pass:sesame"]);
    openssl(&["pkcs12", "-export", "-in", cert, "-inkey", plain, "-out", &p12, "-passout", "pass:sesame"]);
    let ca = text(&bench.pki.ca);
    for transport in ["mqtts", "wss"] {
        let url = format!("{transport}://localhost:{}", broker.port(transport));
        for identity in [&["--cert", cert, "--key", &key][..], &["--p12", &p12]] {
            let words = [&["trace", &url, "--ca", ca, "--json"], identity].concat();
            bench.run(&[&words[..], &["--key-password", "sesame"]].concat()).assert_status(0);
            let mut command = bench.command(&words);
            let ended = Helio::start(command.env("HELIO_KEY_PASSWORD", "sesame")).end().assert_status(0);
            assert!(!ended.out.contains("sesame"), "{}", ended.out);
            for (passphrase, code) in [("", "passphrase_required"), ("wrong", "passphrase_wrong")] {
                let mut command = bench.command(&words);
                let ended =
                    Helio::start(command.env("HELIO_KEY_PASSWORD", passphrase)).end().assert_status(2);
                assert_eq!(ended.json().pop().expect("a verdict")["code"], code);
            }
        }
    }
}
