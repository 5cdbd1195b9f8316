//! Two payloads side by side, of any size. In: two messages. Out: whether they are the same, how much differs, and where
//! the next difference is. Reads both in parts; neither is ever in memory whole.

use rusqlite::Connection;
use serde::Serialize;
use ts_rs::TS;

/// Bytes of each payload that are looked at together.
const PART: u64 = 1 << 20;

/// What two payloads have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Comparison {
    /// Bytes of the first,
    pub size_a: u64,
    /// and of the second.
    pub size_b: u64,
    /// Bytes that differ from what the other has at the same place; where one has ended, all of the other's.
    pub differing: u64,
    /// Stretches that these are in.
    pub stretches: u64,
    /// Where the first one begins, if there is any.
    pub first: Option<u64>,
}

/// Bytes side by side that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[ts(export)]
pub struct Difference {
    /// Where they begin,
    pub start: u64,
    /// and where they have ended.
    pub end: u64,
}

/// Which difference is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seek {
    /// The first that ends behind a place.
    Next(u64),
    /// The last that begins before a place.
    Previous(u64),
}

/// A payload that can be read in parts.
pub(super) trait Payload {
    fn size(&self) -> u64;
    /// The bytes from `offset` on, `limit` of them or up to the end.
    fn part(&self, connection: &Connection, offset: u64, limit: u64) -> rusqlite::Result<Vec<u8>>;
}

/// Looks at all of two payloads.
pub(super) fn compare(
    connection: &Connection,
    a: &dyn Payload,
    b: &dyn Payload,
) -> rusqlite::Result<Comparison> {
    let (size_a, size_b) = (a.size(), b.size());
    let mut found = Comparison { size_a, size_b, differing: 0, stretches: 0, first: None };
    each_stretch(connection, a, b, 0, |Difference { start, end }| {
        found.differing += end - start;
        found.stretches += 1;
        found.first.get_or_insert(start);
        true
    })?;
    Ok(found)
}

/// Finds one difference.
pub(super) fn seek(
    connection: &Connection,
    a: &dyn Payload,
    b: &dyn Payload,
    seek: Seek,
) -> rusqlite::Result<Option<Difference>> {
    let mut found = None;
    match seek {
        Seek::Next(from) => each_stretch(connection, a, b, from, |difference| {
            found = Some(difference);
            false
        })?,
        Seek::Previous(before) => each_stretch(connection, a, b, 0, |difference| {
            let is_before = difference.start < before;
            if is_before {
                found = Some(difference);
            }
            is_before
        })?,
    }
    Ok(found)
}

/// Shows the stretches that differ from a place on, in order, until there is no more to be seen.
fn each_stretch(
    connection: &Connection,
    a: &dyn Payload,
    b: &dyn Payload,
    from: u64,
    mut show: impl FnMut(Difference) -> bool,
) -> rusqlite::Result<()> {
    let (shared, longest) = (a.size().min(b.size()), a.size().max(b.size()));
    let mut open: Option<u64> = None;
    let mut offset = from;
    while offset < shared {
        let limit = PART.min(shared - offset);
        let (left, right) = (a.part(connection, offset, limit)?, b.part(connection, offset, limit)?);
        // Most parts are the same, which is found out many bytes at a time.
        if left == right {
            if let Some(start) = open.take()
                && !show(Difference { start, end: offset })
            {
                return Ok(());
            }
        } else {
            for (at, (x, y)) in (offset..).zip(left.iter().zip(&right)) {
                if x != y {
                    open.get_or_insert(at);
                } else if let Some(start) = open.take()
                    && !show(Difference { start, end: at })
                {
                    return Ok(());
                }
            }
        }
        offset += limit;
    }
    // Where one has ended, all of the rest is different.
    if longest > shared && longest > from {
        open.get_or_insert(shared.max(from));
    }
    if let Some(start) = open {
        show(Difference { start, end: longest });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Payload for Vec<u8> {
        fn size(&self) -> u64 {
            self.len() as u64
        }

        fn part(&self, _: &Connection, offset: u64, limit: u64) -> rusqlite::Result<Vec<u8>> {
            Ok(self.iter().skip(offset as usize).take(limit as usize).copied().collect())
        }
    }

    fn all(a: &Vec<u8>, b: &Vec<u8>) -> Vec<(u64, u64)> {
        let connection = Connection::open_in_memory().expect("memory");
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some(Difference { start, end }) =
            seek(&connection, a, b, Seek::Next(from)).expect("looked for")
        {
            found.push((start, end));
            from = end;
        }
        found
    }

    #[test]
    fn differences_are_found_where_they_are_also_between_parts() {
        let a = vec![7; 3 << 20];
        let mut b = a.clone();
        let edge = 1 << 20;
        b[5] = 0;
        b[edge - 2..edge + 3].fill(1);
        b[(2 << 20) - 1] = 2;
        b.extend([1, 2, 3]);
        let expected =
            [(5, 6), (edge as u64 - 2, edge as u64 + 3), ((2 << 20) - 1, 2 << 20), (3 << 20, (3 << 20) + 3)];
        assert_eq!(all(&a, &b), expected);
        assert_eq!(all(&b, &a), expected);
        let connection = Connection::open_in_memory().expect("memory");
        let whole = compare(&connection, &a, &b).expect("compared");
        assert_eq!((whole.differing, whole.stretches, whole.first), (1 + 5 + 1 + 3, 4, Some(5)));
        let before = |place| seek(&connection, &a, &b, Seek::Previous(place)).expect("looked for");
        assert_eq!(before(5), None);
        assert_eq!(before(edge as u64).map(|found| found.start), Some(edge as u64 - 2));
        assert_eq!(before(u64::MAX).map(|found| found.end), Some((3 << 20) + 3));
        assert_eq!(compare(&connection, &a, &a).expect("compared").first, None);
    }

    proptest! {
        #[test]
        fn agrees_with_looking_at_each_byte(
            a in proptest::collection::vec(0..3_u8, 0..40), b in proptest::collection::vec(0..3_u8, 0..40)
        ) {
            let longest = a.len().max(b.len());
            let differs: Vec<_> = (0..longest).filter(|&at| a.get(at) != b.get(at)).map(|at| at as u64).collect();
            let found: Vec<_> = all(&a, &b).into_iter().flat_map(|(start, end)| start..end).collect();
            prop_assert_eq!(found, differs);
        }
    }
}
