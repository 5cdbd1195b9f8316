//! The WebSocket handshake.

use rustls::Error as TlsError;

use super::certificates::{self, Sign};
use super::peer::{Peer, recognise};
use super::{
    how_it_closed, other_path, other_port, probe, retry, switch_transport, switch_transport_here, with_bytes,
    with_end,
};
use crate::endpoint::Scheme;
use crate::failure::{CredentialTarget, Failure, FailureCode, FixAction};
use crate::trace::Stage;
use crate::transport::{Ended, HttpAnswer, Plan, WebsocketProblem, Wire, tls_error};

const STAGE: Stage = Stage::Websocket;

/// There is no WebSocket.
pub(crate) fn websocket(plan: &Plan, wire: &Wire, problem: WebsocketProblem) -> Failure {
    match problem {
        WebsocketProblem::Io(error) => match tls_error(&error) {
            Some(TlsError::AlertReceived(alert)) => super::tls::alert(plan, wire, *alert, STAGE),
            _ => closed(plan, wire, &Ended::of(&error)),
        },
        WebsocketProblem::Closed => closed(plan, wire, &Ended::Closed),
        WebsocketProblem::NotHttp(bytes) => not_http(plan, &bytes),
        WebsocketProblem::Answer(answer) => answered(plan, wire, &answer),
        WebsocketProblem::Invalid(wrong, answer) => invalid(plan, wrong, &answer),
        WebsocketProblem::Subprotocol { offered, chosen } => subprotocol(plan, &offered, &chosen),
        WebsocketProblem::Timeout => timeout(plan, wire),
    }
}

fn invalid(plan: &Plan, wrong: &str, answer: &HttpAnswer) -> Failure {
    let message = format!("{} answers the WebSocket handshake wrongly", plan.address());
    let failure = Failure::new(STAGE, FailureCode::WsHandshakeInvalid, message)
        .because(format!(
            "It said 101, but {wrong} (RFC 6455, 4.1). A proxy between may have changed the answer."
        ))
        .permanent();
    let failure = other_path(with_answer(failure, answer), plan.endpoint().path());
    retry(probe(failure, plan))
}

fn subprotocol(plan: &Plan, offered: &str, chosen: &str) -> Failure {
    let (at, path) = (plan.address(), plan.endpoint().path());
    let message = format!("{at} chose the WebSocket subprotocol `{chosen}`, which was not offered");
    let failure = Failure::new(STAGE, FailureCode::WsSubprotocolRefused, message)
        .because(format!("Offered was `{offered}`. What listens at {path} may not be MQTT."))
        .fact("offered", offered)
        .fact("chosen", chosen)
        .permanent();
    probe(other_path(failure, path), plan)
}

fn with_answer(failure: Failure, answer: &HttpAnswer) -> Failure {
    let failure = failure.fact("http_status", answer.status).fact("http_reason", answer.reason.clone());
    let failure = match answer.header("server") {
        Some(server) => failure.fact("server", server),
        None => failure,
    };
    match answer.body.is_empty() {
        true => failure,
        false => failure.fact("body", answer.body.escape_ascii().to_string()),
    }
}

fn answered(plan: &Plan, wire: &Wire, answer: &HttpAnswer) -> Failure {
    // 495 and 496 are nginx's own names for a certificate that did not verify, and for none.
    let mentions_certificate = answer.body.windows(11).any(|part| part.eq_ignore_ascii_case(b"certificate"));
    // A server that asks for a certificate without insisting on one answers 403 when it misses it.
    let status = answer.status;
    // A 401 for want of a login says which login it takes (RFC 9110, 15.5.2); one for want of a certificate cannot.
    let challenge = answer.header("www-authenticate");
    let sign = match status {
        401 if challenge.is_some() => None,
        400 | 401 | 403 => Some(Sign::Refused { status, says_so: mentions_certificate }),
        495 | 496 => Some(Sign::Refused { status, says_so: true }),
        _ => None,
    };
    if let Some(failure) = sign.and_then(|sign| certificates::client(plan, &wire.tls.read(), STAGE, sign)) {
        let failure = with_answer(failure, answer);
        return match status {
            401 => http_login(failure),
            403 => other_path(http_login(failure), plan.endpoint().path()),
            _ => failure,
        };
    }
    let at = plan.address();
    let path = plan.endpoint().path();
    let new = |code, message: String, cause: &str| {
        with_answer(Failure::new(STAGE, code, message).because(cause).permanent(), answer)
    };
    let (asked, sent) = (wire.client_certificate_asked(), wire.client_certificate_sent());
    let wants_certificate = |failure: Failure| match asked {
        true => failure.fact("client_cert_asked", true).fact("client_cert_was_sent", sent).fix(
            "Choose a client certificate and its key",
            FixAction::ChooseIdentity { swap: false, disable: false },
        ),
        false => failure,
    };
    match status {
        404 => other_path(
            new(
                FailureCode::WsNotFound,
                format!("{at} has nothing at the path {path}"),
                "The web server answers, but there is no WebSocket at this path (HTTP 404).",
            ),
            path,
        ),
        401 => {
            const BEFORE: &str =
                "The web server in front of the broker answers 401 before MQTT's own login is ever sent.";
            let failure = match asked && !sent {
                true => new(
                    FailureCode::WsUnauthorized,
                    format!("{at} wants HTTP credentials for {path}, or a client certificate"),
                    &format!("{BEFORE} It asked for a client certificate in TLS as well and got none."),
                ),
                false => new(
                    FailureCode::WsUnauthorized,
                    format!("{at} wants HTTP credentials for {path}"),
                    BEFORE,
                ),
            };
            let failure = match challenge {
                Some(challenge) => failure.fact("www_authenticate", challenge),
                None => failure,
            };
            wants_certificate(http_login(failure))
        }
        403 => other_path(
            http_login(wants_certificate(new(
                FailureCode::WsForbidden,
                format!("{at} forbids {path}"),
                "The web server in front of the broker answers 403: this client, its origin or this path is not allowed.",
            ))),
            path,
        ),
        300..=399 => redirected(plan, answer),
        400..=499 => {
            let failure = new(
                FailureCode::WsRejected,
                format!("{at} rejected the WebSocket request for {path} with HTTP {status}"),
                "The server speaks HTTP, but does not want this request: likely it is not a WebSocket endpoint, it \
                 expects TLS on this port, or a proxy in front of it does not pass upgrades on.",
            );
            let failure = match (status, plan.endpoint().tls()) {
                (400, false) => switch_transport_here(failure, plan, Scheme::Wss),
                _ => failure,
            };
            probe(other_path(failure, path), plan)
        }
        500..=599 => {
            let mut failure = retry(new(
                FailureCode::WsServerError,
                format!("{at} answered the WebSocket request for {path} with HTTP {status}"),
                "The web server has trouble of its own; with 502, 503 or 504 the broker behind it does not answer.",
            ));
            failure.retryable = true;
            failure
        }
        _ => probe(
            other_path(
                new(
                    FailureCode::WsNotUpgraded,
                    format!("{at} answers {path} as an ordinary web page (HTTP {status})"),
                    "The server took no notice of the wish for a WebSocket.",
                ),
                path,
            ),
            plan,
        ),
    }
}

fn http_login(failure: Failure) -> Failure {
    failure.fix(
        "Add an Authorization header to the WebSocket request",
        FixAction::SetCredentials { target: CredentialTarget::Http },
    )
}

fn redirected(plan: &Plan, answer: &HttpAnswer) -> Failure {
    let at = plan.address();
    let location = answer.header("location").unwrap_or_default().to_owned();
    let message = match location.is_empty() {
        true => format!("{at} redirects the WebSocket request without saying where"),
        false => format!("{at} redirects the WebSocket request to {location}"),
    };
    let failure = with_answer(Failure::new(STAGE, FailureCode::WsRedirected, message), answer)
        .because(
            "A redirect is not followed: it would be another endpoint than the one that was chosen, and the \
             credentials would go with it.",
        )
        .fact("location", location.clone())
        .permanent();
    if location.is_empty() {
        return probe(other_path(failure, plan.endpoint().path()), plan);
    }
    if location.starts_with('/') {
        return failure.fix(format!("Use the path {location}"), FixAction::SetPath { path: location });
    }
    let Ok(parsed) = crate::endpoint::Endpoint::parse_url(&location, plan.endpoint().scheme()) else {
        return probe(other_path(failure, plan.endpoint().path()), plan);
    };
    let (here, there) = (plan.endpoint(), parsed.endpoint);
    let to_tls = !here.tls() && (there.tls() || location.starts_with("https:"));
    let failure = match to_tls {
        true => {
            let port = there.port();
            failure.fix(
                format!("Switch to wss, port {port}"),
                FixAction::SetTransport { transport: Scheme::Wss, port: Some(port) },
            )
        }
        false => failure,
    };
    let failure = match to_tls && there.host() == here.host() || there.authority() == here.authority() {
        true => failure,
        false => {
            let server = there.authority();
            failure.fix(format!("Use the server {server}"), FixAction::SetServer { server: Some(server) })
        }
    };
    let failure = match there.path() {
        path if path.is_empty() || path == here.path() => failure,
        path => failure.fix(format!("Use the path {path}"), FixAction::SetPath { path: path.to_owned() }),
    };
    if failure.fixes.is_empty() { probe(failure, plan) } else { failure }
}

fn not_http(plan: &Plan, bytes: &[u8]) -> Failure {
    let at = plan.address();
    let tls = plan.endpoint().tls();
    let new = |code, message: String, cause: &str| {
        with_bytes(Failure::new(STAGE, code, message).because(cause).permanent(), bytes)
    };
    let peer = recognise(bytes);
    let failure = match peer {
        Some(Peer::Mqtt) => switch_transport_here(
            new(
                FailureCode::PeerSpeaksMqtt,
                format!("{at} speaks MQTT, not WebSocket"),
                "It answered the HTTP request with an MQTT packet.",
            ),
            plan,
            Scheme::of(false, tls),
        ),
        Some(Peer::Tls) if !tls => switch_transport_here(
            new(
                FailureCode::PeerSpeaksTls,
                format!("{at} speaks TLS, and was spoken to without"),
                "It answered the HTTP request with a TLS record.",
            ),
            plan,
            Scheme::Wss,
        ),
        Some(peer) if peer != Peer::Http => {
            let cause = format!("{} No WebSocket can be had there.", peer.story());
            let failure = new(FailureCode::PeerIsNotHttp, format!("{at} does not speak HTTP"), &cause);
            probe(other_port(failure, plan), plan)
        }
        _ => {
            let failure = new(
                FailureCode::PeerIsNotHttp,
                format!("{at} does not speak HTTP, so no WebSocket either"),
                "What came back to the request is not an HTTP answer.",
            );
            switch_transport(probe(failure, plan), plan, Scheme::of(false, tls))
        }
    };
    match peer {
        Some(peer) => peer.fact(failure),
        None => failure,
    }
}

fn closed(plan: &Plan, wire: &Wire, end: &Ended) -> Failure {
    if let Some(failure) = certificates::client(plan, &wire.tls.read(), STAGE, Sign::Closed) {
        return with_end(failure, Some(end));
    }
    let at = plan.address();
    let tls = plan.endpoint().tls();
    let how = how_it_closed(Some(end));
    let cause = match tls {
        true => {
            "No byte of an HTTP answer came. Likeliest this port speaks MQTT inside TLS, without WebSocket; a web \
             server whose backend is down would look the same."
        }
        false => {
            "No byte of an HTTP answer came. Likeliest this port speaks plain MQTT or wants TLS: both end a \
             connection that begins with an HTTP request."
        }
    };
    let failure = Failure::new(
        STAGE,
        FailureCode::ClosedDuringWebsocket,
        format!("{at} {how} during the WebSocket handshake"),
    )
    .because(cause);
    let failure = switch_transport(with_end(failure, Some(end)), plan, Scheme::of(false, tls));
    let failure = if tls { failure } else { switch_transport(failure, plan, Scheme::Wss) };
    retry(probe(failure, plan))
}

fn timeout(plan: &Plan, wire: &Wire) -> Failure {
    let bytes = wire.http.first_bytes();
    if !b"HTTP/1.".iter().zip(&bytes).all(|(wanted, seen)| wanted == seen) {
        return not_http(plan, &bytes);
    }
    let tls = plan.endpoint().tls();
    let failure = Failure::new(
        STAGE,
        FailureCode::WsTimeout,
        format!("{} did not answer the WebSocket request in time", plan.address()),
    )
    .because(
        "The connection stands, but no HTTP answer came. Likeliest the port speaks plain MQTT and waits for more, \
         or the broker behind a web server does not answer.",
    );
    let failure = switch_transport(with_bytes(failure, &bytes), plan, Scheme::of(false, tls));
    retry(probe(failure, plan))
}

#[cfg(test)]
mod tests {
    use super::super::planned;
    use super::*;
    use crate::trace::HttpHeader;

    #[test]
    fn a_401_has_two_readings_and_both_are_offered_likelier_first() {
        let choose = FixAction::ChooseIdentity { swap: false, disable: false };
        let login = FixAction::SetCredentials { target: CredentialTarget::Http };
        let wire = Wire::default();
        wire.tls.edit(|facts| facts.asked = true);
        let answered = |challenge: Option<&str>| {
            let header = |value: &str| HttpHeader { name: "WWW-Authenticate".into(), value: value.into() };
            let headers = challenge.map(header).into_iter().collect();
            let answer = HttpAnswer { status: 401, headers, ..HttpAnswer::default() };
            websocket(&planned("wss://a.test/mqtt"), &wire, WebsocketProblem::Answer(answer))
        };
        let silent = answered(None);
        assert_eq!(silent.code, FailureCode::ClientCertRequired);
        assert!(silent.message.contains("or an HTTP login"), "{silent:?}");
        let challenged = answered(Some("Bearer"));
        assert_eq!(challenged.code, FailureCode::WsUnauthorized);
        assert!(challenged.message.contains("or a client certificate"), "{challenged:?}");
        for (failure, fixes) in [(silent, [&choose, &login]), (challenged, [&login, &choose])] {
            assert_eq!(failure.fixes.iter().map(|fix| &fix.action).collect::<Vec<_>>(), fixes);
        }
    }
}
