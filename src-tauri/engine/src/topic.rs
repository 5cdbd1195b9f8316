//! Topic names and filters (MQTT 5, 4.7): validity and matching. Pure.

/// Why a topic name or filter is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// At least one character (4.7.3).
    #[error("it is empty")]
    Empty,
    /// No U+0000 (4.7.3).
    #[error("it contains a null character")]
    Null,
    /// At most 65,535 bytes (4.7.3).
    #[error("it is longer than 65,535 bytes")]
    TooLong,
    /// `+` and `#` are for filters (3.3.2.1).
    #[error("a topic to publish to cannot contain + or #")]
    Wildcard,
    /// `#` stands alone in the last level (4.7.1.2).
    #[error("# must be alone in the last level")]
    MultiLevel,
    /// `+` stands alone in its level (4.7.1.3).
    #[error("+ must be alone in its level")]
    SingleLevel,
    /// `$share/{name}/{filter}` (4.8.2).
    #[error("a shared subscription reads $share/NAME/FILTER")]
    Share,
}

/// Checks a topic name to publish to.
///
/// # Errors
/// The rule that it breaks.
pub fn check_name(topic: &str) -> Result<(), TopicError> {
    check_text(topic)?;
    if topic.contains(['+', '#']) { Err(TopicError::Wildcard) } else { Ok(()) }
}

/// Checks a topic filter to subscribe to, shared ones included.
///
/// # Errors
/// The rule that it breaks.
pub fn check_filter(filter: &str) -> Result<(), TopicError> {
    check_text(filter)?;
    let mut filter = filter;
    if let Some(rest) = filter.strip_prefix("$share/") {
        let (name, inner) = rest.split_once('/').ok_or(TopicError::Share)?;
        if name.is_empty() || name.contains(['+', '#']) || inner.is_empty() {
            return Err(TopicError::Share);
        }
        filter = inner;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(TopicError::MultiLevel);
        }
        if level.contains('+') && level != "+" {
            return Err(TopicError::SingleLevel);
        }
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), TopicError> {
    match text {
        "" => Err(TopicError::Empty),
        t if t.contains('\0') => Err(TopicError::Null),
        t if t.len() > 65_535 => Err(TopicError::TooLong),
        _ => Ok(()),
    }
}

/// Whether a topic name matches a filter; `$share/NAME/` is looked through (4.7, 4.8.2).
pub fn matches(filter: &str, topic: &str) -> bool {
    let filter = match filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
        Some((_, inner)) => inner,
        None => filter,
    };
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut names = topic.split('/');
    for level in filter.split('/') {
        match (level, names.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (want, Some(have)) if want == have => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching_follows_the_specification() {
        for (filter, topic, want) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/uptime", false),
            ("+/monitor", "$SYS/monitor", false),
            ("$SYS/#", "$SYS/uptime", true),
            ("$share/qa/a/+", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
        ] {
            assert_eq!(matches(filter, topic), want, "{filter} {topic}");
        }
    }

    #[test]
    fn filters_are_checked() {
        for good in ["#", "+", "a/#", "+/a/+", "/", "$share/g/#", "$SYS/#"] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", TopicError::Empty),
            ("a#", TopicError::MultiLevel),
            ("#/a", TopicError::MultiLevel),
            ("a+/b", TopicError::SingleLevel),
            ("$share/g", TopicError::Share),
            ("$share//a", TopicError::Share),
            ("a\0", TopicError::Null),
        ] {
            assert_eq!(check_filter(bad), Err(why), "{bad}");
        }
        assert_eq!(check_name("a/+"), Err(TopicError::Wildcard));
    }
}
