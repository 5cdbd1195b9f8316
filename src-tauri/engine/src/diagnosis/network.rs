//! Files, names, TCP and the proxy.

use std::io::ErrorKind;

use super::{other_port, planned_trust, probe, recognise, retry, trust};
use crate::failure::{CredentialTarget, Failure, FailureCode, FixAction};
use crate::identity::{IdentityError, is_token};
use crate::profile::TrustMode;
use crate::trace::Stage;
use crate::transport::{DnsProblem, Plan, ProxyPlan, ProxyProblem, Target, TcpProblem};

/// The files could not be read before the time was up.
pub(crate) fn files_too_slow(plan: &Plan) -> Failure {
    if let Some(key) = plan.identity.as_ref().map(|own| &own.key_file).filter(|key| is_token(key)) {
        let message = format!("The token of the private key did not answer in time ({})", plan.url());
        let cause =
            "The PKCS#11 module was still at work: likely the token or its reader waits for something.";
        let failure = Failure::new(Stage::Identity, FailureCode::TokenTimeout, message);
        return retry(failure.because(cause).fact("path", key.clone()));
    }
    let paths = plan.identity.iter().flat_map(|identity| [&identity.cert_file, &identity.key_file]);
    let authorities = planned_trust(plan).into_iter().flat_map(|trust| &trust.ca_files);
    let paths: Vec<_> = paths.chain(authorities).filter(|path| !path.is_empty()).cloned().collect();
    let message = format!("{} could not be read in time", paths.join(", "));
    retry(
        Failure::new(Stage::Identity, FailureCode::FileUnreadable, message)
            .because("The drive that holds the files does not answer: likely a network drive that is gone.")
            .fact("path", paths),
    )
}

/// A file that cannot be used.
pub(crate) fn identity(plan: &Plan, error: &IdentityError) -> Failure {
    use FailureCode as C;
    let failure = Failure::new(Stage::Identity, error.code, error.message.clone())
        .because(error.cause.clone())
        .fact("path", error.path.clone())
        .permanent();
    let failure = match error.code {
        C::FilesSwapped => failure.fix(
            "Exchange the certificate file and the key file",
            FixAction::ChooseIdentity { swap: true, disable: false },
        ),
        C::PassphraseRequired | C::PassphraseWrong => {
            failure.fix("Type the passphrase of the key", FixAction::EnterPassphrase {})
        }
        C::TokenPinRequired | C::TokenPinWrong => failure
            .fix("Type the PIN of the token", FixAction::SetCredentials { target: CredentialTarget::Token }),
        C::TokenNotFound | C::TokenTimeout | C::TokenFailed => retry(failure),
        _ => failure,
    };
    // A file of authorities is part of whom we trust, not of who we are.
    let of_trust = planned_trust(plan)
        .filter(|trust| {
            let mut files = trust.ca_files.iter().chain(&trust.crl_files);
            files.any(|path| path.trim() == error.path)
        })
        .filter(|_| plan.identity.as_ref().is_none_or(|own| own.cert_file.trim() != error.path));
    match of_trust {
        Some(trusted) => failure.fix("Choose another file to trust by", trust(trusted.mode)),
        None => failure.fix(
            "Choose other certificate or key files",
            FixAction::ChooseIdentity { swap: false, disable: false },
        ),
    }
}

/// No address for a name.
pub(crate) fn dns(plan: &Plan, name: &str, problem: &DnsProblem) -> Failure {
    let port = plan.endpoint().port();
    let (code, message, cause, number) = match problem {
        DnsProblem::NotFound { number } if plan.endpoint().scope().is_some() => (
            FailureCode::NameNotFound,
            format!("{name} is no address of this computer's networks"),
            "What stands after the % has to be a network interface of this computer, and the address a \
             link-local one (fe80::/10).",
            *number,
        ),
        DnsProblem::NotFound { number } => (
            FailureCode::NameNotFound,
            format!("There is no host named {name} (wanted for {})", plan.address()),
            "The operating system's name lookup says that the name does not exist or has no address: \
             a typing error, or a name that only another network or VPN knows.",
            *number,
        ),
        DnsProblem::Failed { number } => (
            FailureCode::DnsFailed,
            format!("Looking up {name} failed, so port {port} there was never tried"),
            "No name server gave an answer: likely this computer is offline or its DNS does not work.",
            *number,
        ),
        DnsProblem::Timeout => (
            FailureCode::DnsTimeout,
            format!("Looking up {name} took longer than the time allowed for connecting to port {port}"),
            "No name server answered in time.",
            None,
        ),
    };
    let mut failure = Failure::new(Stage::Dns, code, message).because(cause).fact("name", name);
    if let Some(number) = number {
        failure = failure.fact("getaddrinfo", number);
    }
    let server = FixAction::SetServer { server: None };
    match code {
        FailureCode::NameNotFound => retry(failure.fix("Correct the host", server)),
        _ => retry(failure).fix("Use an address instead of the name", server),
    }
}

/// No address answered.
pub(crate) fn tcp(plan: &Plan, problem: &TcpProblem) -> Failure {
    let at = plan.address();
    let port = plan.endpoint().port();
    let (code, errno) = tcp_code(problem);
    let (message, cause) = match code {
        FailureCode::ConnectionRefused => (
            format!("{at} refused the connection"),
            format!("The host answers, but nothing listens on port {port}, or a firewall refuses in its name."),
        ),
        FailureCode::ConnectTimeout => (
            format!("{at} did not answer in time"),
            "No answer at all came to the TCP connection request: likely a firewall drops it, or the host is off."
                .to_owned(),
        ),
        FailureCode::NetworkUnreachable => (
            format!("There is no route to the network of {at}"),
            "The operating system knows no way there: likely this computer is offline or a VPN is down.".to_owned(),
        ),
        FailureCode::HostUnreachable => (
            format!("{at} cannot be reached"),
            "The network is there, but says that the host is not.".to_owned(),
        ),
        FailureCode::PermissionDenied => (
            format!("Connecting to {at} is not permitted on this computer"),
            "The operating system or a firewall on this computer forbids it.".to_owned(),
        ),
        _ => (
            format!("The TCP connection to {at} failed"),
            "The operating system reported an error without a more telling name.".to_owned(),
        ),
    };
    let attempts: Vec<_> =
        problem.errors.iter().map(|(address, kind, _)| format!("{address}: {kind:?}")).collect();
    let mut failure = Failure::new(Stage::Tcp, code, message).because(cause).fact("attempts", attempts);
    if let Some(errno) = errno {
        failure = failure.fact("errno", errno);
    }
    let server = FixAction::SetServer { server: None };
    match code {
        FailureCode::ConnectionRefused => {
            probe(retry(other_port(failure, plan)), plan).fix("Correct the host", server)
        }
        FailureCode::ConnectTimeout => retry(other_port(failure, plan)).fix("Correct the host", server),
        _ => retry(failure),
    }
}

/// A TCP problem in words, with the error number.
pub(crate) fn tcp_words(problem: &TcpProblem) -> (&'static str, Option<i32>) {
    let (code, errno) = tcp_code(problem);
    let words = match code {
        FailureCode::ConnectionRefused => "it refused the connection",
        FailureCode::ConnectTimeout => "it did not answer in time",
        FailureCode::NetworkUnreachable => "there is no route to its network",
        FailureCode::HostUnreachable => "the host cannot be reached",
        FailureCode::PermissionDenied => "this computer does not permit it",
        _ => "the TCP connection failed",
    };
    (words, errno)
}

/// The most telling of the addresses' errors: an answer tells more than silence, and silence more than a
/// family of addresses that this computer has no route for.
fn tcp_code(problem: &TcpProblem) -> (FailureCode, Option<i32>) {
    const ORDER: [(ErrorKind, FailureCode); 3] = [
        (ErrorKind::ConnectionRefused, FailureCode::ConnectionRefused),
        (ErrorKind::PermissionDenied, FailureCode::PermissionDenied),
        (ErrorKind::TimedOut, FailureCode::ConnectTimeout),
    ];
    const THEN: [(ErrorKind, FailureCode); 2] = [
        (ErrorKind::HostUnreachable, FailureCode::HostUnreachable),
        (ErrorKind::NetworkUnreachable, FailureCode::NetworkUnreachable),
    ];
    let find =
        |kind: ErrorKind| problem.errors.iter().find(|(_, seen, _)| *seen == kind).map(|(.., errno)| *errno);
    for (kind, code) in ORDER {
        if let Some(errno) = find(kind) {
            return (code, errno);
        }
    }
    if problem.timed_out {
        return (FailureCode::ConnectTimeout, None);
    }
    for (kind, code) in THEN {
        if let Some(errno) = find(kind) {
            return (code, errno);
        }
    }
    (FailureCode::TcpFailed, problem.errors.first().and_then(|(.., errno)| *errno))
}

/// The proxy did not let us through.
pub(crate) fn proxy(
    plan: &Plan,
    proxy: &ProxyPlan,
    target: &Target,
    problem: &ProxyProblem,
    answer: Option<&str>,
) -> Failure {
    let at = proxy.address();
    let new = |code, message: String, cause: &str| {
        let failure = Failure::new(Stage::Proxy, code, message)
            .because(cause)
            .fact("proxy", at.clone())
            .fact("target", target.to_string());
        match answer {
            Some(answer) => failure.fact("answer", answer),
            None => failure,
        }
    };
    let credentials = |failure: Failure| {
        failure
            .fix(
                "Type user name and password for the proxy",
                FixAction::SetCredentials { target: CredentialTarget::Proxy },
            )
            .permanent()
    };
    match problem {
        ProxyProblem::Unreachable(why, errno) => {
            let cause = format!("Of the proxy itself: {why}.");
            let failure = new(
                FailureCode::ProxyUnreachable,
                format!("The proxy {at} cannot be reached: {why}"),
                &cause,
            );
            retry(match errno {
                Some(errno) => failure.fact("errno", *errno),
                None => failure,
            })
        }
        ProxyProblem::Tls(why) => {
            let cause = format!("The proxy is set to be spoken to over TLS, and that failed: {why}.");
            let failure =
                new(FailureCode::ProxyProtocolError, format!("TLS to the proxy {at} failed"), &cause);
            failure
                .fix(
                    "Choose the CA certificate that the proxy's certificate hangs on",
                    trust(TrustMode::SystemAndCa),
                )
                .permanent()
        }
        ProxyProblem::AuthRequired => credentials(new(
            FailureCode::ProxyAuthRequired,
            format!("The proxy {at} wants a user name and password"),
            "It asked for credentials, and none are set.",
        )),
        ProxyProblem::AuthRejected => credentials(new(
            FailureCode::ProxyAuthRejected,
            format!("The proxy {at} did not accept the user name and password"),
            "They were sent, and it refused them.",
        )),
        ProxyProblem::Denied => retry(
            new(
                FailureCode::ProxyDenied,
                format!("The proxy {at} does not allow connections to {target}"),
                "Its rules forbid this host or port; many proxies allow port 443 alone.",
            )
            .fix(
                "Use another port; 443 is allowed by most",
                FixAction::SetPort { port: Some(443).filter(|port| *port != plan.endpoint().port()) },
            )
            .permanent(),
        ),
        ProxyProblem::Target => {
            let failure = new(
                FailureCode::ProxyTargetUnreachable,
                format!("The proxy {at} cannot reach {target}"),
                "The proxy itself works; from where it stands, the broker's host or port does not answer, \
                 or its name cannot be found.",
            );
            let failure = match (target, proxy.resolve_locally) {
                (Target::Name(..), false) => {
                    failure.fix("Correct the host", FixAction::SetServer { server: None })
                }
                _ => failure,
            };
            retry(other_port(failure, plan))
        }
        ProxyProblem::Timeout => retry(new(
            FailureCode::ProxyTargetUnreachable,
            format!("The proxy {at} opened no connection to {target} in time"),
            "It took the request and stayed silent: likely it waits for the broker's host, or it does not speak \
             this proxy protocol.",
        )),
        ProxyProblem::Silent => retry(new(
            FailureCode::ProxyProtocolError,
            format!("{at} does not answer like the proxy that is set"),
            "It took the connection and said nothing, before it was even told where to go. Likeliest it speaks \
             another proxy protocol (HTTP, HTTPS or SOCKS 5) than the one that is set, and waits; or it hangs.",
        )),
        ProxyProblem::Closed(errno) => {
            let failure = new(
                FailureCode::ProxyProtocolError,
                format!("The proxy {at} closed the connection without an answer"),
                "It may speak another proxy protocol than the one that is set, or refuse this computer.",
            );
            retry(match errno {
                Some(errno) => failure.fact("errno", *errno),
                None => failure,
            })
        }
        ProxyProblem::Protocol(bytes) => {
            let peer = recognise(bytes);
            let cause = match peer {
                Some(peer) => format!("{} Likely it is another kind of proxy, or no proxy at all.", peer.story()),
                None => "Its answer does not fit the protocol; likely another kind of proxy, or another server, is \
                         there."
                    .to_owned(),
            };
            let failure = new(
                FailureCode::ProxyProtocolError,
                format!("{at} does not answer like the proxy that is set"),
                &cause,
            );
            let failure = match peer {
                Some(peer) => peer.fact(failure),
                None => failure,
            };
            retry(super::with_bytes(failure.permanent(), bytes))
        }
    }
}
