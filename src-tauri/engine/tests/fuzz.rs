//! Whatever a peer, a file or a person says: no panic, nothing that outlasts its bound, and no room made for
//! what a length field promises. Bounded here; `./dev fuzz` runs many more cases (`PROPTEST_CASES`).

#[path = "../../../tests/brokers/mod.rs"]
mod brokers;
#[path = "../../../tests/faults/mod.rs"]
mod faults;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use faults::{Ask, Certificates, Proxy, Script, Server, mqtt, mqtts, ws};
use heliograph_engine::endpoint::{Endpoint, Scheme};
use heliograph_engine::identity;
use heliograph_engine::profile::{ClientCertificate, ProxyKind};
use heliograph_engine::secret::{Secret, SecretField, Secrets};
use heliograph_engine::session;
use peak_alloc::PeakAlloc;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What an attempt may need at most, the peer of this process included, whatever it is promised.
const ROOM: usize = 8 << 20;

/// The bound of an attempt, and what a busy machine may add to it.
const BOUND: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(3);

/// How long a peer waits for the client to say something.
const PATIENCE: Duration = Duration::from_millis(30);

/// How many cases each when nobody says.
const CASES: u32 = 48;

/// Memory is the process's: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn check<S: Strategy>(strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let more = std::env::var_os("PROPTEST_CASES").is_some();
    let cases = if more { Config::default().cases } else { CASES };
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    TestRunner::new(config).run(&strategy, test).map_err(|error| error.to_string()).expect("every case");
}

fn bounded<T>(what: impl FnOnce() -> T) -> Result<T, TestCaseError> {
    let (result, room) = measured(what)?;
    prop_assert!(room < ROOM, "{room} bytes");
    Ok(result)
}

/// The result, and how much room it took.
fn measured<T>(what: impl FnOnce() -> T) -> Result<(T, usize), TestCaseError> {
    let (before, began) = (MEMORY.current_usage(), Instant::now());
    MEMORY.reset_peak_usage();
    let result = what();
    let room = MEMORY.peak_usage().saturating_sub(before);
    prop_assert!(began.elapsed() < BOUND + GRACE, "{:?}", began.elapsed());
    Ok((result, room))
}

/// A peer that goes through its script of answers, one after each thing it hears, and closes.
struct Peer {
    runtime: Runtime,
    address: SocketAddr,
    answers: Arc<Mutex<Vec<Vec<u8>>>>,
    certificates: Certificates,
    _folder: tempfile::TempDir,
}

impl Peer {
    fn new(upgrades: bool) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let certificates = Certificates::make(folder.path());
        let runtime = Runtime::new().expect("runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("bind");
        let address = listener.local_addr().expect("address");
        let answers = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
        let script = answers.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answers = script.lock().expect("answers").clone();
                tokio::spawn(play(stream, upgrades, answers));
            }
        });
        Self { runtime, address, answers, certificates, _folder: folder }
    }

    fn meet(&self, ask: &Ask, proxied: bool, answers: Vec<Vec<u8>>) -> Result<(), TestCaseError> {
        *self.answers.lock().expect("answers") = answers;
        let (port, bound) = (self.address.port(), u16::try_from(BOUND.as_secs()).expect("short"));
        let server = Server::Plain(Script::Silent);
        let config = ask.config(&server, port, proxied.then_some(port), bound, &self.certificates);
        let attempt = session::test(config, Arc::new(|_| {}));
        let (trace, room) = measured(|| self.runtime.block_on(attempt))?;
        prop_assert!(trace.verdict.is_some());
        prop_assert!(room < ROOM, "{room} bytes");
        prop_assert_eq!(trace.stages.len(), 7);
        Ok(())
    }
}

async fn play(mut stream: TcpStream, upgrades: bool, answers: Vec<Vec<u8>>) {
    if upgrades && faults::upgrade(&mut stream).await.is_err() {
        return;
    }
    let mut heard = [0; 4096];
    for answer in answers {
        // A client that waits for the rest of an answer says nothing more: the next answer is that rest.
        if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(PATIENCE, stream.read(&mut heard)).await {
            return;
        }
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
    while matches!(stream.read(&mut heard).await, Ok(count) if count > 0) {}
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

/// Something valid, with some of its bytes changed, and cut or lengthened.
fn bent(valid: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (prop::sample::select(valid), changes, any::<prop::sample::Index>(), any::<bool>(), bytes()).prop_map(
        |(mut bytes, changes, cut, shorter, more)| {
            for (index, byte) in changes {
                if !bytes.is_empty() {
                    let at = index.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            match shorter {
                true => bytes.truncate(cut.index(bytes.len() + 1)),
                false => bytes.extend(more),
            }
            bytes
        },
    )
}

fn lists(lists: &[&[u8]]) -> Vec<Vec<u8>> {
    lists.iter().map(|bytes| bytes.to_vec()).collect()
}

#[test]
fn url() {
    let text = prop_oneof![
        ".{0,80}",
        "(mqtt|mqtts|ws|wss|tcp|http|)(:|://|//)[a-z0-9.:@%\\[\\]/?#_ -]{0,60}",
        "[a-z]{1,6}://[^/]{0,20}@?\\[?[0-9a-f:%.]{0,40}\\]?:[0-9]{0,7}/.{0,20}",
    ];
    check(text, |text| {
        let read = bounded(|| Endpoint::parse_url(&text, Scheme::Mqtt))?;
        if let Ok(parsed) = read {
            let url = parsed.endpoint.url();
            let again = Endpoint::parse_url(&url, Scheme::Mqtt);
            prop_assert_eq!(again.map(|again| again.endpoint), Ok(parsed.endpoint), "{}", url);
        }
        Ok(())
    });
}

#[test]
fn connack() {
    let peer = Peer::new(false);
    let valid = lists(&[
        b"\x20\x03\x00\x00\x00",
        b"\x20\x02\x00\x05",
        b"\x20\x25\x00\x9d\x22\x1c\x00\x0eb.example:1884\x1f\x00\x0emoved for good",
        b"\x20\x0b\x00\x00\x08\x21\x00\x0a\x27\x00\x00\x10\x00",
        b"\x20\xff\xff\xff\x7f\x00",
        b"\x20\x03\x00\x00\x00\x30\xff\xff\xff\x7f\x00\x01t\x00",
        b"\xe0\x02\x87\x00",
        b"\xf0\x02\x18\x00",
    ]);
    let answer = prop_oneof![3 => bent(valid), 1 => bytes()];
    check((answer, any::<bool>()), |(answer, old)| {
        let ask = if old { mqtt().v311() } else { mqtt() };
        peer.meet(&ask, false, vec![answer])
    });
}

#[test]
fn http_response() {
    let peer = Peer::new(false);
    let valid = lists(&[
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 99999999999999999999\r\n\r\nnothing",
        b"HTTP/1.1 301 Moved\r\nLocation: https://[::1]:99999/mqtt?x#y\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        b"HTTP/1.1 400 \r\n\r\n",
    ]);
    let answer = prop_oneof![3 => bent(valid), 1 => bytes()];
    check(answer, |answer| peer.meet(&ws(), false, vec![answer]));
}

#[test]
fn websocket_frames() {
    let peer = Peer::new(true);
    let valid = lists(&[
        b"\x82\x05\x20\x03\x00\x00\x00",
        b"\x02\x02\x20\x03\x80\x03\x00\x00\x00",
        b"\x89\x02hi\x82\x05\x20\x03\x00\x87\x00",
        b"\x88\x08\x03\xf0policy",
        b"\x82\x05\x20\x03\x00\x00\x00\x82\x7f\x00\x00\x00\x00\x0f\xff\xff\xff\x30",
        b"\x82\x7e\xff\xff\x20",
        b"\x82\x7f\x00\x00\x00\x00\x11\xff\xff\xff\x20",
        b"\x81\x05hello",
    ]);
    let answer = prop_oneof![3 => bent(valid), 1 => bytes()];
    check(answer, |answer| peer.meet(&ws(), false, vec![answer]));
}

#[test]
fn proxy_answers() {
    let peer = Peer::new(false);
    let http = bent(lists(&[
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\n\r\n",
        b"HTTP/1.0 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno!",
    ]));
    let greeting = bent(lists(&[b"\x05\x00", b"\x05\x02", b"\x05\xff"]));
    let login = bent(lists(&[b"\x01\x00", b"\x01\x01"]));
    let reply = bent(lists(&[
        b"\x05\x00\x00\x01\x7f\x00\x00\x01\x07\x5b",
        b"\x05\x00\x00\x03\xff\x00",
        b"\x05\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    ]));
    check((any::<bool>(), http, greeting, login, reply), |(socks, http, greeting, login, reply)| {
        let proxy = Proxy::Other(Script::Silent);
        match socks {
            false => peer.meet(&mqtt().through(ProxyKind::Http, proxy), true, vec![http]),
            true => {
                let ask = mqtt().through(ProxyKind::Socks5, proxy).proxy_login("ann", "pwd");
                peer.meet(&ask, true, vec![greeting, login, reply])
            }
        }
    });
}

#[test]
fn tls_records() {
    let peer = Peer::new(false);
    let valid = lists(&[
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x030123456789abcdef0123456789abcdef\x00\x13\x01\x00",
        b"\x16\x03\x03\xff\xff\x02\xff\xff\xff",
        b"\x14\x03\x03\x00\x01\x01",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ]);
    let answer = prop_oneof![3 => bent(valid), 1 => bytes()];
    check(answer, |answer| peer.meet(&mqtts(), false, vec![answer]));
}

/// Certificates that a server presents, whatever they are: described, judged and told.
#[test]
fn presented_certificates() {
    let folder = tempfile::tempdir().expect("folder");
    let certificates = Certificates::make(folder.path());
    let names = ["server", "server-no-san", "server-leaf-only", "server-self-signed", "server-version-1"];
    let der = |name: &str| CertificateDer::from_pem_file(certificates.cert(name)).expect("der").to_vec();
    let key = PrivateKeyDer::from_pem_file(certificates.key("server")).expect("key");
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("key");
    let runtime = Runtime::new().expect("runtime");
    let chain = vec(bent(names.map(der).to_vec()), 1..4);
    check(chain, |chain| {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let served = Arc::new(CertifiedKey::new(chain, key.clone()));
        let ask = mqtts();
        let trace = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
            let port = listener.local_addr().expect("address").port();
            let config = rustls::ServerConfig::builder_with_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Presents(served)));
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            tokio::spawn(async move {
                if let Ok((stream, _)) = listener.accept().await {
                    let _ = acceptor.accept(stream).await;
                }
            });
            let server = Server::Plain(Script::Silent);
            session::test(ask.config(&server, port, None, 10, &certificates), Arc::new(|_| {})).await
        });
        prop_assert!(trace.verdict.is_some_and(|verdict| verdict.failure.is_some()));
        Ok(())
    });
}

#[derive(Debug)]
struct Presents(Arc<CertifiedKey>);

impl rustls::server::ResolvesServerCert for Presents {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Files of certificates, keys and both.
#[test]
fn files() {
    let folder = tempfile::tempdir().expect("folder");
    let certificates = Certificates::make(folder.path());
    certificates.encrypt_key("client", "encrypted", "open");
    let read = |path: String| std::fs::read(path).expect("a file");
    let mut valid = vec![
        read(certificates.cert("client-chain")),
        read(certificates.key("client")),
        read(certificates.key("encrypted")),
        read(certificates.cert("odd-curve")),
        certificates.bundle("client", "open"),
        [read(certificates.cert("client")), read(certificates.key("client"))].concat(),
    ];
    let der = CertificateDer::from_pem_file(certificates.cert("client")).expect("der");
    valid.push(der.to_vec());
    let key = PrivateKeyDer::from_pem_file(certificates.key("client")).expect("key");
    valid.push(key.secret_der().to_vec());
    let path = certificates.path("fuzzed.pem");
    let good = ClientCertificate {
        enabled: true,
        cert_file: certificates.cert("client"),
        key_file: certificates.key("client"),
        ..ClientCertificate::default()
    };
    let as_cert = ClientCertificate { cert_file: path.clone(), ..good.clone() };
    let as_key = ClientCertificate { key_file: path.clone(), ..good };
    let passphrase = Secret::new("open");
    let mut secrets = Secrets::default();
    secrets.put(SecretField::KeyPassphrase, Some(passphrase.clone()));
    let uri = b"pkcs11:token=A%20b;object=c;id=%00%ff?module-path=/no/module.so&pin-value=1".to_vec();
    check(bent(vec![uri]), |bytes| {
        bounded(|| {
            let _ = identity::KeyPlace::of(&String::from_utf8_lossy(&bytes));
        })
    });
    check(prop_oneof![4 => bent(valid), 1 => bytes()], |bytes| {
        std::fs::write(&path, &bytes).expect("written");
        bounded(|| {
            let _ = identity::report_file(&path, Some(&passphrase));
            let _ = identity::describe(&bytes);
            let _ = identity::report_client(&as_cert, &secrets);
            let _ = identity::report_client(&as_key, &secrets);
            let _ = identity::load_authorities(std::slice::from_ref(&path), &mut Vec::new());
        })
    });
}
