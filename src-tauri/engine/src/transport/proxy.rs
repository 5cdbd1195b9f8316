//! Through a proxy: HTTP CONNECT (RFC 9110, 9.3.6) or SOCKS 5 (RFC 1928, 1929). In: a stream to the proxy and
//! a target. Out: the same stream, now to the target. Never reads a byte beyond the proxy's own answer.

use std::io;
use std::net::IpAddr;

use base64::Engine as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::plan::ProxyPlan;
use super::wire::{BoxedStream, listen};
use crate::profile::ProxyKind;
use crate::trace::ProxyDetail;

/// Longest answer of an HTTP proxy, in bytes.
const LARGEST_ANSWER: usize = 16 << 10;

/// What the proxy is asked to reach.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Name(String, u16),
    Address(IpAddr, u16),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Address(address, port) => std::net::SocketAddr::new(*address, *port).fmt(f),
        }
    }
}

/// Why the proxy did not let us through.
#[derive(Debug)]
pub(crate) enum ProxyProblem {
    /// It could not be reached, its name could not be found, or it stayed silent.
    Unreachable(String, Option<i32>),
    /// TLS to it failed.
    Tls(String),
    /// It wants credentials, and we have none.
    AuthRequired,
    /// It did not accept ours.
    AuthRejected,
    /// It does not allow this target.
    Denied,
    /// It could not reach the target.
    Target,
    /// It did not answer the request in time.
    Timeout,
    /// It did not get as far as to be asked for the target.
    Silent,
    /// It closed the connection.
    Closed(Option<i32>),
    /// It does not speak the protocol; its first bytes.
    Protocol(Vec<u8>),
}

impl From<io::Error> for ProxyProblem {
    fn from(error: io::Error) -> Self {
        Self::Closed(error.raw_os_error())
    }
}

/// Asks for a tunnel. Fills `detail` with what was said, and notes when the target has been asked for.
pub(crate) async fn tunnel(
    stream: &mut BoxedStream,
    plan: &ProxyPlan,
    target: &Target,
    detail: &mut ProxyDetail,
    asked: &mut bool,
) -> Result<(), ProxyProblem> {
    match plan.kind {
        ProxyKind::Socks5 => socks5(stream, plan, target, detail, asked).await,
        _ => {
            *asked = true;
            http(stream, plan, target, detail).await
        }
    }
}

async fn http(
    stream: &mut BoxedStream,
    plan: &ProxyPlan,
    target: &Target,
    detail: &mut ProxyDetail,
) -> Result<(), ProxyProblem> {
    let mut request = Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes());
    if let Some((username, password)) = &plan.login {
        let mut pair = Zeroizing::new(format!("{username}:").into_bytes());
        pair.extend_from_slice(password.expose());
        let encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(&*pair));
        request.extend_from_slice(b"Proxy-Authorization: Basic ");
        request.extend_from_slice(encoded.as_bytes());
        request.extend_from_slice(b"\r\n");
        detail.sent_credentials = true;
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await?;
    stream.flush().await?;

    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") && !answer.ends_with(b"\n\n") {
        // One byte at a time: whatever follows the answer belongs to the tunnel.
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Err(match answer.is_empty() {
                true => ProxyProblem::Closed(None),
                false => ProxyProblem::Protocol(answer),
            });
        }
        answer.push(byte[0]);
        let begins_like_http = b"HTTP/1.".iter().zip(&answer).all(|(wanted, seen)| wanted == seen);
        if !begins_like_http || answer.len() > LARGEST_ANSWER {
            listen(stream, &mut answer).await;
            return Err(ProxyProblem::Protocol(answer));
        }
    }
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).trim().to_owned();
    let status = line.split_whitespace().nth(1).and_then(|code| code.parse::<u16>().ok());
    detail.answer = Some(line);
    // 407 is a proxy's own; some answer 401 all the same, as to a login that is wrong.
    detail.asked_credentials = matches!(status, Some(401 | 407));
    match status {
        Some(200..=299) => Ok(()),
        Some(401 | 407) if plan.login.is_some() => Err(ProxyProblem::AuthRejected),
        Some(401 | 407) => Err(ProxyProblem::AuthRequired),
        // A web server that is no proxy does not know the method or the form of the request.
        Some(400 | 405 | 501) => Err(ProxyProblem::Protocol(answer)),
        Some(404 | 500..=599) => Err(ProxyProblem::Target),
        Some(400..=499) => Err(ProxyProblem::Denied),
        _ => Err(ProxyProblem::Protocol(answer)),
    }
}

async fn socks5(
    stream: &mut BoxedStream,
    plan: &ProxyPlan,
    target: &Target,
    detail: &mut ProxyDetail,
    asked: &mut bool,
) -> Result<(), ProxyProblem> {
    const NO_AUTH: u8 = 0;
    const PASSWORD: u8 = 2;
    let greeting: &[u8] = if plan.login.is_some() { &[5, 2, NO_AUTH, PASSWORD] } else { &[5, 1, NO_AUTH] };
    stream.write_all(greeting).await?;
    stream.flush().await?;
    match (read::<2>(stream).await?, &plan.login) {
        ([5, NO_AUTH], _) => {}
        ([5, PASSWORD], Some((username, password))) => {
            detail.asked_credentials = true;
            detail.sent_credentials = true;
            let mut message = Zeroizing::new(vec![1, length(username.as_bytes())]);
            message.extend_from_slice(username.as_bytes());
            message.push(length(password.expose()));
            message.extend_from_slice(password.expose());
            stream.write_all(&message).await?;
            stream.flush().await?;
            // RFC 1929, 2: a refusal is said, and then the connection is closed; some only close it.
            let status = match read::<2>(stream).await {
                Ok([_, status]) => status,
                Err(error) if ended(&error) => {
                    detail.answer = Some("closed after user name and password".to_owned());
                    return Err(ProxyProblem::AuthRejected);
                }
                Err(error) => return Err(error.into()),
            };
            if status != 0 {
                detail.answer = Some(format!("authentication failed ({status})"));
                return Err(ProxyProblem::AuthRejected);
            }
        }
        ([5, 0xff], login) => {
            detail.asked_credentials = true;
            detail.answer = Some("no acceptable authentication method".to_owned());
            return Err(match login {
                Some(_) => ProxyProblem::AuthRejected,
                None => ProxyProblem::AuthRequired,
            });
        }
        (bytes, _) => {
            let mut heard = bytes.to_vec();
            listen(stream, &mut heard).await;
            return Err(ProxyProblem::Protocol(heard));
        }
    }

    let mut request = vec![5, 1, 0];
    let port = match target {
        Target::Name(name, port) => {
            request.extend([3, length(name.as_bytes())]);
            request.extend_from_slice(name.as_bytes());
            port
        }
        Target::Address(IpAddr::V4(address), port) => {
            request.push(1);
            request.extend(address.octets());
            port
        }
        Target::Address(IpAddr::V6(address), port) => {
            request.push(4);
            request.extend(address.octets());
            port
        }
    };
    request.extend(port.to_be_bytes());
    *asked = true;
    stream.write_all(&request).await?;
    stream.flush().await?;

    // It has shown that it speaks SOCKS: one that ends the connection now could not, or would not, go on.
    let [version, reply, reserved, kind] = match read::<4>(stream).await {
        Err(error) if ended(&error) => {
            detail.answer = Some("closed instead of a reply".to_owned());
            return Err(ProxyProblem::Target);
        }
        read => read?,
    };
    if version != 5 {
        return Err(ProxyProblem::Protocol(vec![version, reply, reserved, kind]));
    }
    detail.answer = Some(reply_name(reply).to_owned());
    match reply {
        0 => {}
        2 => return Err(ProxyProblem::Denied),
        1 | 3..=6 => return Err(ProxyProblem::Target),
        _ => return Err(ProxyProblem::Protocol(vec![version, reply, reserved, kind])),
    }
    // The address that the proxy uses follows; nobody needs it.
    let more = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(read::<1>(stream).await?[0]),
        _ => return Err(ProxyProblem::Protocol(vec![version, reply, reserved, kind])),
    };
    stream.read_exact(&mut vec![0; more + 2]).await?;
    Ok(())
}

fn ended(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

async fn read<const COUNT: usize>(stream: &mut BoxedStream) -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn length(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).unwrap_or(u8::MAX)
}

/// RFC 1928, 6.
fn reply_name(reply: u8) -> &'static str {
    match reply {
        0 => "succeeded",
        1 => "general SOCKS server failure",
        2 => "connection not allowed by ruleset",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unknown reply",
    }
}
