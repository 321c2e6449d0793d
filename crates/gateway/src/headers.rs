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

/// Headers that services take for the word of a proxy in front of them about the client, or about the request.
const OF_A_PROXY: [&str; 67] = [
    // The client's address.
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "fastly-client-ip",
    "fly-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "client-ip",
    "x-forwarded",
    "x-forward-for",
    "x-forwarder-for",
    "x-forwardedfor",
    "x-original-forwarded-for",
    "x-realip",
    "x-remote-ip",
    "x-remote-addr",
    "remote-addr",
    "x-originating-ip",
    "x-proxyuser-ip",
    "proxy-client-ip",
    "wl-proxy-client-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-appengine-user-ip",
    "via",
    // The user.
    "authorization",
    "x-api-key",
    "remote-user",
    "x-remote-user",
    "x-user",
    "x-user-id",
    "x-userid",
    "x-username",
    "x-user-name",
    "x-user-email",
    "x-auth-user",
    "x-webauth-user",
    "x-authenticated-user",
    "x-anonymous-consumer",
    "x-token-subject",
    "x-goog-iap-jwt-assertion",
    // The client's certificate.
    "client-cert",
    "client-cert-chain",
    "x-client-cert",
    "x-ssl-client-cert",
    "x-client-verify",
    "x-client-dn",
    "x-arr-clientcert",
    // The target, the method, and the way to the service.
    "x-original-url",
    "x-rewrite-url",
    "x-original-host",
    "x-original-uri",
    "x-original-method",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-scheme",
    "x-url-scheme",
    "x-server-name",
    "x-backend-host",
    "x-middleware-subrequest",
    "front-end-https",
    "proxy",
    "x-keyvault",
];
const OF_A_PROXY_BEGIN: [&str; 16] = [
    "x-forwarded-",
    "x-keyvault-",
    "x-consumer-",
    "x-credential-",
    "x-authenticated-",
    "x-auth-request-",
    "tailscale-user-",
    "x-ms-client-principal",
    "x-amzn-oidc-",
    "x-goog-authenticated-user-",
    "cf-access-",
    "ssl-client-",
    "x-ssl-client-",
    "x-envoy-",
    "x-accel-",
    "x-kong-",
];

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
    const OTHERS: [&str; 18] = [
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "content-range",
        "cookie",
        "set-cookie",
        "cache-control",
        "origin",
        "range",
        "expect",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
        "trailer",
    ];
    OTHERS.contains(&name.as_str())
        || name.as_str().starts_with("sec-")
        || name.as_str().starts_with("access-control-")
        || is_of_proxy(name.as_str())
}

fn is_of_proxy(name: &str) -> bool {
    OF_A_PROXY.contains(&name) || OF_A_PROXY_BEGIN.iter().any(|begin| name.starts_with(begin))
}

/// Removes what a service could take for our word.
pub(crate) fn strip_identity(headers: &mut HeaderMap) {
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
        for named in [
            "host",
            "Content-Length",
            "cookie",
            "authorization",
            "Origin",
            "if-match",
            "X-Keyvault-Client",
            "sec-websocket-key",
            "a b",
        ] {
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

    #[test]
    fn every_header_of_a_proxy_is_removed_from_heads_and_trailers() {
        let begins = OF_A_PROXY_BEGIN.map(|begin| format!("{begin}x"));
        let names = OF_A_PROXY.iter().copied().chain(begins.iter().map(String::as_str));
        let all: HeaderMap = names
            .filter_map(|name| Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value("forged"))))
            .collect();
        assert_eq!(all.len(), OF_A_PROXY.len() + OF_A_PROXY_BEGIN.len());
        let (mut head, mut trailers) = (all.clone(), all);
        strip_identity(&mut head);
        strip_trailers(&mut trailers);
        assert!(head.is_empty() && trailers.is_empty(), "{head:?} {trailers:?}");
    }
}
