//! The heads of WebSocket frames (RFC 6455, 5.2). In: bytes of heads. Out: how much follows each; or `InvalidData`
//! for a frame that no server may send, or a first one that says it is longer than any answer to CONNECT: nobody is
//! to wait for a stranger's promise.

use std::io;

use super::whole::Heads;

/// The longest first frame, which begins with the answer.
const LARGEST_FIRST: u64 = 2 << 20;

/// The longest head: two bytes and a length of eight.
const LONGEST_HEAD: usize = 10;

/// Reads heads of frames.
#[derive(Default)]
pub(crate) struct Frames {
    head: [u8; LONGEST_HEAD],
    passed: usize,
    /// Whether a frame of data has come.
    began: bool,
}

impl Frames {
    /// The length of the payload, once the head is whole.
    fn length(&self) -> Option<u64> {
        let head = &self.head[..self.passed];
        Some(match head.get(1)? & 0x7f {
            126 => u64::from(u16::from_be_bytes(head.get(2..4)?.try_into().ok()?)),
            127 => u64::from_be_bytes(head.get(2..10)?.try_into().ok()?),
            short => u64::from(short),
        })
    }
}

impl Heads for Frames {
    fn take(&mut self, byte: u8) -> io::Result<Option<u64>> {
        self.head[self.passed] = byte;
        self.passed += 1;
        // No extension was agreed on, so no reserved bits (5.2), and a server never masks (5.1).
        let forbidden = match self.passed {
            1 => 0x70,
            2 => 0x80,
            _ => 0,
        };
        if byte & forbidden != 0 {
            return Err(invalid("a WebSocket frame with bits that a server must not set"));
        }
        let Some(length) = self.length() else { return Ok(None) };
        self.passed = 0;
        if !self.began && length > LARGEST_FIRST {
            return Err(invalid("a WebSocket frame longer than any answer to CONNECT"));
        }
        // Ping, pong and close have the eighth bit of their opcode (5.5).
        self.began |= self.head[0] & 0x08 == 0;
        Ok(Some(length))
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_followed_and_the_first_held_to_what_an_answer_needs() {
        let heads: [(&[u8], u64); 4] = [
            (&[0x89, 0], 0),
            (&[0x82, 127, 0, 0, 0, 0, 0, 0x20, 0, 0], LARGEST_FIRST),
            (&[0x82, 126, 1, 0], 256),
            (&[0x82, 127, 0, 0, 0, 0, 0x10, 0, 0, 0], 1 << 28),
        ];
        let mut frames = Frames::default();
        for (head, length) in heads {
            let taken: Vec<_> = head.iter().map(|byte| frames.take(*byte).expect("a head")).collect();
            let (last, before) = taken.split_last().expect("bytes");
            assert!(*last == Some(length) && before.iter().all(Option::is_none), "{taken:?}");
        }
        for head in [&[0xc2][..], &[0x82, 0x85], &[0x82, 127, 0, 0, 0, 0, 0, 0x20, 0, 1]] {
            let mut frames = Frames::default();
            let taken: Vec<_> = head.iter().map(|byte| frames.take(*byte)).collect();
            assert!(taken.last().is_some_and(Result::is_err), "{taken:?}");
        }
    }
}
