//! The fixtures of `tests/brokers` start what they promise.

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use brokers::{
    Identity, Mosquitto, MosquittoOptions, Nginx, NginxOptions, PASSWORD, Pki, Rabbit, RabbitOptions, USER,
};

fn publish(port: u16, arguments: &[&str], pki: &Pki, client: Option<&Identity>) -> bool {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "localhost", "-p", &port.to_string(), "-q", "1", "-t", "smoke", "-m", "x"]);
    command.args(arguments);
    if let Some(client) = client {
        command.arg("--cafile").arg(&pki.ca).arg("--cert").arg(&client.cert).arg("--key").arg(&client.key);
    }
    command.stderr(Stdio::null()).status().expect("mosquitto_pub").success()
}

/// The status line of a WebSocket request over TLS.
fn upgrade(port: u16, path: &str, headers: &str, pki: &Pki, client: Option<&Identity>) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_return_error", "-connect", &format!("localhost:{port}")]);
    command.arg("-CAfile").arg(&pki.ca);
    if let Some(client) = client {
        command.arg("-cert").arg(&client.cert).arg("-key").arg(&client.key);
    }
    first_line(command.args(["-servername", "localhost"]), path, headers)
}

fn first_line(command: &mut Command, path: &str, headers: &str) -> String {
    use std::io::{BufRead, BufReader};
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("openssl");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n{headers}\r\n"
    );
    // The peer may refuse the certificate before it takes the request.
    let _ = child.stdin.as_mut().expect("stdin").write_all(request.as_bytes());
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("answer");
    let _ = child.kill();
    let _ = child.wait();
    line.trim().to_owned()
}

fn pki(dir: &Path) -> Pki {
    Pki::make(dir)
}

#[test]
fn mosquitto_has_four_listeners_and_asks_for_what_it_was_told() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = pki(dir.path());
    let open = Mosquitto::start(&pki, &MosquittoOptions::default());
    assert!(publish(open.mqtt, &[], &pki, None));
    assert!(publish(open.mqtts, &[], &pki, Some(&pki.client)));
    assert!(upgrade(open.wss, "/mqtt", "", &pki, None).contains(" 101 "));

    let strict = MosquittoOptions { password: true, require_certificate: true, ..Default::default() };
    let strict = Mosquitto::start(&pki, &strict);
    let login = ["-u", USER, "-P", PASSWORD];
    assert!(publish(strict.mqtt, &login, &pki, None));
    assert!(!publish(strict.mqtt, &[], &pki, None));
    assert!(publish(strict.mqtts, &login, &pki, Some(&pki.client)));
    assert!(!publish(strict.mqtts, &login, &pki, Some(&pki.foreign_client)));
    assert!(!publish(strict.mqtts, &login, &pki, Some(&pki.expired_client)));
    assert_eq!(upgrade(strict.wss, "/mqtt", "", &pki, None), "");
}

#[test]
fn nginx_lets_one_path_one_header_and_certified_clients_through() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = pki(dir.path());
    let broker = Mosquitto::start(&pki, &MosquittoOptions::default());
    let nginx = Nginx::start(&pki, broker.ws, &NginxOptions::default());
    let header = "X-Plant: north-3\r\n";
    assert!(upgrade(nginx.port, "/mqtt", header, &pki, Some(&pki.client)).contains(" 101 "));
    assert!(upgrade(nginx.port, "/mqtt", "", &pki, Some(&pki.client)).contains(" 403 "));
    assert!(upgrade(nginx.port, "/other", header, &pki, Some(&pki.client)).contains(" 404 "));
    assert!(upgrade(nginx.port, "/mqtt", header, &pki, None).contains(" 400 "));
    assert!(upgrade(nginx.port, "/mqtt", header, &pki, Some(&pki.foreign_client)).contains(" 400 "));
}

#[test]
fn rabbitmq_speaks_mqtt_and_web_mqtt_over_tls() {
    let dir = tempfile::tempdir().expect("directory");
    let pki = pki(dir.path());
    let rabbit = Rabbit::start(&pki, &RabbitOptions::default());
    assert!(publish(rabbit.mqtt, &[], &pki, None));
    assert!(publish(rabbit.mqtt, &["-u", "guest", "-P", "guest"], &pki, None));
    assert!(publish(rabbit.mqtts, &[], &pki, Some(&pki.client)));
    assert!(!publish(rabbit.mqtts, &[], &pki, Some(&pki.foreign_client)));
    assert!(upgrade(rabbit.wss, Rabbit::PATH, "", &pki, Some(&pki.client)).contains(" 101 "));
    assert_eq!(upgrade(rabbit.wss, Rabbit::PATH, "", &pki, None), "");
}
