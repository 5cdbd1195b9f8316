//! The TLS handshake, and alerts that come after it.

use std::io;

use rustls::{AlertDescription, Error as TlsError, PeerIncompatible, PeerMisbehaved};

use super::certificates::{self, Sign};
use super::peer::{Peer, may_be_tls, recognise};
use super::{
    alert_name, how_it_closed, identity, other_port, probe, retry, switch_transport, switch_transport_here,
    trust, with_bytes, with_end,
};
use crate::endpoint::Scheme;
use crate::failure::{Failure, FailureCode, FixAction};
use crate::identity::IdentityError;
use crate::profile::TrustMode;
use crate::trace::Stage;
use crate::transport::{Ended, Plan, Wire, tls_error};

/// The handshake failed; `None` says that the time was up.
pub(crate) fn tls(plan: &Plan, wire: &Wire, problem: Option<io::Error>) -> Failure {
    let bytes = wire.socket.first_bytes();
    if let Some(failure) = recognise(&bytes).and_then(|peer| foreign(plan, peer)) {
        return with_bytes(failure, &bytes);
    }
    if !may_be_tls(&bytes) {
        return with_bytes(not_tls(plan, None), &bytes);
    }
    let Some(problem) = problem else { return timeout(plan, &bytes) };
    match tls_error(&problem) {
        Some(TlsError::InvalidCertificate(error)) => certificates::server(plan, &wire.tls.read(), error),
        Some(TlsError::AlertReceived(received)) => alert(plan, wire, *received, Stage::Tls),
        Some(TlsError::Other(rustls::OtherError(error))) if error.is::<IdentityError>() => {
            // The key on the token did not sign.
            let error = error.downcast_ref::<IdentityError>().cloned();
            error.map_or_else(|| failed(plan), |error| identity(plan, &error).seen_during(Stage::Tls))
        }
        Some(TlsError::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )) => version(plan),
        Some(TlsError::PeerIncompatible(_)) => no_shared(plan),
        Some(
            TlsError::NoApplicationProtocol
            | TlsError::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol),
        ) => alpn(plan),
        Some(_) => with_bytes(failed(plan), &bytes),
        None => closed(plan, wire, &problem),
    }
}

/// No configuration could be made: there is nobody to trust, or nothing left of what was chosen.
pub(crate) fn tls_unusable(plan: &Plan, error: &rustls::Error) -> Failure {
    let mode = plan.tls.as_ref().map(|tls| tls.trust.mode);
    let (message, cause) = match mode {
        Some(TrustMode::CaOnly) => (
            format!("None of the CA files can be used to verify {}", plan.address()),
            "They hold no certificate that can serve as a root.",
        ),
        _ => (
            format!("There are no trusted roots on this computer to verify {} with", plan.address()),
            "The operating system gave none; on Linux the package ca-certificates brings them.",
        ),
    };
    Failure::new(Stage::Tls, FailureCode::TlsFailed, message)
        .because(cause)
        .fact("error", error.to_string())
        .fix("Choose the CA certificate to trust", trust(TrustMode::CaOnly))
        .permanent()
}

/// An alert, in the handshake or in a later stage: it lies in TLS all the same.
pub(super) fn alert(plan: &Plan, wire: &Wire, alert: AlertDescription, seen: Stage) -> Failure {
    if let Some(failure) = certificates::client(plan, &wire.tls.read(), seen, Sign::Alert(alert)) {
        return failure;
    }
    let failure = match alert {
        AlertDescription::ProtocolVersion => version(plan),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => no_shared(plan),
        AlertDescription::NoApplicationProtocol => alpn(plan),
        AlertDescription::UnrecognisedName => Failure::new(
            Stage::Tls,
            FailureCode::TlsFailed,
            format!("{} does not know the server name that was asked for", plan.address()),
        )
        .because("The server has no certificate for that name (SNI).")
        .fix("Correct the host", FixAction::SetServer { server: None })
        .permanent(),
        _ => failed(plan),
    };
    failure.fact("alert", alert_name(alert)).seen_during(seen)
}

fn closed(plan: &Plan, wire: &Wire, problem: &io::Error) -> Failure {
    let facts = wire.tls.read();
    if let Some(failure) = certificates::client(plan, &facts, Stage::Tls, Sign::Closed) {
        return with_end(failure, Some(&Ended::of(problem)));
    }
    let end = Ended::of(problem);
    let at = plan.address();
    let how = how_it_closed(Some(&end));
    let failure = Failure::new(
        Stage::Tls,
        FailureCode::ClosedDuringTls,
        format!("{at} {how} during the TLS handshake"),
    );
    let bytes = wire.socket.first_bytes();
    let silent = bytes.is_empty();
    let failure = match silent {
        true => failure.because(
            "Not one byte came back. Likeliest this port does not speak TLS: a plain MQTT or HTTP listener ends a \
             connection that begins with a TLS handshake. A TLS server that wants another server name (SNI) or \
             TLS version would look the same.",
        ),
        false => failure.because(
            "The server answered in TLS and then ended the handshake without saying why. A proxy or load balancer \
             whose own backend is down looks like this.",
        ),
    };
    let failure = with_bytes(with_end(failure, Some(&end)), &bytes);
    if silent { retry(probe(switch_to_plain(failure, plan), plan)) } else { probe(retry(failure), plan) }
}

fn timeout(plan: &Plan, bytes: &[u8]) -> Failure {
    let at = plan.address();
    let failure = Failure::new(
        Stage::Tls,
        FailureCode::TlsTimeout,
        format!("{at} did not complete the TLS handshake in time"),
    );
    let failure = if bytes.is_empty() {
        failure.because(
            "The port is open, but nothing came back to the TLS handshake. Likeliest it does not speak TLS and waits \
             for something else; or the server is overloaded.",
        )
    } else {
        failure.because("The server began to answer and then fell silent.")
    };
    let failure = with_bytes(failure, bytes);
    if bytes.is_empty() {
        retry(probe(switch_to_plain(failure, plan), plan))
    } else {
        probe(retry(failure), plan)
    }
}

/// The plain transports that would end a TLS handshake so, likelier first.
fn switch_to_plain(failure: Failure, plan: &Plan) -> Failure {
    let websocket = plan.endpoint().websocket();
    let failure = switch_transport(failure, plan, Scheme::of(websocket, false));
    if websocket { switch_transport(failure, plan, Scheme::Mqtt) } else { failure }
}

/// Another protocol answered the TLS handshake.
fn foreign(plan: &Plan, peer: Peer) -> Option<Failure> {
    let at = plan.address();
    let new = |code, what: &str, cause: &str| {
        let message = format!("{at} speaks {what}, not TLS");
        Failure::new(Stage::Tls, code, message).because(cause).permanent()
    };
    let failure = match peer {
        Peer::Tls => return None,
        Peer::Http => probe(
            switch_transport_here(
                new(
                    FailureCode::PeerSpeaksHttp,
                    "plain HTTP",
                    "It answered the TLS handshake with an HTTP response. MQTT over WebSocket without TLS may be \
                     offered there.",
                ),
                plan,
                Scheme::Ws,
            ),
            plan,
        ),
        Peer::Mqtt => probe(
            switch_transport_here(
                new(
                    FailureCode::PeerSpeaksMqtt,
                    "plain MQTT",
                    "It answered the TLS handshake with an MQTT packet.",
                ),
                plan,
                Scheme::Mqtt,
            ),
            plan,
        ),
        Peer::Ssh => other_port(new(FailureCode::PeerSpeaksSsh, "SSH", &peer.story()), plan),
        Peer::Smtp => other_port(new(FailureCode::PeerSpeaksSmtp, "SMTP", &peer.story()), plan),
        Peer::Echo | Peer::Other(_) => not_tls(plan, Some(peer)),
    };
    Some(peer.fact(failure))
}

fn not_tls(plan: &Plan, peer: Option<Peer>) -> Failure {
    let at = plan.address();
    let (message, cause) = match peer {
        Some(Peer::Other(name)) => (
            format!("{at} speaks {name}, not TLS"),
            format!("What came back to the TLS handshake is {name}: another service listens on this port."),
        ),
        Some(peer) => (format!("{at} does not speak TLS"), peer.story()),
        None => (
            format!("{at} does not speak TLS"),
            "What came back to the TLS handshake is not a TLS record, and no protocol that Heliograph knows."
                .to_owned(),
        ),
    };
    let failure = Failure::new(Stage::Tls, FailureCode::PeerIsNotTls, message).because(cause).permanent();
    match peer {
        Some(_) => probe(other_port(failure, plan), plan),
        None => switch_to_plain(probe(failure, plan), plan),
    }
}

fn version(plan: &Plan) -> Failure {
    let minimum = plan.tls.as_ref().map(|tls| tls.min_version);
    let cause = match minimum {
        Some(crate::profile::TlsVersion::V1_3) => {
            "The lowest version is set to TLS 1.3; the server likely speaks TLS 1.2 at most."
        }
        _ => {
            "Heliograph speaks TLS 1.2 and 1.3; the server likely speaks TLS 1.0 or 1.1 only, which are no longer safe."
        }
    };
    let message = format!("{} and Heliograph share no TLS version", plan.address());
    let failure = Failure::new(Stage::Tls, FailureCode::TlsVersionUnsupported, message).because(cause);
    let minimum = serde_json::to_value(minimum).unwrap_or_default();
    probe(failure.fact("min_version", minimum).permanent(), plan)
}

fn no_shared(plan: &Plan) -> Failure {
    let message = format!("{} and Heliograph share no TLS parameters", plan.address());
    probe(
        Failure::new(Stage::Tls, FailureCode::TlsNoSharedParameters, message)
            .because(
                "The server accepts none of the cipher suites, groups or signature algorithms that were offered: \
                 likely it is restricted to old ones, or wants another server name (SNI).",
            )
            .permanent(),
        plan,
    )
}

fn alpn(plan: &Plan) -> Failure {
    let offered = plan.tls.as_ref().map(|tls| tls.alpn.clone()).unwrap_or_default();
    let message = format!("{} accepts none of the ALPN names that were offered", plan.address());
    let cause = match offered.is_empty() {
        true => "It wants an application protocol name (RFC 7301), and none is set.".to_owned(),
        false => {
            format!("Offered: {}. Set the name that the server's documentation gives.", offered.join(", "))
        }
    };
    retry(probe(
        Failure::new(Stage::Tls, FailureCode::AlpnRefused, message)
            .because(cause)
            .fact("alpn_offered", offered)
            .permanent(),
        plan,
    ))
}

fn failed(plan: &Plan) -> Failure {
    let message = format!("The TLS handshake with {} failed", plan.address());
    probe(
        retry(
            Failure::new(Stage::Tls, FailureCode::TlsFailed, message)
                .because("One side broke the rules of TLS, or gave up for a reason of its own."),
        ),
        plan,
    )
}
