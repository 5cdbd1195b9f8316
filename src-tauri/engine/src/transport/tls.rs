//! TLS. In: a connected stream, whom to trust, who we are. Out: an encrypted stream, and what both sides said
//! about themselves. Whether a certificate is trusted is decided by webpki or the operating system, never
//! here, except for the three cases a person can ask for: a pinned one, a name mismatch, anything at all.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, HandshakeKind, ProtocolVersion, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;
use webpki::RawPublicKeyEntity;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name};

use super::plan::TlsPlan;
use super::staple;
use super::wire::{BoxedStream, Shared};
use crate::identity::{CertificateInfo, describe};
use crate::profile::{TlsVersion, TrustMode};
use crate::trace::{TlsDetail, TrustRule};

/// What both sides said in the handshake, filled while it runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsFacts {
    /// Whether TLS is part of this attempt.
    pub(crate) used: bool,
    /// The chain the server presented, leaf first, DER.
    pub(crate) server_chain: Vec<CertificateDer<'static>>,
    /// What came of it; `None` when it never came to that.
    pub(crate) verdict: Option<Result<(), rustls::Error>>,
    /// Subjects (DER) of the CA files that are trusted.
    pub(crate) own_roots: Vec<Vec<u8>>,
    /// The certificates of those files, DER.
    pub(crate) own_authorities: Vec<CertificateDer<'static>>,
    /// This computer has no roots at all.
    pub(crate) rootless: bool,
    /// Whether the server asked for a client certificate.
    pub(crate) asked: bool,
    /// Whom it named as issuers (DER).
    pub(crate) issuers: Vec<Vec<u8>>,
    /// The chain that was sent, leaf first, DER; empty when none was.
    pub(crate) sent: Vec<CertificateDer<'static>>,
    /// The version, once the server has signed with it.
    pub(crate) version: Option<ProtocolVersion>,
}

impl TlsFacts {
    pub(crate) fn server_infos(&self) -> Vec<CertificateInfo> {
        self.server_chain.iter().filter_map(|der| describe(der).ok()).collect()
    }

    pub(crate) fn sent_infos(&self) -> Vec<CertificateInfo> {
        self.sent.iter().filter_map(|der| describe(der).ok()).collect()
    }

    /// Copies into the trace what is known so far.
    pub(crate) fn fill(&self, detail: &mut TlsDetail) {
        detail.version = self.version.map(version_words);
        detail.server_chain = self.server_infos();
        detail.verified = self.verdict.as_ref().map(Result::is_ok);
        detail.client_cert_asked = self.asked;
        detail.client_cert_issuers = self.issuers.iter().map(|name| name_words(name)).collect();
        let asked_by_name = !self.issuers.is_empty() && !self.sent.is_empty();
        detail.client_cert_issuer_named = asked_by_name.then(|| {
            let issuers = self.sent.iter().filter_map(|der| issuer_hints(der)).map(|hints| hints.issuer);
            issuers.into_iter().any(|issuer| self.issuers.contains(&issuer))
        });
        detail.client_cert_sent = self.sent_infos().into_iter().next();
    }
}

/// A distinguished name (DER) in words.
pub(crate) fn name_words(der: &[u8]) -> String {
    X509Name::from_der(der).map_or_else(|_| hex::encode(der), |(_, name)| name.to_string())
}

/// What the TLS stage begins with.
pub(crate) fn planned_detail(plan: &TlsPlan) -> TlsDetail {
    let rule = TrustRule::of(&plan.trust);
    TlsDetail {
        alpn_offered: plan.alpn.clone(),
        sni: match &plan.server_name {
            ServerName::DnsName(name) => Some(name.as_ref().to_owned()),
            _ => None,
        },
        trust: rule.words(),
        trust_rule: Some(rule),
        ..TlsDetail::default()
    }
}

/// Builds the client configuration. Reads the operating system's roots from disk: call it where that may block.
///
/// # Errors
/// There are no roots, or none that can be used.
pub(crate) fn configure(
    plan: &TlsPlan,
    authorities: Vec<CertificateDer<'static>>,
    revocation_lists: &[CertificateRevocationListDer<'static>],
    identity: Option<Arc<CertifiedKey>>,
    facts: &Shared<TlsFacts>,
) -> Result<ClientConfig, rustls::Error> {
    facts.edit(|f| {
        f.used = true;
        f.own_roots = authorities.iter().filter_map(|der| subject(der)).collect();
        f.own_authorities.clone_from(&authorities);
    });
    let provider = Arc::new(aws_lc_rs::default_provider());
    let judge: Arc<dyn ServerCertVerifier> = match (plan.trust.mode, plan.pin) {
        (TrustMode::Pinned, Some(sha256)) => Arc::new(Pinned { sha256, provider: Arc::clone(&provider) }),
        (TrustMode::Insecure, _) => Arc::new(Always { verdict: Ok(()), provider: Arc::clone(&provider) }),
        (TrustMode::CaOnly, _) => webpki(&authorities, revocation_lists, &provider)?,
        _ if revocation_lists.is_empty() => system(&authorities, &provider, facts)?,
        // The operating system cannot be handed lists: webpki has to agree.
        _ => {
            let known: Vec<_> = authorities.iter().cloned().chain(native_roots()).collect();
            let others = vec![webpki(&known, revocation_lists, &provider)?];
            Arc::new(All { first: system(&authorities, &provider, facts)?, others })
        }
    };
    let verifier = Recording {
        judge,
        any_name: !plan.trust.verify_host_name,
        staples: !matches!(plan.trust.mode, TrustMode::Pinned | TrustMode::Insecure),
        authorities,
        facts: facts.clone(),
    };
    let resolver = Resolver { identity, facts: facts.clone() };
    let versions: &[&rustls::SupportedProtocolVersion] = match plan.min_version {
        TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = plan.alpn.iter().map(|name| name.clone().into_bytes()).collect();
    // Every attempt shows a whole handshake: a resumed one says nothing about certificates.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Shakes hands. Fills `detail` with what was agreed.
///
/// # Errors
/// The handshake failed; with the stream, which may still have something to say.
pub(crate) async fn connect(
    stream: BoxedStream,
    server_name: &ServerName<'static>,
    config: ClientConfig,
    facts: &Shared<TlsFacts>,
    detail: &mut TlsDetail,
) -> Result<BoxedStream, (io::Error, BoxedStream)> {
    let connecting = TlsConnector::from(Arc::new(config)).connect(server_name.clone(), stream);
    let connected = connecting.into_fallible().await;
    facts.read().fill(detail);
    let stream = connected?;
    let (_, session) = stream.get_ref();
    facts.edit(|f| f.version = session.protocol_version());
    detail.version = session.protocol_version().map(version_words);
    detail.cipher_suite = session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    detail.key_exchange = session.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
    detail.alpn_chosen = session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    detail.resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    Ok(Box::new(stream))
}

pub(crate) fn version_words(version: ProtocolVersion) -> String {
    match version {
        ProtocolVersion::TLSv1_3 => "TLS 1.3".to_owned(),
        ProtocolVersion::TLSv1_2 => "TLS 1.2".to_owned(),
        other => format!("{other:?}"),
    }
}

pub(crate) fn subject(der: &[u8]) -> Option<Vec<u8>> {
    X509Certificate::from_der(der).ok().map(|(_, cert)| cert.subject().as_raw().to_vec())
}

fn webpki(
    authorities: &[CertificateDer<'static>],
    revocation_lists: &[CertificateRevocationListDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned());
    let roots = Arc::new(roots);
    let judge = |lists| -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
            .with_crls(lists)
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(verifier)
    };
    let mut rounds = rounds(revocation_lists).into_iter();
    let first = judge(rounds.next().unwrap_or_default())?;
    let others = rounds.map(judge).collect::<Result<_, _>>()?;
    Ok(Arc::new(All { first, others }))
}

/// The lists, in rounds with one of each issuer at most: of an issuer's lists, webpki asks the first and no other.
fn rounds(
    lists: &[CertificateRevocationListDer<'static>],
) -> Vec<Vec<CertificateRevocationListDer<'static>>> {
    let mut rounds: Vec<Vec<_>> = Vec::new();
    let mut of_issuer: HashMap<Vec<u8>, usize> = HashMap::new();
    for list in lists {
        let issuer = x509_parser::parse_x509_crl(list).map(|(_, crl)| crl.issuer().as_raw().to_vec());
        // webpki says what is wrong with one that cannot be read.
        let round = of_issuer.entry(issuer.unwrap_or_default()).or_default();
        if *round == rounds.len() {
            rounds.push(Vec::new());
        }
        rounds[*round].push(list.clone());
        *round += 1;
    }
    rounds
}

fn system(
    authorities: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
    facts: &Shared<TlsFacts>,
) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
    let usable = authorities.iter().filter(|der| RootCertStore::empty().add((*der).clone()).is_ok()).cloned();
    match rustls_platform_verifier::Verifier::new_with_extra_roots(usable, Arc::clone(provider)) {
        Ok(verifier) => Ok(Arc::new(verifier)),
        // The handshake still shows the certificate, and a person can decide about that.
        Err(_) if native_roots().is_empty() => {
            facts.edit(|f| f.rootless = true);
            let verdict = Err(CertificateError::UnknownIssuer);
            Ok(Arc::new(Always { verdict, provider: Arc::clone(provider) }))
        }
        Err(error) => Err(error),
    }
}

/// The operating system's roots as certificates; those that it does not hand out are missing.
fn native_roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// Judges who must all agree.
#[derive(Debug)]
struct All {
    /// Also says whether signatures are good.
    first: Arc<dyn ServerCertVerifier>,
    others: Vec<Arc<dyn ServerCertVerifier>>,
}

impl ServerCertVerifier for All {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.first.verify_server_cert(leaf, chain, name, ocsp, now)?;
        for judge in &self.others {
            judge.verify_server_cert(leaf, chain, name, ocsp, now)?;
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.first.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.first.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.first.supported_verify_schemes()
    }
}

/// Records the presented chain and the verdict of the verifier inside.
#[derive(Debug)]
struct Recording {
    judge: Arc<dyn ServerCertVerifier>,
    any_name: bool,
    /// Whether a stapled answer that says revoked counts.
    staples: bool,
    authorities: Vec<CertificateDer<'static>>,
    facts: Shared<TlsFacts>,
}

impl Recording {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError as C;
        let error = match self.judge.verify_server_cert(leaf, chain, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(error)) => error,
            Ok(_) if self.staples && staple::says_revoked(ocsp, leaf) => C::Revoked,
            other => return other,
        };
        let refused = match error {
            C::NotValidForName | C::NotValidForNameContext { .. } if self.any_name => {
                return match own_name(leaf) {
                    // Judged again by a name that it does carry: the mismatch is then all that is let through.
                    Some(own) => self.judge.verify_server_cert(leaf, chain, &own, ocsp, now),
                    // Without any name there is nothing to ask by. webpki looks at names last, others may not.
                    None if NAMES_ARE_LAST => Ok(ServerCertVerified::assertion()),
                    None => Err(error.into()),
                };
            }
            C::Expired
            | C::ExpiredContext { .. }
            | C::NotValidYet
            | C::NotValidYetContext { .. }
            | C::NotValidForName
            | C::NotValidForNameContext { .. }
            | C::Revoked => error,
            // A certificate that is itself among the given CA files is trusted as it is, as OpenSSL does: the
            // usual self-signed certificate calls itself a CA, which webpki refuses in a server's place.
            other if self.authorities.iter().any(|known| known.as_ref() == leaf.as_ref()) => {
                let valid = describe(leaf).is_ok_and(|info| {
                    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000_000);
                    (info.not_before..=info.not_after).contains(&now)
                });
                if !valid {
                    return Err(other.into());
                }
                if !self.any_name {
                    verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
                }
                return Ok(ServerCertVerified::assertion());
            }
            other => other,
        };
        Err(refused.into())
    }
}

const NAMES_ARE_LAST: bool = cfg!(not(any(windows, target_vendor = "apple", target_os = "android")));

/// A name that the certificate carries.
fn own_name(leaf: &CertificateDer<'_>) -> Option<ServerName<'static>> {
    let (_, cert) = X509Certificate::from_der(leaf).ok()?;
    let names = cert.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::DNSName(name) => ServerName::try_from(name.replacen("*.", "any.", 1)).ok(),
        GeneralName::IPAddress(bytes) => {
            let address = match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(std::net::IpAddr::from),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(std::net::IpAddr::from),
            };
            address.map(ServerName::from)
        }
        _ => None,
    })
}

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.judge(leaf, chain, name, ocsp, now);
        self.facts.edit(|f| {
            f.server_chain = std::iter::once(leaf).chain(chain).map(|der| der.clone().into_owned()).collect();
            f.verdict = Some(verdict.as_ref().map(|_| ()).map_err(Clone::clone));
        });
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.facts.edit(|f| f.version = Some(ProtocolVersion::TLSv1_2));
        self.judge.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.facts.edit(|f| f.version = Some(ProtocolVersion::TLSv1_3));
        self.judge.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

/// Accepts one certificate, by its fingerprint or that of its public key. Whoever presents it must still hold its key.
#[derive(Debug)]
struct Pinned {
    sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
}

/// Says the same of every certificate whose key the peer holds: that it is accepted, or why none can be.
#[derive(Debug)]
struct Always {
    verdict: Result<(), CertificateError>,
    provider: Arc<CryptoProvider>,
}

/// Whether what was signed was signed with the certificate's key. Nothing else of the certificate is looked at, so
/// that one which webpki would not even read, as of version 1, can be pinned.
fn signed_by_its_key(
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
    provider: &CryptoProvider,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let unreadable = || rustls::Error::from(CertificateError::BadEncoding);
    let (_, parsed) = X509Certificate::from_der(cert).map_err(|_| unreadable())?;
    let spki = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
    let key = RawPublicKeyEntity::try_from(&spki).map_err(|_| unreadable())?;
    let known = provider.signature_verification_algorithms.mapping;
    let mut fitting =
        known.iter().filter(|(scheme, _)| *scheme == dss.scheme).flat_map(|(_, fitting)| *fitting);
    match fitting.any(|algorithm| key.verify_signature(*algorithm, message, dss.signature()).is_ok()) {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(CertificateError::BadSignature.into()),
    }
}

macro_rules! verify_signatures_only {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            signed_by_its_key(message, cert, dss, &self.provider)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            signed_by_its_key(message, cert, dss, &self.provider)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let key = X509Certificate::from_der(leaf).ok().map(|(_, cert)| Sha256::digest(cert.public_key().raw));
        if Sha256::digest(leaf)[..] == self.sha256 || key.is_some_and(|key| key[..] == self.sha256) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    verify_signatures_only!();
}

impl ServerCertVerifier for Always {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verdict.clone().map(|()| ServerCertVerified::assertion()).map_err(Into::into)
    }

    verify_signatures_only!();
}

/// Hands out our certificate, whatever the transport on top, and notes that it was asked for.
#[derive(Debug)]
struct Resolver {
    identity: Option<Arc<CertifiedKey>>,
    facts: Shared<TlsFacts>,
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Sent even when the server did not name its issuer: the server is the one to judge.
        let sent = self.identity.clone().filter(|identity| identity.key.choose_scheme(schemes).is_some());
        self.facts.edit(|f| {
            f.asked = true;
            f.issuers = issuers.iter().map(|name| name.to_vec()).collect();
            f.sent = sent.as_ref().map_or_else(Vec::new, |identity| identity.cert.clone());
        });
        sent
    }

    fn has_certs(&self) -> bool {
        // Also without one: only then does rustls ask here, and we learn that the server wanted it.
        true
    }
}

/// Whether `issuer` signed `certificate`, both DER, and is itself below another.
pub(crate) fn issued_by(certificate: &[u8], issuer: &[u8]) -> bool {
    let Ok((_, issuer)) = X509Certificate::from_der(issuer) else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    certificate.issuer().as_raw() == issuer.subject().as_raw()
        && issuer.issuer().as_raw() != issuer.subject().as_raw()
        && certificate.verify_signature(Some(issuer.public_key())).is_ok()
}

/// Whether `authority`, DER, is called as the issuer of `certificate`, and yet did not sign it.
pub(crate) fn only_called_as_issuer(certificate: &[u8], authority: &[u8]) -> bool {
    let Ok((_, authority)) = X509Certificate::from_der(authority) else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    certificate.issuer().as_raw() == authority.subject().as_raw()
        && certificate.verify_signature(Some(authority.public_key())).is_err()
}

/// Facts about a certificate that tell a missing intermediate from an unknown authority.
pub(crate) struct IssuerHints {
    /// The issuer's distinguished name, DER.
    pub(crate) issuer: Vec<u8>,
    /// The certificate says where its issuer's certificate can be fetched (RFC 5280, 4.2.2.1), or is logged
    /// publicly (RFC 6962): both are what public authorities do, whose leaves hang on intermediates.
    pub(crate) public: bool,
    /// Name of the issuer's organisation.
    pub(crate) organisation: Option<String>,
    /// Common name of the issuer, in lower case.
    pub(crate) common_name: String,
}

/// Reads the hints from a certificate.
pub(crate) fn issuer_hints(der: &[u8]) -> Option<IssuerHints> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    let public = cert.extensions().iter().any(|extension| {
        matches!(
            extension.parsed_extension(),
            ParsedExtension::AuthorityInfoAccess(_) | ParsedExtension::SCT(_)
        )
    });
    let (organisation, common_name) = name_parts(cert.issuer());
    Some(IssuerHints { issuer: cert.issuer().as_raw().to_vec(), public, organisation, common_name })
}

/// Organisation and lower-case common name of a distinguished name in DER.
pub(crate) fn name_parts_of(der: &[u8]) -> (Option<String>, String) {
    X509Name::from_der(der).map_or_else(|_| (None, String::new()), |(_, name)| name_parts(&name))
}

fn name_parts(name: &X509Name<'_>) -> (Option<String>, String) {
    let text = |found: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
        found.and_then(|value| value.as_str().ok()).map(str::to_owned)
    };
    let organisation = text(name.iter_organization().next());
    let common_name = text(name.iter_common_name().next()).unwrap_or_default().to_lowercase();
    (organisation, common_name)
}
