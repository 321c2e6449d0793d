//! The key of a request: where it may be, and where it must not.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use crate::head::target::decode;

pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Begins the subprotocol by which a browser, which cannot set headers of a websocket, sends a key.
const SUBPROTOCOL: &str = "keyvault.key.";
/// Parameters whose value is a credential by their name.
const PARAMETERS: [&[u8]; 6] =
    [b"access_token", b"api_key", b"apikey", b"api-key", b"x-api-key", b"x_api_key"];

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Two keys, even if they are equal.
    Several,
    InQuery,
}

/// Finds the key. It borrows from the headers, so that it is copied nowhere.
pub(crate) fn find(headers: &HeaderMap, is_websocket: bool) -> Result<Option<&[u8]>, Fault> {
    let mut keys = headers.get_all(AUTHORIZATION).iter().map(|value| bearer(value.as_bytes()));
    let mut found = keys.next();
    let is_second = keys.next().is_some();
    let mut own = headers.get_all(X_API_KEY).iter().map(|value| Some(value.as_bytes()));
    let mut several = is_second;
    for key in own.by_ref().chain(subprotocols(headers, is_websocket)) {
        several |= found.is_some();
        found = Some(key);
    }
    if several { Err(Fault::Several) } else { Ok(found.flatten().filter(|key| !key.is_empty())) }
}

/// The token of the scheme Bearer. Another scheme has none that we take.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn subprotocols(headers: &HeaderMap, is_websocket: bool) -> impl Iterator<Item = Option<&[u8]>> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter(move |_| is_websocket);
    let offers = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    offers.filter_map(|offer| offer.trim_ascii().strip_prefix(SUBPROTOCOL.as_bytes())).map(Some)
}

/// The subprotocols without the key; nothing if no other is offered.
pub(crate) fn without_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let others: Vec<&str> = values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|offer| !offer.is_empty() && !offer.starts_with(SUBPROTOCOL))
        .collect();
    if others.is_empty() { None } else { HeaderValue::from_str(&others.join(", ")).ok() }
}

/// True if the query has a parameter that is a credential by its name, or contains a text that looks like a key. A query ends
/// up in logs and histories, so the key in it is lost.
pub(crate) fn in_query(query: &[u8]) -> bool {
    let named = query.split(|byte| *byte == b'&').any(|pair| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        let decoded = decode(name);
        let name = decoded.as_deref().unwrap_or(name);
        PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known))
    });
    named
        || looks_like_key(query)
        || query.contains(&b'%') && decode(query).is_some_and(|query| looks_like_key(&query))
}

/// A part of a target for the log: one that contains a key is not repeated.
pub(crate) fn redacted(part: &str, has_key: bool) -> String {
    let bytes = part.as_bytes();
    let has_key = has_key
        || looks_like_key(bytes)
        || bytes.contains(&b'%') && decode(bytes).is_some_and(|decoded| looks_like_key(&decoded));
    if has_key { "[redacted]".to_owned() } else { part.to_owned() }
}

/// `_live_` or `_test_`, then 12 characters of id, `_`, and 49 of secret and checksum.
fn looks_like_key(text: &[u8]) -> bool {
    let all = |part: Option<&[u8]>| part.is_some_and(|part| part.iter().all(u8::is_ascii_alphanumeric));
    text.windows(6).enumerate().filter(|(_, window)| matches!(*window, b"_live_" | b"_test_")).any(
        |(at, _)| {
            let start = at + 6;
            all(text.get(start..start + 12))
                && text.get(start + 12) == Some(&b'_')
                && all(text.get(start + 13..start + 62))
        },
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn found(lines: &[(&'static str, &'static str)], is_websocket: bool) -> Result<Option<String>, Fault> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let found = find(&headers, is_websocket)?;
        Ok(found.map(|key| String::from_utf8(key.to_vec()).unwrap()))
    }

    #[test]
    fn there_is_one_key_or_none() {
        let own = |key: &str| Ok(Some(key.to_owned()));
        assert_eq!(found(&[], false), Ok(None));
        assert_eq!(found(&[("authorization", "bearer k")], false), own("k"));
        assert_eq!(found(&[("authorization", "Basic k")], false), Ok(None));
        assert_eq!(found(&[("x-api-key", "k")], false), own("k"));
        assert_eq!(found(&[("sec-websocket-protocol", "chat, keyvault.key.k")], true), own("k"));
        assert_eq!(found(&[("sec-websocket-protocol", "chat, keyvault.key.k")], false), Ok(None));
        for two in [
            [("authorization", "Bearer k"), ("authorization", "Bearer k")],
            [("authorization", "Bearer k"), ("x-api-key", "k")],
            [("authorization", "Basic k"), ("x-api-key", "k")],
            [("x-api-key", "k"), ("x-api-key", "k")],
            [("sec-websocket-protocol", "keyvault.key.k"), ("x-api-key", "k")],
            [("sec-websocket-protocol", "keyvault.key.k, keyvault.key.k"), ("accept", "k")],
        ] {
            assert_eq!(found(&two, true), Err(Fault::Several), "{two:?}");
        }
    }

    #[test]
    fn a_key_in_a_query_is_found_in_any_place() {
        let key = format!("kv_live_{}_{}", "a".repeat(12), "B".repeat(49));
        let encoded = key.replace('_', "%5F");
        for query in [
            format!("x={key}"),
            key.clone(),
            format!("a=b&x=Bearer+{encoded}&c"),
            "a&API_KEY=x".to_owned(),
            "access%5Ftoken=x".to_owned(),
        ] {
            assert!(in_query(query.as_bytes()), "{query}");
        }
        for query in ["", "key=x", "a=kv_live_abc", "token=%", "page=2&apikeys=1"] {
            assert!(!in_query(query.as_bytes()), "{query}");
        }
    }

    #[test]
    fn the_key_is_taken_from_the_subprotocols() {
        let mut headers = HeaderMap::new();
        headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("keyvault.key.k, chat"));
        headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("v2"));
        assert_eq!(without_key(&headers).unwrap(), "chat, v2");
    }
}
