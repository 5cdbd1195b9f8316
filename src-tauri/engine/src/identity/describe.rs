//! Certificates in words (RFC 5280). In: DER. Out: [`CertificateInfo`], key types, signatures that verify.

use base64::Engine as _;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{CertificateInfo, RevocationListInfo, der::element};

const KEY_USAGES: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

impl CertificateInfo {
    /// Whether the extended key usage (RFC 5280, 4.2.1.12) allows this purpose, e.g. `clientAuth`; a
    /// certificate without that extension allows all.
    pub fn allows(&self, purpose: &str) -> bool {
        let mut extended = self.usages.iter().filter(|name| !KEY_USAGES.contains(&name.as_str())).peekable();
        extended.peek().is_none() || extended.any(|name| name == purpose || name == "anyExtendedKeyUsage")
    }

    /// The certificate itself, DER.
    pub(super) fn der(&self) -> Vec<u8> {
        base64::engine::general_purpose::STANDARD.decode(&self.der_base64).unwrap_or_default()
    }

    /// Whether it names a host, as a server's must (RFC 9525).
    pub fn names_host(&self, host: &str) -> bool {
        let der = CertificateDer::from(self.der());
        let Ok(name) = ServerName::try_from(host) else { return false };
        ParsedCertificate::try_from(&der).is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
    }

    /// How a person would call it: the common name, else the first alternative name, else the subject.
    pub fn short_name(&self) -> &str {
        let name = self.common_name.as_deref().or(self.sans.first().map(String::as_str));
        name.filter(|name| !name.is_empty()).unwrap_or(&self.subject)
    }
}

pub(super) fn describe(der: &[u8]) -> Option<CertificateInfo> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let der = certificate.as_raw();
    Some(CertificateInfo {
        subject: printable(&certificate.subject().to_string()),
        common_name: certificate
            .subject()
            .iter_common_name()
            .last()
            .and_then(|name| name.as_str().ok())
            .map(printable),
        issuer: printable(&certificate.issuer().to_string()),
        sans: alternative_names(&certificate),
        serial: hex::encode(certificate.tbs_certificate.serial.to_bytes_be()),
        not_before: micros(certificate.validity().not_before),
        not_after: micros(certificate.validity().not_after),
        key_type: key_type(certificate.public_key()),
        usages: usages(&certificate),
        is_ca: certificate.is_ca(),
        self_signed: certificate.subject().as_raw() == certificate.issuer().as_raw()
            && signed_by(&certificate, &certificate),
        sha256: hex::encode(Sha256::digest(der)),
        sha1: hex::encode(Sha1::digest(der)),
        spki_sha256: hex::encode(Sha256::digest(certificate.public_key().raw)),
        der_base64: base64::engine::general_purpose::STANDARD.encode(der),
    })
}

pub(super) fn describe_crl(der: &[u8]) -> Option<RevocationListInfo> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    Some(RevocationListInfo {
        issuer: printable(&list.issuer().to_string()),
        this_update: micros(list.last_update()),
        next_update: list.next_update().map(micros),
        revoked: list.iter_revoked_certificates().count(),
    })
}

/// The type of a key, e.g. `ECDSA P-256`, from a DER SubjectPublicKeyInfo.
pub(super) fn key_type_of_spki(der: &[u8]) -> Option<String> {
    SubjectPublicKeyInfo::from_der(der).ok().map(|(_, key)| key_type(&key))
}

/// The type of a private key that rustls cannot read, from its PKCS#8 or SEC1 structure.
pub(super) fn key_type_of_private(der: &[u8]) -> Option<String> {
    let (_, body, _) = element(der)?;
    let (_, _, rest) = element(body)?;
    let (tag, algorithm, rest) = element(rest)?;
    let (identifier, curve) = match tag {
        0x30 => {
            let (_, identifier, parameters) = element(algorithm)?;
            (identifier, element(parameters).map(|(_, curve, _)| curve))
        }
        // SEC1: the curve is in the context tag 0.
        0x04 => {
            (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01][..], element(element(rest)?.1).map(|(_, c, _)| c))
        }
        _ => return None,
    };
    Some(algorithm_name(&oid_text(identifier), &curve.map(oid_text).unwrap_or_default(), None))
}

/// Whether the signature on `certificate` was made with the key of `issuer`.
pub(super) fn signed_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    if certificate.verify_signature(Some(issuer.public_key())).is_ok() {
        return true;
    }
    // x509-parser knows no P-521; rustls' provider does.
    let Some(parts) = SignedParts::of(certificate) else { return false };
    let Some((_, key, _)) = element(issuer.public_key().raw) else { return false };
    let Some((_, key_algorithm, _)) = element(key) else { return false };
    let provider = aws_lc_rs::default_provider();
    let key = &issuer.public_key().subject_public_key.data;
    provider.signature_verification_algorithms.all.iter().any(|algorithm| {
        algorithm.public_key_alg_id().as_ref() == key_algorithm
            && algorithm.signature_alg_id().as_ref() == parts.algorithm
            && algorithm.verify_signature(key, parts.signed, &certificate.signature_value.data).is_ok()
    })
}

/// The parts of a certificate that its signature is about (RFC 5280, 4.1).
struct SignedParts<'c> {
    signed: &'c [u8],
    algorithm: &'c [u8],
}

impl<'c> SignedParts<'c> {
    fn of(certificate: &X509Certificate<'c>) -> Option<Self> {
        let (_, body, _) = element(certificate.as_raw())?;
        let (_, _, rest) = element(body)?;
        let signed = body.get(..body.len() - rest.len())?;
        let (_, algorithm, _) = element(rest)?;
        Some(Self { signed, algorithm })
    }
}

fn key_type(key: &SubjectPublicKeyInfo<'_>) -> String {
    let identifier = key.algorithm.algorithm.to_id_string();
    let curve = key.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok()).map(|oid| oid.to_id_string());
    let bits = match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => Some(rsa.key_size()),
        _ => None,
    };
    algorithm_name(&identifier, &curve.unwrap_or_default(), bits)
}

fn algorithm_name(identifier: &str, curve: &str, bits: Option<usize>) -> String {
    let bits = bits.map(|bits| format!(" {bits}")).unwrap_or_default();
    match identifier {
        "1.2.840.113549.1.1.1" => format!("RSA{bits}"),
        "1.2.840.113549.1.1.10" => format!("RSA-PSS{bits}"),
        "1.2.840.10045.2.1" => match curve {
            "1.2.840.10045.3.1.7" => "ECDSA P-256".into(),
            "1.3.132.0.34" => "ECDSA P-384".into(),
            "1.3.132.0.35" => "ECDSA P-521".into(),
            "1.3.132.0.10" => "ECDSA secp256k1".into(),
            "1.2.840.10045.3.1.1" => "ECDSA P-192".into(),
            "1.3.132.0.33" => "ECDSA P-224".into(),
            "" => "ECDSA with explicit parameters".into(),
            curve if curve.starts_with("1.3.36.3.3.2.8.1.1.") => "ECDSA brainpool".into(),
            curve => format!("ECDSA on curve {curve}"),
        },
        "1.3.101.110" => "X25519".into(),
        "1.3.101.111" => "X448".into(),
        "1.3.101.112" => "Ed25519".into(),
        "1.3.101.113" => "Ed448".into(),
        "1.2.840.10040.4.1" => "DSA".into(),
        "2.16.840.1.101.3.4.3.17" => "ML-DSA-44".into(),
        "2.16.840.1.101.3.4.3.18" => "ML-DSA-65".into(),
        "2.16.840.1.101.3.4.3.19" => "ML-DSA-87".into(),
        other => format!("algorithm {other}"),
    }
}

fn oid_text(content: &[u8]) -> String {
    x509_parser::der_parser::Oid::new(content.into()).to_id_string()
}

fn usages(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(Some(usage)) = certificate.key_usage() {
        let bits = (0..9).filter(|bit| usage.value.flags >> bit & 1 == 1);
        names.extend(bits.filter_map(|bit| KEY_USAGES.get(bit).map(|name| (*name).to_owned())));
    }
    if let Ok(Some(usage)) = certificate.extended_key_usage() {
        let usage = usage.value;
        for (set, name) in [
            (usage.any, "anyExtendedKeyUsage"),
            (usage.server_auth, "serverAuth"),
            (usage.client_auth, "clientAuth"),
            (usage.code_signing, "codeSigning"),
            (usage.email_protection, "emailProtection"),
            (usage.time_stamping, "timeStamping"),
            (usage.ocsp_signing, "OCSPSigning"),
        ] {
            names.extend(set.then(|| name.to_owned()));
        }
        names.extend(usage.other.iter().map(|oid| oid.to_id_string()));
    }
    names
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extensions = certificate.extensions().iter().map(|extension| extension.parsed_extension());
    let names = extensions.filter_map(|extension| match extension {
        ParsedExtension::SubjectAlternativeName(names) => Some(names),
        _ => None,
    });
    names.flat_map(|names| &names.general_names).map(|name| printable(&alternative_name(name))).collect()
}

fn alternative_name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        GeneralName::URI(uri) => format!("URI:{uri}"),
        GeneralName::RFC822Name(address) => format!("email:{address}"),
        GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
            (Ok(v4), _) => format!("IP:{}", std::net::Ipv4Addr::from(v4)),
            (_, Ok(v6)) => format!("IP:{}", std::net::Ipv6Addr::from(v6)),
            _ => format!("IP:{}", hex::encode(bytes)),
        },
        GeneralName::DirectoryName(name) => format!("DirName:{name}"),
        GeneralName::RegisteredID(oid) => format!("RID:{}", oid.to_id_string()),
        GeneralName::OtherName(oid, _) => format!("other:{}", oid.to_id_string()),
        GeneralName::X400Address(_) => "other:x400Address".into(),
        GeneralName::EDIPartyName(_) => "other:ediPartyName".into(),
        GeneralName::Invalid(..) => "other:invalid".into(),
    }
}

/// A certificate is somebody else's text: it must not steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn micros(time: ASN1Time) -> i64 {
    time.timestamp().saturating_mul(1_000_000)
}
