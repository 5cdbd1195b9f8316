//! What a measured message carries in front of its payload: who published it, its number, and when. In: these. Out:
//! bytes, and back. A message of somebody else has none.

use heliograph_engine::message::UnixMicros;

/// How many bytes it takes; the shortest payload that can be measured.
pub const BYTES: usize = 28;

const MAGIC: &[u8; 4] = b"hlb1";

/// The stamp of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Random, one a publishing client and run.
    pub publisher: u64,
    /// Counts from 0, without a gap.
    pub number: u64,
    /// When it was handed to the session, by the publisher's clock.
    pub time: UnixMicros,
}

impl Stamp {
    pub fn bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..12].copy_from_slice(&self.publisher.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.number.to_be_bytes());
        bytes[20..].copy_from_slice(&self.time.to_be_bytes());
        bytes
    }

    pub fn read(payload: &[u8]) -> Option<Self> {
        let rest = payload.get(..BYTES)?.strip_prefix(MAGIC)?;
        let (publisher, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        Some(Self {
            publisher: u64::from_be_bytes(*publisher),
            number: u64::from_be_bytes(*number),
            time: i64::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_and_nothing_else_is_taken_for_one() {
        let stamp = Stamp { publisher: u64::MAX, number: 7, time: -1 };
        let mut payload = stamp.bytes().to_vec();
        payload.extend(b"more");
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(Stamp::read(&payload[..BYTES - 1]), None);
        payload[0] = b'x';
        assert_eq!(Stamp::read(&payload), None);
    }
}
