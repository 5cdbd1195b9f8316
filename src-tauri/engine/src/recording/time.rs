//! Times as text (RFC 3339), both ways. Pure.

use crate::message::UnixMicros;

const DAY: i64 = 86_400_000_000;

/// UTC with microseconds.
pub fn rfc3339(time: UnixMicros) -> String {
    let (days, micros) = (time.div_euclid(DAY), time.rem_euclid(DAY));
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    // Days since 0000-03-01, in eras of 400 years (Hinnant, chrono-Compatible Low-Level Date Algorithms).
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// What such a text says, with any offset and any number of decimals, of which six count.
pub(super) fn parse(text: &str) -> Option<UnixMicros> {
    let text = text.as_bytes();
    let number = |from: usize, digits: usize| -> Option<i64> {
        let digits = text.get(from..from + digits)?;
        digits
            .iter()
            .try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    };
    let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| text.get(*at) != Some(mark))
        || !matches!(text.get(10), Some(b'T' | b't' | b' '))
    {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let most = *days.get(usize::try_from(month - 1).ok()?)?;
    // 60 is a leap second.
    if !(1..=most).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = &text[19..];
    let mut fraction = 0;
    if let Some(decimals) = rest.strip_prefix(b".") {
        let count = decimals.iter().take_while(|digit| digit.is_ascii_digit()).count();
        if count == 0 {
            return None;
        }
        let six = decimals[..count].iter().chain(std::iter::repeat(&b'0')).take(6);
        fraction = six.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        rest = &decimals[count..];
    }
    let offset = match rest {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let at = text.len() - 5;
            let (hours, minutes) = (number(at, 2)?, number(at + 3, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -60 } else { 60 }
        }
        _ => return None,
    };
    // The same algorithm backwards.
    let (year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * DAY + (hour * 3_600 + minute * 60 + second - offset) * 1_000_000 + fraction)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(rfc3339(951_827_696_000_001), "2000-02-29T12:34:56.000001Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn other_spellings_are_read_and_nonsense_is_not() {
        for text in
            ["2000-02-29T12:34:56Z", "2000-02-29 13:34:56.0+01:00", "2000-02-29t10:34:56.000000999-02:00"]
        {
            assert_eq!(parse(text), Some(951_827_696_000_000), "{text}");
        }
        for text in [
            "",
            "2001-02-29T00:00:00Z",
            "2000-13-01T00:00:00Z",
            "2000-01-01T24:00:00Z",
            "2000-01-01T00:00:00",
            "2000-01-01T00:00:00.Z",
            "2000-01-01T00:00:00+1:00",
            "-001-01-01T00:00:00Z",
            "2000-01-01T00:00:00Zé",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(time in -62_167_219_200_000_000..253_402_300_800_000_000_i64) {
            prop_assert_eq!(parse(&rfc3339(time)), Some(time));
        }

        #[test]
        fn no_text_breaks_it(text in "[0-9TZ:. +-]{0,30}") {
            parse(&text);
        }
    }
}
