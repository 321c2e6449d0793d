//! Headers of answers that follow from the route and the verdict.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use keyvault_core::name::Scope;
use keyvault_issue::query::Query;

use crate::answer::Problem;
use crate::config::{Cors, Route};
use crate::headers::value;
use crate::upstream::Download;
use crate::verdict::{Outcome, Verdict};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

pub(crate) fn no_key() -> Problem {
    let detail = "Send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`.";
    let mut problem = Problem::new(StatusCode::UNAUTHORIZED, "no-key", detail);
    problem.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"api\""));
    problem
}

/// The answer to a request that its verdict refuses. Only one who proved to have the key learns why.
pub(crate) fn refused(verdict: &Verdict, needs: &Query) -> Problem {
    let (status, detail) = match verdict.outcome {
        Outcome::Valid | Outcome::NotFound => (StatusCode::UNAUTHORIZED, "The key is not accepted."),
        Outcome::Disabled => (StatusCode::UNAUTHORIZED, "The key is disabled."),
        Outcome::Expired => (StatusCode::UNAUTHORIZED, "The key is not valid at this time."),
        Outcome::Revoked => (StatusCode::UNAUTHORIZED, "The key was revoked."),
        Outcome::Forbidden => {
            (StatusCode::FORBIDDEN, "The key may not be used for this request or from here.")
        }
        Outcome::InsufficientPermissions => {
            (StatusCode::FORBIDDEN, "The key does not have the scopes of this route.")
        }
        Outcome::UsageExceeded => (StatusCode::TOO_MANY_REQUESTS, "The quota is used up."),
        Outcome::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "Too many requests."),
        Outcome::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Keys cannot be verified at present."),
    };
    let mut problem = Problem::new(status, verdict.outcome.word(), detail);
    let headers = &mut problem.headers;
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer realm=\"api\", error=\"invalid_token\"");
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if verdict.outcome == Outcome::InsufficientPermissions {
        // RFC 6750 has a list of scopes here, and no alternatives: all that the requirement names.
        let scopes: Vec<&str> = needs.scopes().into_iter().map(Scope::as_str).collect();
        let scopes = scopes.join(" ");
        let challenge = format!("Bearer realm=\"api\", error=\"insufficient_scope\", scope=\"{scopes}\"");
        headers.insert(header::WWW_AUTHENTICATE, value(&challenge));
    }
    if let Some(after) = verdict.retry_after {
        // Whole seconds, and never too early.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, value(&seconds.max(1).to_string()));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    of_limits(verdict, headers);
    problem
}

/// `RateLimit` and `RateLimit-Policy` as in draft-ietf-httpapi-ratelimit-headers from version 9 on.
pub(crate) fn of_limits(verdict: &Verdict, headers: &mut HeaderMap) {
    if verdict.limits.is_empty() {
        return;
    }
    let (mut policy, mut limit) = (String::new(), String::new());
    for state in &verdict.limits {
        let comma = if policy.is_empty() { "" } else { ", " };
        let name = &state.name;
        policy += &format!("{comma}\"{name}\";q={};w={}", state.quota, state.window.as_secs().max(1));
        let reset = state.reset.as_secs() + u64::from(state.reset.subsec_nanos() > 0);
        limit += &format!("{comma}\"{name}\";r={};t={reset}", state.remaining);
    }
    headers.insert(POLICY, value(&policy));
    headers.insert(LIMIT, value(&limit));
}

/// The origin that an answer is for, if the route lets pages of it read one.
fn allowed(cors: &Cors, origin: &HeaderValue) -> Option<HeaderValue> {
    match &cors.origins {
        None => Some(HeaderValue::from_static("*")),
        Some(origins) => origins.contains(origin).then(|| origin.clone()),
    }
}

pub(crate) fn of_route(route: &Route, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    if let Some(cors) = &route.cors {
        if cors.origins.is_some() {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        // The service's own word on this would be a second one.
        headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        headers.remove(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
        headers.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
        if let Some(allowed) = origin.and_then(|origin| allowed(cors, origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            let own = [LIMIT, POLICY, header::RETRY_AFTER];
            let names: Vec<&str> = own.iter().chain(&cors.exposed).map(HeaderName::as_str).collect();
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, value(&names.join(", ")));
        }
    }
    if let Some(deprecation) = &route.deprecation {
        // RFC 9745.
        headers.insert(DEPRECATION, value(&format!("@{}", deprecation.since.as_second())));
        if let Some(sunset) = deprecation.sunset {
            // RFC 8594.
            headers.insert(SUNSET, value(&sunset.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()));
        }
        if let Some(link) = &deprecation.link {
            headers.append(header::LINK, link.clone());
        }
    }
}

/// The answer to a preflight, if the route allows its origin.
pub(crate) fn preflight(route: &Route, origin: &HeaderValue) -> Option<Response<Option<Download>>> {
    let cors = route.cors.as_ref()?;
    let allowed = allowed(cors, origin)?;
    let mut answer = Response::new(None);
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    let methods: Vec<&str> = route.methods.iter().map(http::Method::as_str).collect();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, value(&methods.join(", ")));
    let own = [header::AUTHORIZATION, crate::credential::X_API_KEY];
    let names: Vec<&str> = own.iter().chain(&cors.headers).map(HeaderName::as_str).collect();
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, value(&names.join(", ")));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, value(&cors.max_age.as_secs().to_string()));
    headers.insert(header::VARY, HeaderValue::from_static("origin, access-control-request-method"));
    Some(answer)
}
