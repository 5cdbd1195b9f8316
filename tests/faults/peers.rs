//! Servers that do what real ones will not: one script a behaviour, in the clear or inside TLS. In: a script.
//! Out: a port on loopback, served until the test's runtime ends.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::Certificates;

/// What a server does with a connection.
#[derive(Debug, Clone, Copy)]
pub enum Script {
    /// Nothing, for ever.
    Silent,
    /// Closes in order, at once.
    Closes,
    /// Reads what the client begins with, and closes in order.
    ReadsAndCloses,
    /// Reads what the client begins with, and resets.
    Resets,
    /// Speaks first, then listens.
    Greets(&'static [u8]),
    /// Answers what the client begins with, then listens.
    Says(&'static [u8]),
    /// Answers what the client begins with, then closes in order.
    SaysAndCloses(&'static [u8]),
    /// Answers a byte at a time.
    Trickles(&'static [u8]),
    /// Sends back what it gets.
    Echoes,
    /// Answers with the same for ever.
    Repeats(&'static [u8]),
    /// Answers an HTTP request with this head; `{accept}` is the right Sec-WebSocket-Accept.
    Upgrades(&'static str),
    /// A WebSocket that answers the first message with these bytes, frames included, then listens.
    Frames(&'static [u8]),
    /// A WebSocket that closes TCP after the first message.
    WebsocketThenCloses,
}

/// How a scripted server does TLS.
#[derive(Debug, Clone, Copy)]
pub struct TlsPeer {
    /// Its certificate and key.
    pub certificate: &'static str,
    /// TLS 1.2 and no later.
    pub old: bool,
    /// Whether it asks for a client certificate, and names whom it trusts.
    pub asks: Asks,
}

/// What is asked about client certificates. Whatever comes is taken: it is the script that then closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// Nothing.
    No,
    /// For one, without saying by whom.
    AnyOne,
    /// For one of the plant's.
    Plant,
}

impl TlsPeer {
    /// TLS 1.3 with the good certificate.
    pub const PLAIN: Self = Self { certificate: "server", old: false, asks: Asks::No };

    /// TLS 1.2.
    pub const OLD: Self = Self { old: true, ..Self::PLAIN };
}

/// Serves a script until the runtime ends.
pub async fn serve(script: Script, tls: Option<TlsPeer>, certificates: &Certificates) -> u16 {
    let acceptor = tls.map(|tls| TlsAcceptor::from(Arc::new(tls_config(tls, certificates))));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // What the client does to the connection in the end is its own business.
                let _ = match acceptor {
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => play(script, stream).await,
                        Err(error) => Err(error),
                    },
                    None if matches!(script, Script::Resets) => reset(stream).await,
                    None => play(script, stream).await,
                };
            });
        }
    });
    port
}

/// A port at which requests to connect are refused, as long as its socket is held.
pub fn nobody() -> (u16, socket2::Socket) {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bind");
    let address = socket.local_addr().expect("address");
    (address.as_socket().expect("an address").port(), socket)
}

/// A port whose queue of connections is full: later requests to connect get no answer.
pub fn unanswering() -> (u16, Vec<socket2::Socket>) {
    use socket2::{Domain, Socket, Type};
    let (port, listener) = nobody();
    listener.listen(0).expect("listen");
    let address = listener.local_addr().expect("address");
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
        // The queue holds one or two; those beyond it wait for an answer that never comes.
        let _ = socket.connect_timeout(&address, Duration::from_millis(50));
        sockets.push(socket);
    }
    (port, sockets)
}

async fn play(script: Script, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    match script {
        Script::Silent => pending().await,
        Script::Closes => return stream.shutdown().await,
        Script::ReadsAndCloses | Script::Resets => {
            opening(&mut stream).await?;
            return stream.shutdown().await;
        }
        Script::Greets(bytes) => stream.write_all(bytes).await?,
        Script::Says(bytes) => {
            opening(&mut stream).await?;
            stream.write_all(bytes).await?;
        }
        Script::SaysAndCloses(bytes) => {
            opening(&mut stream).await?;
            stream.write_all(bytes).await?;
            stream.shutdown().await?;
        }
        Script::Trickles(bytes) => {
            opening(&mut stream).await?;
            for byte in bytes {
                stream.write_all(&[*byte]).await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Script::Echoes => {
            let mut bytes = [0; 4096];
            loop {
                let count = stream.read(&mut bytes).await?;
                if count == 0 {
                    return Ok(());
                }
                stream.write_all(&bytes[..count]).await?;
            }
        }
        Script::Repeats(bytes) => {
            opening(&mut stream).await?;
            let many = bytes.repeat(1 + 65_536 / bytes.len());
            loop {
                stream.write_all(&many).await?;
            }
        }
        Script::Upgrades(head) => {
            let accept = accept_of(&head_of(&mut stream).await?);
            stream.write_all(head.replace("{accept}", &accept).as_bytes()).await?;
        }
        Script::Frames(frames) => {
            upgrade(&mut stream).await?;
            opening(&mut stream).await?;
            stream.write_all(frames).await?;
        }
        Script::WebsocketThenCloses => {
            upgrade(&mut stream).await?;
            opening(&mut stream).await?;
            return stream.shutdown().await;
        }
    }
    stream.flush().await?;
    drain(&mut stream).await
}

async fn reset(mut stream: TcpStream) -> io::Result<()> {
    opening(&mut stream).await?;
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

/// What came first.
async fn opening(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut bytes = [0; 4096];
    match stream.read(&mut bytes).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn drain(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}

/// The head of an HTTP request.
pub async fn head_of(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Takes a request for a WebSocket and grants it.
pub async fn upgrade(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let accept = accept_of(&head_of(stream).await?);
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await
}

fn accept_of(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
    tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.trim().as_bytes())
}

fn tls_config(peer: TlsPeer, certificates: &Certificates) -> ServerConfig {
    let chain = CertificateDer::pem_file_iter(certificates.cert(peer.certificate)).expect("certificates");
    let chain = chain.map(|der| der.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_file(certificates.key(peer.certificate)).expect("key");
    let versions = if peer.old { vec![&rustls::version::TLS12] } else { vec![&rustls::version::TLS13] };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions).expect("versions");
    let builder = match peer.asks {
        Asks::No => builder.with_no_client_auth(),
        asks => builder.with_client_cert_verifier(Arc::new(AnyClient::of(asks, certificates))),
    };
    builder.with_single_cert(chain, key).expect("a certificate and its key")
}

/// Asks for a client certificate, and takes what comes.
#[derive(Debug)]
struct AnyClient {
    issuers: Vec<DistinguishedName>,
}

impl AnyClient {
    fn of(asks: Asks, certificates: &Certificates) -> Self {
        let file = certificates.authority("plant");
        let roots = CertificateDer::pem_file_iter(file).expect("authorities");
        let mut store = rustls::RootCertStore::empty();
        store.add_parsable_certificates(roots.map(|der| der.expect("an authority")));
        Self { issuers: if asks == Asks::Plant { store.subjects() } else { Vec::new() } }
    }
}

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.issuers
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
