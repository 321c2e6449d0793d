//! The key of a request: where it may be, and where it must not.

use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, Uri};

use crate::head::target::decode_valid;

pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Begins the subprotocol by which a browser, which cannot set headers of a websocket, sends a key.
const SUBPROTOCOL: &str = "keyvault.key.";
/// Parameters whose value is a credential by their name.
const PARAMETERS: [&[u8]; 6] =
    [b"access_token", b"api_key", b"apikey", b"api-key", b"x-api-key", b"x_api_key"];

/// Characters of a key's id, and of its secret with the checksum.
const ID: usize = 12;
const SECRET: usize = 49;
/// Decodings of decodings that are looked at.
const DEPTH: usize = 8;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Two keys, even if they are equal.
    Several,
    InQuery,
    /// In the path, the host, or a header that reaches the service.
    Misplaced,
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
        PARAMETERS.iter().any(|known| in_any_form(name, |name| name.eq_ignore_ascii_case(known)))
    });
    named || in_any_form(query, looks_like_key)
}

/// True if a text is of a kind as it is or decoded, however often. One that is encoded more often than is looked at could be
/// of any kind.
fn in_any_form(text: &[u8], is: impl Fn(&[u8]) -> bool) -> bool {
    if is(text) {
        return true;
    }
    if !text.contains(&b'%') {
        return false;
    }
    let mut form = text.to_vec();
    for _ in 0..DEPTH {
        let decoded = decode_valid(&form);
        if decoded == form {
            return false;
        }
        if is(&decoded) {
            return true;
        }
        form = decoded;
    }
    true
}

/// True if a key would reach the service: one that looks like one in the path, the host, or a subprotocol, or the secret of the
/// presented one in any header or in the query.
pub(crate) fn is_misplaced(uri: &Uri, headers: &HeaderMap, key: Option<&[u8]>) -> bool {
    // A credential of another kind, for a public route say, is none of ours.
    let own = key.filter(|key| looks_like_key(key));
    let secret = own.and_then(|key| key.len().checked_sub(SECRET).and_then(|at| key.get(at..)));
    let has_secret =
        |text: &[u8]| secret.is_some_and(|secret| text.windows(secret.len()).any(|window| window == secret));
    let has_key = |text: &[u8]| looks_like_key(text) || has_secret(text);
    if in_any_form(uri.path().as_bytes(), has_key)
        || secret.is_some() && uri.query().is_some_and(|query| in_any_form(query.as_bytes(), has_secret))
    {
        return true;
    }
    headers.iter().any(|(name, value)| {
        let value = value.as_bytes();
        if *name == AUTHORIZATION || *name == X_API_KEY {
            false
        } else if *name == SEC_WEBSOCKET_PROTOCOL {
            let mut offers = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            offers.any(|offer| !offer.starts_with(SUBPROTOCOL.as_bytes()) && in_any_form(offer, has_key))
        } else if *name == HOST {
            in_any_form(value, has_key)
        } else {
            secret.is_some() && in_any_form(value, has_secret)
        }
    })
}

/// A part of a target for the log: one that contains a key is not repeated.
pub(crate) fn redacted(part: &str, has_key: bool) -> String {
    let has_key = has_key || in_any_form(part.as_bytes(), looks_like_key);
    if has_key { "[redacted]".to_owned() } else { part.to_owned() }
}

/// 12 characters of id, `_`, and 49 of secret and checksum. The prefix, which is the same for all keys, is not looked at: a key
/// without it is as good for one who knows it.
fn looks_like_key(text: &[u8]) -> bool {
    let all = |part: Option<&[u8]>| part.is_some_and(|part| part.iter().all(u8::is_ascii_alphanumeric));
    text.iter().enumerate().filter(|(_, byte)| **byte == b'_').any(|(at, _)| {
        at.checked_sub(ID).is_some_and(|start| all(text.get(start..at)))
            && all(text.get(at + 1..at + 1 + SECRET))
    })
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
            "access%255Ftoken=x&%".to_owned(),
            format!("x={encoded}&y=100%"),
            format!("x=%&{}", encoded.replace('%', "%25")),
            format!("x={}", encoded.replace('%', "%252525")),
            format!("x={}", key.strip_prefix("kv_live_").unwrap()),
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
