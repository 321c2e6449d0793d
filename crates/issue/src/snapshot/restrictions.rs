//! Restrictions of a key and its client to networks, origins, apps, methods, and paths.

use std::net::IpAddr;

use crate::record::{Conditions, Network};

/// The properties of a request that keys can be restricted to. A property that is not known meets no restriction.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    pub network: Option<IpAddr>,
    pub origin: Option<&'a str>,
    pub app: Option<&'a str>,
    pub method: Option<&'a str>,
    /// Without the query. A path that servers might read in different ways meets no restriction to paths.
    pub path: Option<&'a str>,
}

/// The restriction that a request does not meet, in the order in which they are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Restriction {
    Network,
    Origin,
    App,
    Method,
    Path,
}

/// One record's restrictions. An empty list restricts nothing.
#[derive(Debug)]
pub(super) struct Restrictions {
    networks: Box<[Network]>,
    origins: Box<[Box<str>]>,
    apps: Box<[Box<str>]>,
    methods: Box<[Box<str>]>,
    paths: Box<[Box<str>]>,
}

impl Restrictions {
    /// `None` if the record has only limits, or none.
    pub(super) fn of(conditions: &Conditions) -> Option<Self> {
        let restrictions = Self {
            networks: conditions.networks.iter().copied().collect(),
            origins: conditions.origins.iter().cloned().collect(),
            apps: conditions.apps.iter().cloned().collect(),
            methods: conditions.methods.iter().cloned().collect(),
            paths: conditions.paths.iter().cloned().collect(),
        };
        let lists = [&restrictions.origins, &restrictions.apps, &restrictions.methods, &restrictions.paths];
        let restricts = !restrictions.networks.is_empty() || lists.iter().any(|list| !list.is_empty());
        restricts.then_some(restrictions)
    }

    pub(super) fn meets(&self, restriction: Restriction, asked: &Asked<'_>) -> bool {
        let among = |list: &[Box<str>], value: Option<&str>, same: fn(&str, &str) -> bool| {
            list.is_empty() || value.is_some_and(|value| list.iter().any(|one| same(one, value)))
        };
        match restriction {
            Restriction::Network => {
                let inside = |address: IpAddr| self.networks.iter().any(|network| has(network, address));
                self.networks.is_empty() || asked.network.is_some_and(inside)
            }
            // Scheme and host, which have no case.
            Restriction::Origin => among(&self.origins, asked.origin, str::eq_ignore_ascii_case),
            Restriction::App => among(&self.apps, asked.app, |one, value| one == value),
            Restriction::Method => among(&self.methods, asked.method, |one, value| one == value),
            Restriction::Path => among(&self.paths, asked.path.filter(|path| is_plain(path)), is_under),
        }
    }

    pub(super) fn size(&self) -> usize {
        let lists = [&self.origins, &self.apps, &self.methods, &self.paths];
        let texts = lists.iter().flat_map(|list| list.iter());
        size_of_val(&*self.networks) + texts.map(|text| size_of::<Box<str>>() + text.len()).sum::<usize>()
    }
}

fn has(network: &Network, address: IpAddr) -> bool {
    // An IPv4 address that came over a socket of IPv6 is one of IPv4.
    match (network, address.to_canonical()) {
        (Network::V4(start, bits), IpAddr::V4(address)) => {
            same_first(u32::from_be_bytes(*start).into(), address.to_bits().into(), *bits, 32)
        }
        (Network::V6(start, bits), IpAddr::V6(address)) => {
            same_first(u128::from_be_bytes(*start), address.to_bits(), *bits, 128)
        }
        _ => false,
    }
}

/// True if two addresses of `len` bits have the same first `bits`.
fn same_first(left: u128, right: u128, bits: u8, len: u32) -> bool {
    let behind = len.saturating_sub(u32::from(bits));
    (left ^ right).checked_shr(behind).unwrap_or(0) == 0
}

/// A pattern is a path, or ends with `/*` for all that is below it.
fn is_under(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(above) if above.ends_with('/') => {
            path.strip_prefix(above).is_some_and(|below| !below.is_empty())
        }
        _ => pattern == path,
    }
}

/// True if every server reads the path alike: no dot segments or empty ones, also with parameters or in an encoding, no
/// encoded separator, nothing that would not be in a path.
fn is_plain(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else { return false };
    let is_dots = |segment: &str| {
        let name = segment.split(';').next().unwrap_or_default();
        matches!(name, "." | "..")
    };
    let mut parts = segments.split('/').peekable();
    while let Some(segment) = parts.next() {
        let is_last = parts.peek().is_none();
        if is_dots(segment) || (segment.is_empty() && !is_last) {
            return false;
        }
    }
    let is_other = |byte: u8| byte <= b' ' || byte >= 0x7f || matches!(byte, b'\\' | b'?' | b'#');
    !path.bytes().any(is_other) && has_only_safe_escapes(path)
}

/// True if no escape is of a byte that means something in a path, or is another encoding of a plain one, or is none.
fn has_only_safe_escapes(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().first_chunk::<2>();
        let hex = |digit: u8| char::from(digit).to_digit(16);
        let byte = digits.and_then(|[high, low]| Some(hex(*high)? * 16 + hex(*low)?));
        let byte = byte.and_then(|byte| u8::try_from(byte).ok());
        // A letter, digit, or mark that needs no escape has been escaped for a reason; `%25` begins a second encoding.
        let is_meant = |byte: u8| byte > b' ' && byte != 0x7f && !byte.is_ascii_alphanumeric();
        byte.is_some_and(|byte| is_meant(byte) && !b"-._~/\\%;".contains(&byte)) || byte == Some(b' ')
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use super::*;

    #[test]
    fn a_network_has_the_addresses_with_its_first_bits() {
        for (network, address, inside) in [
            (Network::V4([10, 1, 0, 0], 16), "10.1.255.1", true),
            (Network::V4([10, 1, 0, 0], 16), "10.2.0.1", false),
            (Network::V4([10, 1, 0, 0], 16), "::ffff:10.1.2.3", true),
            (Network::V4([0; 4], 0), "255.1.1.1", true),
            (Network::V4([0; 4], 0), "::1", false),
            (Network::V4([10, 0, 0, 7], 32), "10.0.0.7", true),
            (Network::V4([10, 0, 0, 7], 32), "10.0.0.6", false),
            (Network::V6([0; 16], 0), "::1", true),
            (Network::V6([0; 16], 0), "1.2.3.4", false),
            (Network::V6([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8), "fd12::1", true),
            (Network::V6([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8), "fe80::1", false),
        ] {
            assert_eq!(has(&network, address.parse().unwrap()), inside, "{network:?} {address}");
        }
    }

    #[test]
    fn a_path_that_could_be_read_in_two_ways_is_under_nothing() {
        let allowed = |path: &str| is_plain(path) && is_under("/v1/orders/*", path);
        for path in [
            "/v1/orders/7",
            "/v1/orders/a..b",
            "/v1/orders/...",
            "/v1/orders/7/",
            "/v1/orders/a%20b",
            "/v1/orders/%C3%A9",
        ] {
            assert!(allowed(path), "{path}");
        }
        for path in [
            "/v1/orders",
            "/v1/orders/",
            "/v1/ordersx",
            "v1/orders/7",
            "",
            "/v1/orders/../admin",
            "/v1/orders/./7",
            "/v1/orders/..",
            "/v1/orders/..;a=b/x",
            "/v1/orders//x",
            "/v1/orders/%2e%2e/x",
            "/v1/orders/%2E./x",
            "/v1/orders/%2f..",
            "/v1/orders/a%5cb",
            "/v1/orders/a\\b",
            "/v1/orders/%00",
            "/v1/orders/%252e",
            "/v1/orders/%61",
            "/v1/orders/a?b",
            "/v1/orders/a#b",
            "/v1/orders/a b",
            "/v1/orders/é",
            "/v1/orders/%",
            "/v1/orders/%2",
            "/v1/orders/%zz",
            "/v1/orders/%3b",
            "/v1/orders/\u{7f}",
        ] {
            assert!(!allowed(path), "{path}");
        }
        assert!(is_under("/v1/orders", "/v1/orders") && !is_under("/v1/orders", "/v1/orders/7"));
        assert!(!is_under("/v1/ord*", "/v1/orders"), "only a whole last part");
    }
}
