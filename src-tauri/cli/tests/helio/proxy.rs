//! Through a proxy: a small one of each kind, with a login, that really passes the bytes on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use base64::Engine as _;

use crate::brokers::MosquittoOptions;
use crate::command::{Bench, Helio, text};

/// Serves one connection after the other until the test ends; tells which target each wanted.
fn proxy(serve: fn(TcpStream, &Sender<String>) -> Option<()>) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (tell, targets) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tell = tell.clone();
            std::thread::spawn(move || serve(stream, &tell));
        }
    });
    (port, targets)
}

fn http(stream: TcpStream, tell: &Sender<String>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let target = head.first()?.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    let login = base64::engine::general_purpose::STANDARD.encode("me:öffne dich");
    if !head.contains(&format!("Proxy-Authorization: Basic {login}")) {
        let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n";
        return (&stream).write_all(refusal.as_bytes()).ok();
    }
    (&stream).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
    pass(stream, TcpStream::connect(&target).ok()?, tell, target)
}

fn socks(stream: TcpStream, tell: &Sender<String>) -> Option<()> {
    let mut reader = stream.try_clone().ok()?;
    let mut take = |count: usize| {
        let mut bytes = vec![0; count];
        reader.read_exact(&mut bytes).ok()?;
        Some(bytes)
    };
    let methods = take(2)?[1];
    take(methods.into())?;
    (&stream).write_all(&[5, 2]).ok()?;
    let length = take(2)?[1];
    let user = take(length.into())?;
    let length = take(1)?[0];
    let password = take(length.into())?;
    let known = user == b"me" && password == "öffne dich".as_bytes();
    (&stream).write_all(&[1, u8::from(!known)]).ok()?;
    if !known {
        return None;
    }
    let kind = take(4)?[3];
    let host = match kind {
        1 => take(4)?.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        _ => {
            let length = take(1)?[0];
            String::from_utf8(take(length.into())?).ok()?
        }
    };
    let port = take(2)?;
    let target = format!("{host}:{}", u16::from_be_bytes([port[0], port[1]]));
    (&stream).write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    pass(stream, TcpStream::connect(&target).ok()?, tell, target)
}

fn pass(near: TcpStream, far: TcpStream, tell: &Sender<String>, target: String) -> Option<()> {
    // The test may have seen enough.
    let _ = tell.send(target);
    let (mut from, mut to) = (far.try_clone().ok()?, near.try_clone().ok()?);
    let back = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut &near, &mut &far);
    let _ = far.shutdown(Shutdown::Write);
    back.join().ok()
}

#[test]
fn messages_go_through_proxies_that_want_a_login() {
    let bench = Bench::new();
    let broker = bench.mosquitto(&MosquittoOptions::default());
    let (http, socks) = (proxy(http), proxy(socks));
    for (scheme, (port, targets), by_name) in
        [("http", &http, true), ("socks5h", &socks, true), ("socks5", &socks, false)]
    {
        let proxy = format!("{scheme}://me:%C3%B6ffne%20dich@127.0.0.1:{port}");
        for transport in ["mqtt", "wss"] {
            let url = format!("{transport}://localhost:{}", broker.port(transport));
            let mut words = vec!["--proxy", &proxy, &url, "-t", "proxied"];
            if transport == "wss" {
                words.extend(["--ca", text(&bench.pki.ca)]);
            }
            let mut sub = bench.helio(&[&["sub", "-C", "1", "--debug"], &words[..]].concat());
            sub.says("SUBACK");
            bench.run(&[&["pub", "-m", "hi", "-q", "1"], &words[..]].concat()).assert_status(0);
            let ended = sub.end().assert_status(0);
            assert_eq!(ended.out, "hi\n");
            assert!(!ended.err.contains("dich"), "{}", ended.err);
            for _ in 0..2 {
                let target = targets.recv().expect("a target");
                assert_eq!(target.starts_with("localhost:"), by_name, "{scheme}: {target}");
            }
        }
        let url = format!("mqtt://localhost:{}", broker.mqtt);
        let wrong = ["trace", "--json", &url, "--proxy", &format!("{scheme}://me:no@127.0.0.1:{port}")];
        let verdict = bench.run(&wrong).assert_status(3).json().pop().expect("a verdict");
        assert_eq!((&verdict["stage"], &verdict["code"]), (&"proxy".into(), &"proxy_auth_rejected".into()));
        let mut command =
            bench.command(&["trace", &url, "--proxy", &format!("{scheme}://me@127.0.0.1:{port}")]);
        Helio::start(command.env("HELIO_PROXY_PASSWORD", "öffne dich")).end().assert_status(0);
        targets.recv().expect("a target");
    }
}
