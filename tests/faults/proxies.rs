//! Proxies that work, with and without a login, and ones that refuse. In: what a proxy does. Out: its port,
//! served until the test's runtime ends.

use std::io;

use base64::Engine as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::Certificates;
use super::peers::{self, Script, head_of};

/// The login that proxies know.
pub const USER: &str = "gate";
/// Its password.
pub const PASSWORD: &str = "open sesame";

/// What a proxy does.
#[derive(Debug, Clone, Copy)]
pub enum Proxy {
    /// HTTP CONNECT for all.
    Http,
    /// HTTP CONNECT with a login.
    HttpLogin,
    /// HTTP CONNECT to port 443 alone.
    HttpStrict,
    /// SOCKS 5 for all.
    Socks,
    /// SOCKS 5 with a login.
    SocksLogin,
    /// SOCKS 5 with a login, which hangs up on a wrong one.
    SocksLoginHangsUp,
    /// SOCKS 5 that allows nothing.
    SocksStrict,
    /// SOCKS 5 that hangs up on every target.
    SocksHangsUp,
    /// Something else.
    Other(Script),
    /// Nobody listens.
    Nobody,
}

/// Serves a proxy until the runtime ends.
pub async fn serve(proxy: Proxy, certificates: &Certificates) -> u16 {
    if let Proxy::Other(script) = proxy {
        return peers::serve(script, None, certificates).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = match proxy {
                    Proxy::Http | Proxy::HttpLogin | Proxy::HttpStrict => http(proxy, stream).await,
                    _ => socks(proxy, stream).await,
                };
            });
        }
    });
    port
}

async fn http(proxy: Proxy, mut stream: TcpStream) -> io::Result<()> {
    let head = head_of(&mut stream).await?;
    let target = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let known = head.contains(&format!("Proxy-Authorization: Basic {login}\r\n"));
    let refusal: &[u8] = match proxy {
        Proxy::HttpLogin if !known => {
            b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"gate\"\r\nContent-Length: 0\r\n\r\n"
        }
        Proxy::HttpStrict if !target.ends_with(":443") => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        _ => b"",
    };
    if !refusal.is_empty() {
        return stream.write_all(refusal).await;
    }
    // A name that cannot exist is not looked up: its answer would be that of this machine's name server.
    let found = if target.contains(".invalid:") {
        Err(io::ErrorKind::NotFound.into())
    } else {
        TcpStream::connect(&target).await
    };
    match found {
        Ok(mut there) => {
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            copy_bidirectional(&mut stream, &mut there).await.map(|_| ())
        }
        Err(_) => stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").await,
    }
}

async fn socks(proxy: Proxy, mut stream: TcpStream) -> io::Result<()> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await?;
    if head[0] != 5 {
        return Ok(());
    }
    let mut methods = vec![0; usize::from(head[1])];
    stream.read_exact(&mut methods).await?;
    if matches!(proxy, Proxy::SocksLogin | Proxy::SocksLoginHangsUp) {
        if !methods.contains(&2) {
            return stream.write_all(&[5, 0xff]).await;
        }
        stream.write_all(&[5, 2]).await?;
        stream.read_u8().await?;
        let user = text(&mut stream).await?;
        let password = text(&mut stream).await?;
        let known = user == USER.as_bytes() && password == PASSWORD.as_bytes();
        if !known && matches!(proxy, Proxy::SocksLoginHangsUp) {
            return Ok(());
        }
        stream.write_all(&[1, u8::from(!known)]).await?;
        if !known {
            return Ok(());
        }
    } else {
        stream.write_all(&[5, 0]).await?;
    }
    let mut request = [0; 4];
    stream.read_exact(&mut request).await?;
    let host = match request[3] {
        1 => std::net::Ipv4Addr::from(stream.read_u32().await?).to_string(),
        4 => format!("[{}]", std::net::Ipv6Addr::from(stream.read_u128().await?)),
        _ => String::from_utf8_lossy(&text(&mut stream).await?).into_owned(),
    };
    let port = stream.read_u16().await?;
    if matches!(proxy, Proxy::SocksHangsUp) {
        return Ok(());
    }
    if matches!(proxy, Proxy::SocksStrict) {
        return stream.write_all(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]).await;
    }
    match TcpStream::connect(format!("{host}:{port}")).await {
        Ok(mut there) => {
            stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 1]).await?;
            copy_bidirectional(&mut stream, &mut there).await.map(|_| ())
        }
        Err(_) => stream.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await,
    }
}

/// A length and so many bytes.
async fn text(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
