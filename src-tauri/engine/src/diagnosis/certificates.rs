//! Certificates: the server's, and ours. What is wrong with one is read from the certificate itself, from
//! typed errors and from alerts.

use rustls::{AlertDescription, CertificateError};
use rustls_pki_types::CertificateDer;

use super::{alert_name, planned_trust, retry, trust};
use crate::failure::{Failure, FailureCode, FixAction};
use crate::identity::{CertificateInfo, describe, is_token};
use crate::message::Clock;
use crate::profile::TrustMode;
use crate::trace::Stage;
use crate::transport::{
    Plan, TlsFacts, issued_by, issuer_hints, name_parts_of, name_words, only_called_as_issuer,
};

/// The server's certificate was refused.
pub(super) fn server(plan: &Plan, facts: &TlsFacts, error: &CertificateError) -> Failure {
    use CertificateError as E;
    let at = plan.address();
    let chain = facts.server_infos();
    let leaf = chain.first();
    let subject = leaf.map_or("the certificate", |leaf| leaf.subject.as_str());
    let issuer = leaf.map_or("an unknown issuer", |leaf| leaf.issuer.as_str());
    let new = |code, message: String, cause: String| {
        let failure = Failure::new(Stage::Tls, code, message).because(cause).permanent();
        match leaf {
            Some(leaf) => failure
                .fact("subject", leaf.subject.clone())
                .fact("issuer", leaf.issuer.clone())
                .fact("sans", leaf.sans.clone())
                .fact("not_before", leaf.not_before)
                .fact("not_after", leaf.not_after)
                .fact("sha256", leaf.sha256.clone())
                .fact("chain_length", chain.len()),
            None => failure,
        }
    };
    let insecure = |failure: Failure| {
        failure.fix("Do not verify the server at all (insecure)", trust(TrustMode::Insecure))
    };
    let pin = |failure: Failure| match leaf {
        Some(leaf) => failure.fix(
            "Trust this server's key, whoever signed its certificate",
            FixAction::AddTrust {
                mode: TrustMode::Pinned,
                pinned_sha256: Some(leaf.spki_sha256.clone()),
                pinned_certificate: Some(leaf.der_base64.clone()),
                verify_host_name: None,
            },
        ),
        None => failure,
    };
    let with_ca = match planned_trust(plan).map(|t| t.mode) {
        Some(TrustMode::CaOnly) => TrustMode::CaOnly,
        _ => TrustMode::SystemAndCa,
    };
    let mode = planned_trust(plan).map_or(TrustMode::System, |t| t.mode);
    let any_name = |failure: Failure| {
        failure.fix(
            "Accept that the certificate does not name this host, and nothing else",
            FixAction::AddTrust {
                mode,
                pinned_sha256: None,
                pinned_certificate: None,
                verify_host_name: Some(false),
            },
        )
    };

    if mode == TrustMode::Pinned {
        let trust_rule = planned_trust(plan);
        let known = trust_rule.and_then(|rule| described(&rule.pinned_certificate));
        let cause = match (&known, leaf) {
            (Some(known), Some(leaf)) => pin_differences(known, leaf),
            _ => "The certificate may have been renewed with a new key, or somebody stands between: compare the \
                  fingerprints first."
                .to_owned(),
        };
        let failure = new(
            FailureCode::ServerCertPinMismatch,
            format!("{at} presented another certificate than the pinned one"),
            cause,
        )
        .fact("pinned_sha256", trust_rule.map(|rule| rule.pinned_sha256.clone()).unwrap_or_default());
        let failure = match known {
            Some(known) => failure.fact("pinned", facts_of(&known)),
            None => failure,
        };
        let failure = match leaf {
            Some(leaf) => failure.fact("presented", facts_of(leaf)),
            None => failure,
        };
        let failure =
            failure.fix("Verify with the operating system's roots instead", trust(TrustMode::System));
        return insecure(pin(failure));
    }
    match error {
        E::Expired | E::ExpiredContext { .. } => insecure(pin(new(
            FailureCode::ServerCertExpired,
            format!("The certificate of {at} has expired"),
            format!("`{subject}` was valid until {}; the server needs a new one, or this computer's clock is wrong.", leaf.map_or_else(String::new, |leaf| day(leaf.not_after))),
        ))),
        E::NotValidYet | E::NotValidYetContext { .. } => insecure(pin(retry(new(
            FailureCode::ServerCertNotYetValid,
            format!("The certificate of {at} is not valid yet"),
            format!("`{subject}` becomes valid on {}; likely this computer's clock, or the server's, is wrong.", leaf.map_or_else(String::new, |leaf| day(leaf.not_before))),
        )))),
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            let wanted = plan.tls.as_ref().map(|tls| tls.server_name.to_str().into_owned()).unwrap_or_default();
            let sans = leaf.map(|leaf| leaf.sans.clone()).unwrap_or_default();
            let names: Vec<_> = sans
                .iter()
                .filter_map(|san| san.strip_prefix("DNS:").or_else(|| san.strip_prefix("IP:")))
                .collect();
            if names.is_empty() {
                return insecure(pin(any_name(no_names(new, &at, subject))));
            }
            let failure = new(
                FailureCode::ServerCertNameMismatch,
                format!("The certificate of {at} is not for `{wanted}`"),
                format!("It is for {}; the connection asked for `{wanted}`.", names.join(", ")),
            )
            .fact("expected", wanted);
            let failure = match names.iter().find(|name| !name.contains('*')) {
                Some(name) => failure.fix(
                    format!("Use {name}, which the certificate names, as the host"),
                    FixAction::SetServer { server: Some((*name).to_owned()) },
                ),
                None => failure,
            };
            insecure(pin(any_name(failure)))
        }
        E::Revoked => retry(new(
            FailureCode::ServerCertRevoked,
            format!("The certificate of {at} has been revoked"),
            format!("Its issuer `{issuer}` took it back; the server needs a new one."),
        )),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => wrong_purpose(new, &at, subject, pin, insecure),
        // The chain was accepted; what the server then signed with its key was not. No trust can mend that.
        E::BadSignature if matches!(facts.verdict, Some(Ok(()))) => retry(new(
            FailureCode::ServerCertInvalid,
            format!("The certificate of {at} has a key that cannot be used"),
            format!(
                "The chain is in order, but what the server signed with the key of `{subject}` ({}) does not \
                 verify: likely the key is too short (RSA below 2048 bits), or it is another certificate's.",
                leaf.map_or("of unknown type", |leaf| leaf.key_type.as_str())
            ),
        )),
        _ if leaf.is_some_and(|leaf| leaf.self_signed) => insecure(
            pin(new(
                FailureCode::ServerCertSelfSigned,
                format!("The certificate of {at} is signed by itself, and not trusted here"),
                format!("`{subject}` vouches for itself; nothing else says that the server is the right one."),
            ))
            .fix("Choose that certificate as a CA file", trust(with_ca)),
        ),
        E::UnknownIssuer if lacks_intermediate(&facts.server_chain, &facts.own_roots) => insecure(pin(new(
            FailureCode::ServerCertChainIncomplete,
            format!("{at} did not send the certificate of `{}`, which its own hangs on", top_issuer(&facts.server_chain)),
            format!(
                "The server sent {} certificate{}, and the intermediate between `{subject}` and a trusted root is \
                 not among them; or `{issuer}` is an authority that is not trusted here.",
                chain.len(),
                if chain.len() == 1 { "" } else { "s" }
            ),
        )
        .fix("Choose the missing intermediate certificate as a CA file", trust(with_ca)))),
        E::UnknownIssuer if facts.rootless => insecure(pin(new(
            FailureCode::ServerCertUnknownIssuer,
            format!("There are no trusted roots on this computer to verify {at} with"),
            format!(
                "`{subject}` was issued by `{issuer}`, and the operating system knows no authority at all; on Linux \
                 the package ca-certificates brings them."
            ),
        )
        .fact("system_roots", 0)
        .fix("Choose the CA certificate of that authority", trust(with_ca)))),
        E::UnknownIssuer | E::BadSignature => insecure(pin(new(
            FailureCode::ServerCertUnknownIssuer,
            format!("The certificate of {at} comes from an authority that is not trusted here"),
            format!("`{subject}` was issued by `{issuer}`, which leads to none of the trusted roots."),
        )
        .fact("trusted_ca_files", facts.own_roots.iter().map(|name| name_words(name)).collect::<Vec<_>>())
        .fix("Choose the CA certificate of that authority", trust(with_ca)))),
        _ if leaf.is_some_and(|leaf| !leaf.allows("serverAuth")) => {
            wrong_purpose(new, &at, subject, pin, insecure)
        }
        // Version 1 has no extensions, so no names either, and is refused for its version first.
        _ if leaf.is_some_and(|leaf| leaf.sans.is_empty() && !leaf.is_ca) => {
            insecure(pin(no_names(new, &at, subject)))
        }
        other => insecure(pin(new(
            FailureCode::ServerCertInvalid,
            format!("The certificate of {at} cannot be accepted"),
            "It is not put together as RFC 5280 asks, or uses algorithms that are no longer safe.".to_owned(),
        )
        .fact("error", variant(other)))),
    }
}

/// A certificate as the profile keeps it, DER in base64.
fn described(base64: &str) -> Option<CertificateInfo> {
    use base64::Engine as _;
    let der = base64::engine::general_purpose::STANDARD.decode(base64.trim()).ok()?;
    describe(&der).ok()
}

/// What tells two certificates apart, for whoever has to decide.
fn facts_of(certificate: &CertificateInfo) -> serde_json::Value {
    serde_json::json!({
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "sans": certificate.sans,
        "serial": certificate.serial,
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "key_type": certificate.key_type,
        "sha256": certificate.sha256,
        "spki_sha256": certificate.spki_sha256,
    })
}

/// What a broken pin looks like: a renewal, another authority, or another server.
fn pin_differences(pinned: &CertificateInfo, presented: &CertificateInfo) -> String {
    let same_names = pinned.subject == presented.subject && pinned.sans == presented.sans;
    match (same_names, pinned.issuer == presented.issuer) {
        (true, true) if pinned.spki_sha256 == presented.spki_sha256 => format!(
            "It looks like a renewal with the same key: names, issuer and key are those of the pinned certificate, \
             which ends on {}. Pin the key instead of the certificate, and renewals pass.",
            day(pinned.not_after)
        ),
        (true, true) => format!(
            "It looks like a renewal with a new key: names and issuer `{}` are those of the pinned certificate, which \
             ends on {}. Compare the fingerprint with the server's before you pin it.",
            presented.issuer,
            day(pinned.not_after)
        ),
        (true, false) => format!(
            "It carries the same names, but `{}` issued it, not `{}`: the server changed its authority, or somebody \
             stands between.",
            presented.issuer, pinned.issuer
        ),
        (false, _) => format!(
            "It is of `{}`, not of `{}`: this is another server, or somebody stands between.",
            presented.subject, pinned.subject
        ),
    }
}

fn no_names(new: impl Fn(FailureCode, String, String) -> Failure, at: &str, subject: &str) -> Failure {
    new(
        FailureCode::ServerCertNoSan,
        format!("The certificate of {at} names no host at all"),
        format!(
            "`{subject}` has no subject alternative names; a common name alone has not counted since RFC 6125 \
             and RFC 9525."
        ),
    )
}

fn wrong_purpose(
    new: impl Fn(FailureCode, String, String) -> Failure,
    at: &str,
    subject: &str,
    pin: impl Fn(Failure) -> Failure,
    insecure: impl Fn(Failure) -> Failure,
) -> Failure {
    insecure(pin(new(
        FailureCode::ServerCertWrongPurpose,
        format!("The certificate of {at} is not meant for servers"),
        format!(
            "The extended key usages of `{subject}` do not include serverAuth; likely a client's certificate was installed on the server."
        ),
    )))
}

/// The name of an error's variant, without what is in it.
fn variant(error: &CertificateError) -> String {
    let text = format!("{error:?}");
    text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// The other reading of a refusal: an HTTP login is missing.
const LOGIN: &str = "login";

/// How a server showed that it does not accept our certificate, or the lack of one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sign {
    /// An alert.
    Alert(AlertDescription),
    /// The connection ended without one.
    Closed,
    /// A web server completed TLS and then refused the request.
    Refused {
        /// Its HTTP status.
        status: u16,
        /// Its status or page says that a certificate is the matter.
        says_so: bool,
    },
}

/// A failure of our own certificate, when the evidence says so.
pub(super) fn client(plan: &Plan, facts: &TlsFacts, seen: Stage, sign: Sign) -> Option<Failure> {
    if !facts.asked {
        return None;
    }
    let infos = facts.sent_infos();
    let code = match (sign, infos.first()) {
        (Sign::Alert(alert), None) => match alert {
            AlertDescription::CertificateRequired
            | AlertDescription::HandshakeFailure
            | AlertDescription::BadCertificate
            | AlertDescription::NoCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => FailureCode::ClientCertRequired,
            _ => return None,
        },
        (Sign::Closed | Sign::Refused { .. }, None) => FailureCode::ClientCertRequired,
        (Sign::Alert(alert), Some(leaf)) => match alert {
            AlertDescription::UnknownCA => unknown_or_incomplete(facts),
            AlertDescription::CertificateExpired => FailureCode::ClientCertExpired,
            AlertDescription::UnsupportedCertificate if !leaf.allows("clientAuth") => {
                FailureCode::ClientCertWrongPurpose
            }
            AlertDescription::CertificateRevoked => FailureCode::ClientCertRejected,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::HandshakeFailure
            | AlertDescription::CertificateRequired
            | AlertDescription::InternalError => {
                judge_ours(leaf, facts).unwrap_or(FailureCode::ClientCertRejected)
            }
            _ => return None,
        },
        (Sign::Closed, Some(leaf)) => judge_ours(leaf, facts)?,
        (Sign::Refused { says_so: true, .. }, Some(leaf)) => {
            judge_ours(leaf, facts).unwrap_or(FailureCode::ClientCertRejected)
        }
        (Sign::Refused { says_so: false, .. }, Some(leaf)) => judge_ours(leaf, facts)?,
    };
    // What a file's key can sign is known; a token may lack what the server and the TLS version ask for.
    let on_token = plan.identity.as_ref().is_some_and(|own| is_token(&own.key_file));
    let code = match code {
        FailureCode::ClientCertRequired if on_token => FailureCode::TokenMechanismUnsupported,
        code => code,
    };
    Some(describe_client(plan, facts, infos.first(), code, seen, sign))
}

fn describe_client(
    plan: &Plan,
    facts: &TlsFacts,
    leaf: Option<&CertificateInfo>,
    code: FailureCode,
    seen: Stage,
    sign: Sign,
) -> Failure {
    use FailureCode as C;
    let at = plan.address();
    let subject = leaf.map_or("", |leaf| leaf.subject.as_str());
    let issuer = leaf.map_or("", |leaf| leaf.issuer.as_str());
    // A refusal that does not say why may be for something else.
    let other_reading = match sign {
        Sign::Refused { status: 401, says_so: false } => Some(LOGIN),
        Sign::Refused { says_so: false, .. } => Some("request"),
        _ => None,
    };
    let how = match sign {
        Sign::Alert(alert) => format!("It said so with the TLS alert {}.", alert_name(alert)),
        Sign::Closed => {
            "It asked for one in TLS and then closed the connection without saying why.".to_owned()
        }
        Sign::Refused { status: 401, says_so: false } => {
            "It asked for one in TLS and then refused the request (HTTP 401) without naming an HTTP login that it takes \
             (WWW-Authenticate). Less likely it wants such a login all the same."
                .to_owned()
        }
        Sign::Refused { status, says_so: false } => format!(
            "It asked for one in TLS and then refused the request (HTTP {status}); or it refuses that for a reason of its own."
        ),
        Sign::Refused { status, says_so: true } => {
            format!("It asked for one in TLS and then refused the request (HTTP {status}), and says why.")
        }
    };
    let (message, cause) = match code {
        C::ClientCertRequired | C::TokenMechanismUnsupported if plan.identity.is_some() => (
            format!("{at} wants a client certificate, and could not use the one that is set"),
            format!(
                "The server accepts none of the signature algorithms that its key is capable of, so nothing was sent. {how}"
            ),
        ),
        C::ClientCertRequired => {
            let or = match other_reading {
                Some(LOGIN) => ", or an HTTP login",
                Some(_) => ", or does not allow the request",
                None => "",
            };
            (format!("{at} wants a client certificate, and none is set{or}"), format!("None was sent. {how}"))
        }
        C::ClientCertUnknownCa => (
            format!("{at} does not trust the authority that issued the client certificate `{subject}`"),
            format!("It was issued by `{issuer}`, which the server does not know. {how}"),
        ),
        C::ClientCertChainIncomplete => (
            format!("{at} cannot follow the client certificate `{subject}` to an authority that it trusts"),
            format!(
                "`{issuer}` issued it and looks like an intermediate, whose certificate was not sent along; or the server does not trust that authority. {how}"
            ),
        ),
        C::ClientCertExpired => (
            format!("{at} refused the client certificate `{subject}`, which is out of date"),
            format!(
                "It was valid until {}. {how}",
                leaf.map_or_else(String::new, |leaf| day(leaf.not_after))
            ),
        ),
        C::ClientCertWrongPurpose => (
            format!("{at} refused the client certificate `{subject}`, which is not meant for clients"),
            format!("Its extended key usages do not include clientAuth. {how}"),
        ),
        _ if leaf.is_some_and(|leaf| leaf.not_before > Clock::start().now()) => (
            format!("{at} refused the client certificate `{subject}`, which is not valid yet"),
            format!(
                "It becomes valid on {}; likely this computer's clock, or the server's, is wrong. {how}",
                leaf.map_or_else(String::new, |leaf| day(leaf.not_before))
            ),
        ),
        _ => (
            format!("{at} refused the client certificate `{subject}`"),
            format!(
                "It is in date, and nothing in it says why: the server may have revoked it, or not know its subject. {how}"
            ),
        ),
    };
    let mut failure = Failure::new(Stage::Tls, code, message)
        .because(cause)
        .seen_during(seen)
        .permanent()
        .fact("client_cert_asked", true)
        .fact("client_cert_set", plan.identity.is_some())
        .fact("client_cert_issuers", facts.issuers.iter().map(|name| name_words(name)).collect::<Vec<_>>());
    if let Some(leaf) = leaf {
        failure = failure
            .fact("client_cert_sent", leaf.subject.clone())
            .fact("client_cert_issuer", leaf.issuer.clone())
            .fact("client_cert_chain_length", facts.sent.len())
            .fact("not_after", leaf.not_after);
    }
    if let Some(version) = facts.version {
        failure = failure.fact("tls_version", crate::transport::version_words(version));
    }
    if let Sign::Alert(alert) = sign {
        failure = failure.fact("alert", alert_name(alert));
    }
    if let Some(reading) = other_reading {
        failure = failure.fact("other_reading", reading);
    }
    let label = match code {
        C::ClientCertRequired => "Choose a client certificate and its key",
        C::ClientCertChainIncomplete => {
            "Choose a certificate file that also holds the intermediate certificate"
        }
        C::ClientCertExpired => "Choose a client certificate that is in date",
        C::ClientCertWrongPurpose => "Choose a certificate that is meant for clients",
        _ => "Choose another client certificate and key",
    };
    failure.fix(label, FixAction::ChooseIdentity { swap: false, disable: false })
}

/// What a server would find wrong with our certificate, as far as we can see it ourselves.
fn judge_ours(leaf: &CertificateInfo, facts: &TlsFacts) -> Option<FailureCode> {
    let now = Clock::start().now();
    if leaf.not_after < now {
        return Some(FailureCode::ClientCertExpired);
    }
    if !leaf.allows("clientAuth") {
        return Some(FailureCode::ClientCertWrongPurpose);
    }
    if leaf.not_before > now {
        return Some(FailureCode::ClientCertRejected);
    }
    let named =
        facts.sent.iter().filter_map(|der| issuer_hints(der)).any(|h| facts.issuers.contains(&h.issuer));
    if !facts.issuers.is_empty() && !named {
        return Some(unknown_or_incomplete(facts));
    }
    // An authority made anew under its old name: the CA file that verifies the server shows the difference.
    let namesake = top_of(&facts.sent).is_some_and(|top| {
        facts.own_authorities.iter().any(|authority| only_called_as_issuer(top, authority))
    });
    namesake.then_some(FailureCode::ClientCertUnknownCa)
}

fn unknown_or_incomplete(facts: &TlsFacts) -> FailureCode {
    // We hold the certificate that would have led on: whoever gave us the CA file has it, the server has not.
    let at_hand = top_of(&facts.sent).is_some_and(|top| {
        let known = facts.own_authorities.iter().chain(&facts.server_chain);
        known.into_iter().any(|issuer| issued_by(top, issuer))
    });
    // Many servers name nobody; who trusts their certificate usually trusts the clients' root as well.
    let known: Vec<_> = facts.issuers.iter().chain(&facts.own_roots).cloned().collect();
    match at_hand || lacks_intermediate(&facts.sent, &known) {
        true => FailureCode::ClientCertChainIncomplete,
        false => FailureCode::ClientCertUnknownCa,
    }
}

/// Whether a chain likely ends below an intermediate that was left out, rather than at an authority nobody
/// knows. `known` are the names of trusted authorities. An intermediate shows in what its leaf says: where to
/// fetch it, a public log, its own name, or an organisation that one of the trusted roots belongs to.
fn lacks_intermediate(chain: &[CertificateDer<'_>], known: &[Vec<u8>]) -> bool {
    let Some(top) = top_of(chain) else { return false };
    let Some(hints) = issuer_hints(top) else { return false };
    if hints.issuer == subject_of(top) || known.contains(&hints.issuer) {
        return false;
    }
    let named_so = hints.common_name.split(|c: char| !c.is_alphanumeric()).any(|word| {
        matches!(word, "sub" | "subca" | "issuing" | "subordinate" | "inter")
            || word.starts_with("intermediate")
    });
    let below_a_known_root = !hints.common_name.contains("root")
        && known.iter().map(|name| name_parts_of(name)).any(|(organisation, common_name)| {
            organisation.is_some() && organisation == hints.organisation && common_name.contains("root")
        });
    hints.public || named_so || below_a_known_root
}

/// The last certificate that can be reached from the leaf within the chain.
fn top_of<'a>(chain: &'a [CertificateDer<'a>]) -> Option<&'a CertificateDer<'a>> {
    let mut top = chain.first()?;
    for _ in 0..chain.len() {
        let issuer = issuer_hints(top)?.issuer;
        match chain.iter().find(|der| subject_of(der) == issuer && der.as_ref() != top.as_ref()) {
            Some(next) => top = next,
            None => break,
        }
    }
    Some(top)
}

fn top_issuer(chain: &[CertificateDer<'_>]) -> String {
    top_of(chain).and_then(|der| issuer_hints(der)).map(|hints| name_words(&hints.issuer)).unwrap_or_default()
}

fn subject_of(der: &[u8]) -> Vec<u8> {
    crate::transport::subject(der).unwrap_or_default()
}

/// A day as `2026-11-22`.
fn day(micros: i64) -> String {
    // Civil from days, after Howard Hinnant's `chrono`-compatible low-level date algorithms.
    let days = micros.div_euclid(86_400_000_000) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::day;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(951_782_400_000_000), "2000-02-29");
        assert_eq!(day(1_795_305_600_000_000), "2026-11-22");
        assert_eq!(day(-1), "1969-12-31");
    }
}
