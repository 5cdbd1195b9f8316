//! What a stapled OCSP answer (RFC 6960) says about revocation. In: the answer that came with the handshake, and
//! the certificate. Out: whether it calls that certificate revoked. The answer comes from the server itself,
//! inside its own handshake, so a bad word about itself is believed without its signature; a good word means
//! nothing here.

use x509_parser::asn1_rs::{Any, Class, FromDer as _, Tag};
use x509_parser::prelude::X509Certificate;

/// Whether the answer says that the certificate was revoked.
pub(super) fn says_revoked(answer: &[u8], certificate: &[u8]) -> bool {
    find_revoked(answer, certificate).unwrap_or(false)
}

fn find_revoked(answer: &[u8], certificate: &[u8]) -> Option<bool> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    // OCSPResponse: status, then [0] with ResponseBytes: a type, and an octet string with BasicOCSPResponse.
    let response = part(answer)?.0;
    let (_, bytes) = part(response.data)?;
    let bytes = part(part(bytes)?.0.data)?.0;
    let (_, basic) = part(bytes.data)?;
    let basic = part(part(basic)?.0.data)?.0;
    // ResponseData: perhaps [0] version, a responder, a time, the single responses.
    let mut rest = part(basic.data)?.0.data;
    let singles = loop {
        let (found, after) = part(rest)?;
        if found.tag() == Tag::Sequence && found.class() == Class::Universal {
            break found;
        }
        rest = after;
    };
    let mut rest = singles.data;
    while let Some((single, after)) = part(rest) {
        rest = after;
        // SingleResponse: CertID (algorithm, two hashes, serial number), then the status; [1] is revoked.
        let (id, status) = part(single.data)?;
        let mut fields = id.data;
        for _ in 0..3 {
            fields = part(fields)?.1;
        }
        let serial = part(fields)?.0.data;
        let status = part(status)?.0;
        if serial == certificate.raw_serial() && status.tag().0 == 1 {
            return Some(true);
        }
    }
    Some(false)
}

fn part(der: &[u8]) -> Option<(Any<'_>, &[u8])> {
    Any::from_der(der).ok().map(|(rest, any)| (any, rest))
}
