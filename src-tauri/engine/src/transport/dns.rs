//! Name lookup. In: a host. Out: addresses in the order in which they are tried. Never decides from the
//! words of an error: `getaddrinfo`'s number says what went wrong.

use std::net::{IpAddr, SocketAddr};

use dns_lookup::{AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};

/// Why a name gave no address.
#[derive(Debug, Clone)]
pub(crate) enum DnsProblem {
    /// There is no such name, or it has no address.
    NotFound { number: Option<i32> },
    /// Nobody could say.
    Failed { number: Option<i32> },
    /// Nobody answered in time.
    Timeout,
}

/// The host as an address, if it is one.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    host.parse().ok()
}

/// Asks the operating system, in a thread of its own; dropping the future leaves that thread to end alone.
pub(crate) async fn lookup(name: &str, port: u16) -> Result<Vec<SocketAddr>, DnsProblem> {
    let asked = name.to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
        getaddrinfo(Some(&asked), None, Some(hints))
            .map(|found| found.filter_map(Result::ok).map(|info| info.sockaddr).collect::<Vec<_>>())
            .map_err(|error| (error.kind(), error.error_num()))
    })
    .await
    .map_err(|_| DnsProblem::Failed { number: None })?;
    match answer {
        Ok(found) if found.is_empty() => Err(DnsProblem::NotFound { number: None }),
        Ok(mut found) => {
            found.iter_mut().for_each(|address| address.set_port(port));
            Ok(interleave(found))
        }
        Err((LookupErrorKind::NoName | LookupErrorKind::NoData, number)) => {
            Err(DnsProblem::NotFound { number: Some(number) })
        }
        // RFC 6761, 6.4: no resolver has to be reached to know that these do not exist.
        Err((_, number)) if name.trim_end_matches('.').ends_with(".invalid") => {
            Err(DnsProblem::NotFound { number: Some(number) })
        }
        Err((_, number)) => Err(DnsProblem::Failed { number: Some(number) }),
    }
}

/// RFC 8305, 4: alternates the address families, keeping the system's order within each and its first choice.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut unique = Vec::with_capacity(addresses.len());
    for address in addresses {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let Some(first) = unique.first() else { return unique };
    let first_is_v6 = first.is_ipv6();
    let (mut leading, mut other): (std::collections::VecDeque<_>, std::collections::VecDeque<_>) =
        unique.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut ordered = Vec::with_capacity(leading.len() + other.len());
    while !leading.is_empty() || !other.is_empty() {
        ordered.extend(leading.pop_front());
        ordered.extend(other.pop_front());
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_and_nothing_is_tried_twice() {
        let list = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().expect("address")).collect()
        };
        assert_eq!(
            interleave(list(&["[::1]:1", "[::2]:1", "[::1]:1", "1.1.1.1:1", "[::3]:1", "2.2.2.2:1"])),
            list(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"])
        );
    }

    #[tokio::test]
    async fn names_that_cannot_exist_are_not_found() {
        let problem = lookup("no-such-host.invalid", 1883).await.expect_err("RFC 6761");
        assert!(matches!(problem, DnsProblem::NotFound { .. }));
    }

    #[tokio::test]
    async fn localhost_is_found() {
        let found = lookup("localhost", 1883).await.expect("localhost");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 1883));
    }
}
