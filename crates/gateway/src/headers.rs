//! Headers that one side's connection has and the other's must not.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Headers that are about one connection (RFC 9110 §7.6.1), whatever `Connection` says. Trailers keep their announcement.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers that services take for the word of a proxy in front of them about the client.
const OF_A_PROXY: [&str; 24] = [
    "authorization",
    "x-api-key",
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-original-host",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "remote-user",
    "x-remote-user",
    "x-user",
    "x-authenticated-user",
    "x-anonymous-consumer",
    "x-client-cert",
    "x-ssl-client-cert",
    "front-end-https",
];
const OF_A_PROXY_BEGIN: [&str; 6] =
    ["x-forwarded-", "x-keyvault-", "x-consumer-", "x-credential-", "x-authenticated-", "x-auth-request-"];

/// Removes the headers that are about one connection, and those that its `Connection` headers name. Returns false if one
/// names a header that is not of the connection but of the message: to drop it would change what the message says.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) -> bool {
    let mut named = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        for token in value.as_bytes().split(|byte| *byte == b',') {
            match HeaderName::from_bytes(token.trim_ascii()) {
                Ok(name) if is_of_message(&name) => return false,
                Ok(name) => named.push(name),
                Err(_) if token.trim_ascii().is_empty() => (),
                Err(_) => return false,
            }
        }
    }
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
    true
}

/// Headers by which a message is routed, framed, or authorized.
fn is_of_message(name: &HeaderName) -> bool {
    [header::HOST, header::CONTENT_LENGTH, header::AUTHORIZATION, header::COOKIE, header::CONTENT_TYPE]
        .contains(name)
        || *name == crate::credential::X_API_KEY
}

/// Removes what a service could take for our word.
pub(crate) fn strip_identity(headers: &mut HeaderMap) {
    let is_of_proxy = |name: &str| {
        OF_A_PROXY.contains(&name) || OF_A_PROXY_BEGIN.iter().any(|begin| name.starts_with(begin))
    };
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_of_proxy(name.as_str())).cloned().collect();
    for name in &names {
        headers.remove(name);
    }
}

/// Trailers that say something about framing, routing, or identity, which must be known before the body.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    for name in HOP_BY_HOP.iter().chain(&[
        header::CONTENT_LENGTH,
        header::HOST,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::CONTENT_RANGE,
        header::TRAILER,
        header::COOKIE,
        header::SET_COOKIE,
    ]) {
        trailers.remove(name);
    }
    strip_identity(trailers);
}

/// A text as a header value; what cannot be in one becomes `?`.
pub(crate) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| {
        let harmless: String =
            text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
        HeaderValue::from_str(&harmless).unwrap_or(HeaderValue::from_static(""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn a_connections_headers_and_those_that_it_names_do_not_pass() {
        let mut headers = map(&[
            ("connection", "close, X-Hop"),
            ("connection", "keep-alive,"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("x-end", "2"),
        ]);
        assert!(strip_hop_by_hop(&mut headers));
        assert_eq!(headers, map(&[("x-end", "2")]));
        for named in ["host", "Content-Length", "cookie", "authorization", "a b"] {
            let mut headers = HeaderMap::from_iter([(header::CONNECTION, value(named))]);
            assert!(!strip_hop_by_hop(&mut headers), "{named}");
        }
    }

    #[test]
    fn nothing_that_a_client_says_about_itself_passes() {
        let mut headers = map(&[
            ("x-keyvault-key-id", "aa"),
            ("x-forwarded-for", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
            ("x-api-key", "k"),
            ("authorization", "Bearer k"),
            ("x-request-id", "7"),
            ("traceparent", "00-1-2-01"),
        ]);
        strip_identity(&mut headers);
        assert_eq!(headers, map(&[("x-request-id", "7"), ("traceparent", "00-1-2-01")]));
    }
}
