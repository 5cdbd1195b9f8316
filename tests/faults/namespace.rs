//! Names and routes that no machine has: the rows run in a process of their own, in a network of its own with
//! a scripted name server, routes that forbid, and nothing beyond. In: the name of a test. Out: its result.

use std::net::UdpSocket;
use std::process::Command;

use super::{Row, Server, mqtt, table::row};

/// Set in the process that has the network.
const INSIDE: &str = "HELIOGRAPH_FAULTS_NETWORK";

const SETUP: &str = "ip link set lo up && ip route add unreachable 192.0.2.1 && ip route add prohibit 192.0.2.2 \
                     && mount --bind \"$RESOLV\" /etc/resolv.conf && mount --bind \"$SWITCH\" /etc/nsswitch.conf \
                     && exec \"$0\" \"$@\"";

/// Whether this process has a network of its own.
pub fn inside_namespace() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs a test of this program in a network of its own; says so and returns where none can be had.
pub fn run_in_namespace(test: &str) {
    let folder = tempfile::tempdir().expect("folder");
    let [resolv, switch] = ["resolv.conf", "nsswitch.conf"].map(|name| folder.path().join(name));
    // Longer than the bound of an attempt, shorter than anybody's patience.
    std::fs::write(&resolv, "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n").expect("resolv.conf");
    std::fs::write(&switch, "hosts: files dns\n").expect("nsswitch.conf");
    let network = ["--user", "--map-root-user", "--net", "--mount"];
    let may = Command::new("unshare").args(network).arg("true").output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!("skipped: this machine gives no network namespaces");
        return;
    }
    let output = Command::new("unshare")
        .args(network)
        .args(["--", "sh", "-c", SETUP])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(INSIDE, "1")
        .env("RESOLV", resolv)
        .env("SWITCH", switch)
        .output()
        .expect("unshare");
    print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the rows in a network of their own");
}

/// The rows, with the name server that they ask.
pub fn namespace_rows() -> Vec<Row> {
    let socket = UdpSocket::bind("127.0.0.1:53").expect("the name server's port");
    std::thread::spawn(move || name_server(&socket));
    namespace_table()
}

/// The rows alone.
#[rustfmt::skip]
pub fn namespace_table() -> Vec<Row> {
    let at = |name, host, code, stage, fix, facts| row(name, Server::Host(host), mqtt(), code, stage, fix, facts);
    vec![
        at("name does not exist", "nx.test", "name_not_found", "dns", "set_server", &["name=nx.test"]),
        at("name has no address", "empty.test", "name_not_found", "dns", "set_server", &["name=empty.test"]),
        at("name server fails", "fail.test", "dns_failed", "dns", "retry", &["getaddrinfo"]),
        at("name server is silent", "slow.test", "dns_timeout", "dns", "retry", &["name=slow.test"]),
        at("name leads to a closed port", "broker.test", "connection_refused", "tcp", "", &["errno=111"]),
        at("no route", "198.51.100.1", "network_unreachable", "tcp", "retry", &["errno=101"]),
        at("host unreachable", "192.0.2.1", "host_unreachable", "tcp", "retry", &["errno=113"]),
        at("not permitted", "192.0.2.2", "permission_denied", "tcp", "retry", &["errno=13"]),
    ]
}

/// Answers by the first label of the name that is asked for (RFC 1035, 4.1).
fn name_server(socket: &UdpSocket) {
    let mut question = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut question) {
        let question = &question[..length];
        let label = &question[13..13 + usize::from(question[12])];
        let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap_or(0) + 5;
        let asks_v4 = question[end - 4..end - 2] == [0, 1];
        let (code, answers): (u8, &[u8]) = match label {
            b"nx" => (3, &[]),
            b"fail" => (2, &[]),
            b"empty" => (0, &[]),
            b"broker" if asks_v4 => (0, b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01"),
            b"broker" => (0, &[]),
            _ => continue,
        };
        let mut reply = question[..end].to_vec();
        reply[2..12].copy_from_slice(&[
            0x81,
            0x80 | code,
            0,
            1,
            0,
            u8::from(!answers.is_empty()),
            0,
            0,
            0,
            0,
        ]);
        reply.extend(answers);
        let _ = socket.send_to(&reply, from);
    }
}
