//! DER and the BER that old tools write (X.690). In: bytes. Out: elements, borrowed; or elements put together.
//! Knows tags and lengths, nothing of what they mean.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed.
pub(super) const CONTEXT_0: u8 = 0xa0;
/// `[0]`, primitive.
pub(super) const CONTEXT_0_PRIMITIVE: u8 = 0x80;

/// Files nest about ten deep.
const DEEPEST: usize = 32;

/// The first DER element: tag, content, and what follows it.
pub(super) fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, length, rest) = header(bytes)?;
    let (content, rest) = rest.split_at_checked(length?)?;
    Some((tag, content, rest))
}

/// The content of the first element when it has this tag, and what follows it.
pub(super) fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(tag, ..)| *tag == wanted).map(|(_, content, rest)| (content, rest))
}

/// The elements that stand one after another; `None` where one is cut.
pub(super) fn elements(mut bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (tag, content, rest) = element(bytes)?;
        found.push((tag, content));
        bytes = rest;
    }
    Some(found)
}

/// A positive INTEGER of at most eight bytes.
pub(super) fn number(content: &[u8]) -> Option<u64> {
    let digits = match content {
        [] => return None,
        [first, ..] if *first >= 0x80 => return None,
        [0, rest @ ..] => rest,
        all => all,
    };
    (digits.len() <= 8).then(|| digits.iter().fold(0, |number, digit| number << 8 | u64::from(*digit)))
}

/// How long the element that begins here is with its header; told from the header alone.
pub(super) fn length_told(bytes: &[u8]) -> Option<usize> {
    let (_, length, rest) = header(bytes)?;
    (bytes.len() - rest.len()).checked_add(length?)
}

/// An element of these parts.
pub(super) fn encode(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = Vec::with_capacity(length + 6);
    bytes.push(tag);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            let digits = length.to_be_bytes();
            let digits: Vec<u8> = digits.into_iter().skip_while(|digit| *digit == 0).collect();
            bytes.push(0x80 | digits.len() as u8);
            bytes.extend(digits);
        }
    }
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

/// An INTEGER.
pub(super) fn encode_number(number: u64) -> Vec<u8> {
    let digits = number.to_be_bytes();
    let first = digits.iter().position(|digit| *digit != 0).unwrap_or(7);
    let digits = &digits[first..];
    match digits.first() {
        Some(0x80..) => encode(INTEGER, &[&[0], digits]),
        _ => encode(INTEGER, &[digits]),
    }
}

/// BER as DER: lengths are told, and strings that come in pieces are joined. Bytes that are DER stay as they are.
pub(super) fn from_ber(bytes: &[u8]) -> Option<Vec<u8>> {
    let (element, _) = definite(bytes, 0)?;
    Some(element)
}

fn definite(bytes: &[u8], depth: usize) -> Option<(Vec<u8>, &[u8])> {
    if depth > DEEPEST {
        return None;
    }
    let (tag, length, rest) = header(bytes)?;
    let constructed = tag & 0x20 != 0;
    let Some(length) = length else {
        let (parts, rest) = parts_until_end(constructed.then_some(rest)?, depth)?;
        return Some((join(tag, &parts)?, rest));
    };
    let (content, rest) = rest.split_at_checked(length)?;
    if !constructed {
        return Some((encode(tag, &[content]), rest));
    }
    let mut parts = Vec::new();
    let mut inner = content;
    while !inner.is_empty() {
        let (part, after) = definite(inner, depth + 1)?;
        parts.push(part);
        inner = after;
    }
    Some((join(tag, &parts)?, rest))
}

/// The parts of an element without a length, up to the two zeros that end it.
fn parts_until_end(mut rest: &[u8], depth: usize) -> Option<(Vec<Vec<u8>>, &[u8])> {
    let mut parts = Vec::new();
    loop {
        if let [0, 0, after @ ..] = rest {
            return Some((parts, after));
        }
        let (part, after) = definite(rest, depth + 1)?;
        parts.push(part);
        rest = after;
    }
}

/// An OCTET STRING in pieces becomes one, also when it hides behind a context tag (RFC 5652, 6.1: the encrypted
/// content); everything else keeps its parts.
fn join(tag: u8, parts: &[Vec<u8>]) -> Option<Vec<u8>> {
    let pieces = |tag| {
        let contents = parts.iter().map(|part| expect(part, OCTET_STRING).map(|(content, _)| content));
        contents.collect::<Option<Vec<_>>>().map(|contents| encode(tag, &contents))
    };
    let whole = || encode(tag, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    match tag {
        0x24 => pieces(OCTET_STRING),
        // `[0]` with one string inside is explicit (`data`); with several it is a string in pieces.
        CONTEXT_0 if parts.len() > 1 => Some(pieces(CONTEXT_0_PRIMITIVE).unwrap_or_else(whole)),
        _ => Some(whole()),
    }
}

/// Tag, length (`None` when it is not told), and what follows the two.
pub(super) fn header(bytes: &[u8]) -> Option<(u8, Option<usize>, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&short, rest) = rest.split_first()?;
    match short {
        0..=0x7f => Some((tag, Some(usize::from(short)), rest)),
        0x80 => Some((tag, None, rest)),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            let length = digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit));
            Some((tag, Some(length), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_numbers_go_there_and_back() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let bytes = encode(OCTET_STRING, &[&vec![7; length]]);
            let (content, rest) = expect(&bytes, OCTET_STRING).expect("an element");
            assert_eq!((content.len(), rest.len()), (length, 0));
            assert_eq!(length_told(&bytes), Some(bytes.len()));
        }
        for value in [0, 1, 127, 128, 255, 256, 600_000, u64::MAX] {
            let bytes = encode_number(value);
            assert_eq!(number(element(&bytes).expect("an element").1), Some(value));
        }
        assert_eq!(number(&[0xff]), None);
    }

    #[test]
    fn ber_becomes_der() {
        let der = encode(SEQUENCE, &[&encode_number(3), &encode(OCTET_STRING, &[b"abcd"])]);
        assert_eq!(from_ber(&der).as_ref(), Some(&der));
        let ber = [0x30, 0x80, 2, 1, 3, 0x24, 0x80, 4, 2, b'a', b'b', 4, 2, b'c', b'd', 0, 0, 0, 0];
        assert_eq!(from_ber(&ber).as_ref(), Some(&der));
        assert_eq!(from_ber(&ber[..ber.len() - 2]), None, "its end is missing");
        assert_eq!(from_ber(&[0x30, 0x80].repeat(100)), None, "too deep");
    }
}
