//! `keyvault verify`

use std::net::IpAddr;
use std::path::Path;

use clap::Args;
use keyvault_core::clock::Moment;
use keyvault_core::name::Label;
use keyvault_core::secret::SecretBytes;
use keyvault_issue::decide::{
    self, Cause, Costs, Counters, Decision, LimitOf, LimitState, Now, Outcome, Request,
};
use keyvault_issue::query::Query;
use keyvault_issue::record::{Id, Mark};
use keyvault_issue::set::Found;
use keyvault_issue::snapshot::{Asked, Restriction, Snapshot};
use keyvault_issue::standing::Counter;
use keyvault_issue::text::KeyText;
use keyvault_os::process::startup;
use keyvault_vault::issued::{self, ApiToVerify};
use keyvault_vault::{JsonText, TokenError, VaultError};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::cli::args::named;
use crate::cli::context::{Context, STDIN, read_secret, read_whole, refuse_typed_stdin, without_line_end};
use crate::cli::errors::{Failure, code};
use crate::cli::output::view::joined;
use crate::cli::restrictions::period_name;

/// Longest input of a batch, in bytes.
const MAX_BATCH: usize = 256 << 20;
const TYPED: &str = "Pipe the key in: keyvault verify < FILE";
/// The rate that a cost without a name is charged to.
const USUAL_RATE: &str = "requests";

/// Verify a key that was presented to your API: read it from stdin, and tell whether it may do what is asked.
///
/// Needs an open vault, or a verifier's token in KEYVAULT_TOKEN. The exit code is the verdict: 0 valid, 1 not authentic, 6
/// authentic but not allowed. Rates and quotas are counted within one run only; a gateway counts them across requests. With
/// --batch, each line of stdin is a JSON object with `key` and what may differ from the options: `scope`, `ip`, `origin`, `app`,
/// `method`, `path`, `cost`; each line of stdout is a verdict, and the exit code is that of the worst line.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Scopes that the request needs, such as orders:read, or "orders:read AND (stock:write OR admin:*)"
    #[arg(long, value_name = "QUERY", value_parser = query)]
    scope: Option<Query>,
    /// The address that the request comes from
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    ip: Option<IpAddr>,
    /// The request's Origin header
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,
    /// The app that sends the request
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    /// The request's method
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// The request's path, without its query
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// The cost of the request, for quotas and the rate `requests`; or of another rate as NAME=N; may be repeated
    #[arg(long, value_name = "N", value_parser = cost)]
    cost: Vec<Cost>,
    /// Verify by this API's keys alone
    #[arg(long, value_name = "API", value_parser = named::<Label>)]
    api: Option<Label>,
    /// Read JSON lines, and answer with JSON lines
    #[arg(long)]
    batch: bool,
}

#[derive(Debug, Clone)]
struct Cost {
    rate: Option<Label>,
    cost: u32,
}

/// A line of a batch. The key is borrowed as it is written from the input, which is wiped.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'l> {
    #[serde(borrow)]
    key: &'l RawValue,
    scope: Option<String>,
    ip: Option<IpAddr>,
    origin: Option<String>,
    app: Option<String>,
    method: Option<String>,
    path: Option<String>,
    cost: Option<u32>,
}

fn query(text: &str) -> Result<Query, String> {
    Query::parse(text).map_err(|error| format!("is not a requirement: {error}"))
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "is not an address such as 203.0.113.7".to_owned())
}

fn cost(text: &str) -> Result<Cost, String> {
    let (rate, cost) = match text.split_once('=') {
        Some((rate, cost)) => (Some(named(rate)?), cost),
        None => (None, text),
    };
    let cost = cost.parse().map_err(|_| "is not a cost such as 5 or search=5")?;
    Ok(Cost { rate, cost })
}

/// The exit code of a failure of ours, which is no verdict.
pub(in crate::cli) fn own_code(failure: &Failure) -> u8 {
    match failure.code {
        code @ (code::USAGE | code::LOCKED | code::DAMAGED | code::BUSY | code::INTERRUPTED)
            if !failure.quiet =>
        {
            code
        }
        _ => code::OURS,
    }
}

/// A token of another kind opens no set to verify by.
fn of_token(error: VaultError, path: &Path) -> Failure {
    match error {
        VaultError::Token(TokenError::OtherKind { .. }) => Failure::new(
            code::LOCKED,
            "locked",
            "The token is not a verifier's.",
            Some("Create one: keyvault token create NAME --verifier"),
        ),
        error => Failure::of(error, path),
    }
}

/// No key has a verdict by an API that the token does not have: `not_found` would tell of the key.
fn not_granted(api: &Label) -> Failure {
    Failure::failed(
        &format!("The token does not verify keys of an API named `{api}`."),
        Some("`keyvault token show NAME` lists the token's APIs."),
    )
}

/// An API's keys, to decide by.
struct Known {
    of: ApiToVerify,
    snapshot: Snapshot,
}

/// Everything that one request is decided by.
struct Asking<'a> {
    asked: Asked<'a>,
    needs: &'a Query,
    costs: Costs,
}

impl Verify {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        if startup::inherited().closed[0] {
            return Err(Failure::failed("Standard input is closed.", Some(TYPED)));
        }
        refuse_typed_stdin(TYPED)?;
        if self.batch {
            let input = read_whole(&mut std::io::stdin(), MAX_BATCH, Path::new(STDIN))?;
            let known = self.known(context)?;
            return self.batch(context, &known, &input);
        }
        let input = read_secret(&mut std::io::stdin(), MAX_BATCH, Path::new(STDIN))?;
        let (key, _) = without_line_end(input);
        let known = self.known(context)?;
        let any = Query::any();
        let asking = Asking {
            asked: self.asked(),
            needs: self.scope.as_ref().unwrap_or(&any),
            costs: costs(&self.cost),
        };
        let counters = Counters::in_memory();
        let verdict = judge(&known, &counters, key.expose(), &asking, context.now());
        if context.ui.json {
            context.ui.print_json(&verdict.json)?;
        } else {
            context.ui.line(&verdict.words)?;
        }
        Ok(verdict.code)
    }

    /// The sets that the owner or the verifier has.
    fn known(&self, context: &Context) -> Result<Vec<Known>, Failure> {
        let of = if let Some(token) = context.given_token()? {
            let mut vault = context.open()?;
            let path = vault.path().to_owned();
            let all = context.with_world(|world| {
                issued::granted_to_verify(&mut vault, &token, world).map_err(|error| of_token(error, &path))
            })?;
            match &self.api {
                None => all,
                Some(wanted) => {
                    let granted = all.into_iter().find(|one| one.api == *wanted);
                    vec![granted.ok_or_else(|| not_granted(wanted))?]
                }
            }
        } else {
            let (mut vault, access) = context.open_to_look()?;
            let path = vault.path().to_owned();
            context.with_world(|world| {
                issued::to_verify(&mut vault, &access, world, self.api.as_ref())
                    .map_err(|error| Failure::of(error, &path))
            })?
        };
        Ok(of.into_iter().map(|of: ApiToVerify| Known { snapshot: Snapshot::build(&of.sets), of }).collect())
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            network: self.ip,
            origin: self.origin.as_deref(),
            app: self.app.as_deref(),
            method: self.method.as_deref(),
            path: self.path.as_deref(),
        }
    }

    fn batch(&self, context: &Context, known: &[Known], input: &SecretBytes) -> Result<u8, Failure> {
        let counters = Counters::in_memory();
        let mut worst = code::DONE;
        let lines = input.expose().split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        for line in lines {
            let (answer, code) = match self.line(context, known, &counters, line) {
                Ok(verdict) => (verdict.json, verdict.code),
                Err(message) => {
                    let error = json!({ "kind": "usage", "message": message, "hint": null });
                    (json!({ "error": error }), code::USAGE)
                }
            };
            context.ui.print_json(&answer)?;
            if badness(code) > badness(worst) {
                worst = code;
            }
        }
        Ok(worst)
    }

    /// The verdict on one line. The error does not repeat the line, which may hold a key.
    fn line(
        &self,
        context: &Context,
        known: &[Known],
        counters: &Counters,
        line: &[u8],
    ) -> Result<Verdict, String> {
        let line: Line<'_> = serde_json::from_slice(line).map_err(|_| {
            "The line is not a JSON object with `key`, and at most scope, ip, origin, app, method, path, and cost."
                .to_owned()
        })?;
        let key = decoded(line.key.get()).ok_or("`key` is not a string.")?;
        let own =
            line.scope.as_deref().map(query).transpose().map_err(|error| format!("The scope {error}."))?;
        let any = Query::any();
        let usual = self.asked();
        let asked = Asked {
            network: line.ip.or(usual.network),
            origin: line.origin.as_deref().or(usual.origin),
            app: line.app.as_deref().or(usual.app),
            method: line.method.as_deref().or(usual.method),
            path: line.path.as_deref().or(usual.path),
        };
        let own_cost = line.cost.map(|cost| Cost { rate: None, cost });
        let all: Vec<_> = self.cost.iter().cloned().chain(own_cost).collect();
        let asking =
            Asking { asked, needs: own.as_ref().or(self.scope.as_ref()).unwrap_or(&any), costs: costs(&all) };
        Ok(judge(known, counters, key.expose(), &asking, context.now()))
    }
}

/// The text of a JSON string, in a buffer that is wiped; `None` if it is not one.
fn decoded(json: &str) -> Option<SecretBytes> {
    let text = JsonText::parse(json).ok().filter(|text| text.written().starts_with('"'))?;
    text.value().ok()
}

fn costs(given: &[Cost]) -> Costs {
    let usual = Label::parse(USUAL_RATE).ok();
    let mut costs = Costs::default();
    for Cost { rate, cost } in given {
        if rate.is_none() {
            costs = costs.with_quota(u64::from(*cost));
        }
        if let Some(rate) = rate.as_ref().or(usual.as_ref()) {
            costs = costs.with_limit(rate, *cost);
        }
    }
    costs
}

/// Of the lines of a batch the one that a script has to hear of: ours before theirs, and a stranger before a refusal.
fn badness(code: u8) -> u8 {
    match code {
        code::DONE => 0,
        code::REFUSED => 1,
        code::FAILED => 2,
        _ => 3,
    }
}

struct Verdict {
    code: u8,
    json: Value,
    words: String,
}

fn judge(known: &[Known], counters: &Counters, key: &[u8], asking: &Asking<'_>, now: Moment) -> Verdict {
    let request = Request { credential: key, asked: asking.asked, needs: asking.needs, costs: &asking.costs };
    // Each set's mark is its own; a text that another system made has none, and is looked for everywhere.
    let mark = KeyText::parse(key).map(|text| text.id.mark());
    let is_of = |one: &&Known| mark.is_none_or(|mark| has_mark(one, mark));
    // A clock of seconds is fine for one run.
    let ticks = u64::try_from(now.0).unwrap_or(0).saturating_mul(1_000_000);
    let now = Now { wall: now, ticks };
    let mut last = None;
    for one in known.iter().filter(is_of) {
        let decision = decide::decide(&one.snapshot, counters, &request, now);
        let is_found = decision.cause != Some(Cause::NotFound);
        last = Some(verdict(one, &decision));
        if is_found {
            break;
        }
    }
    last.unwrap_or_else(|| Verdict {
        code: code::FAILED,
        json: answer(Outcome::NotFound, Some(Cause::NotFound)),
        words: Outcome::NotFound.as_str().to_owned(),
    })
}

fn has_mark(one: &Known, mark: Mark) -> bool {
    let api = one.of.sets.owner().api();
    api.is_some_and(|api| api.mark == mark || api.issuers.iter().any(|issuer| issuer.mark == mark))
}

fn answer(outcome: Outcome, cause: Option<Cause>) -> Value {
    json!({
        "outcome": outcome.as_str(), "cause": cause.map(cause_word), "id": null, "name": null, "api": null,
        "client": null, "scopes": [], "limits": [], "retry_after": null,
    })
}

fn verdict(one: &Known, decision: &Decision<'_>) -> Verdict {
    let outcome = decision.outcome;
    let code = match outcome {
        Outcome::Valid => code::DONE,
        Outcome::NotFound => code::FAILED,
        Outcome::Unavailable => code::DAMAGED,
        _ => code::REFUSED,
    };
    // Decoys are never told of.
    let cause = decision.cause.map(|cause| if cause == Cause::Decoy { Cause::NotFound } else { cause });
    let mut json = answer(outcome, cause);
    let mut words = outcome.as_str().to_owned();
    if let (Some(bearer), Some(fields)) = (&decision.bearer, json.as_object_mut()) {
        let name = one.of.names.get(&bearer.id);
        let client = bearer.client.and_then(|client| client_name(one, &client));
        fields.insert("id".to_owned(), bearer.id.as_str().into());
        fields.insert("name".to_owned(), name.map(|name| name.as_str().to_owned()).into());
        fields.insert("api".to_owned(), one.of.api.as_str().into());
        fields.insert("client".to_owned(), client.as_ref().map(ToString::to_string).into());
        let scopes: Vec<_> = bearer.scopes.iter().map(ToString::to_string).collect();
        fields.insert("scopes".to_owned(), scopes.into());
        let limits: Vec<_> = decision.limits.iter().map(limit).collect();
        fields.insert("limits".to_owned(), limits.into());
        let retry = decision.retry_after.map(|nanos| nanos.div_ceil(1_000_000_000));
        fields.insert("retry_after".to_owned(), retry.into());
        let label = name.map_or_else(|| bearer.id.to_string(), |name| format!("{name} ({})", bearer.id));
        let why = cause.map(cause_word).filter(|why| *why != outcome.as_str()).map(|why| format!(" ({why})"));
        let of = client.map(|client| format!(", client {client}")).unwrap_or_default();
        let scopes = format!(", scopes {}", joined(bearer.scopes.iter()));
        // A refusal by a rate without a time to come back is one of a cost above the rate's burst.
        let never = cause == Some(Cause::Rate) && decision.retry_after.is_none();
        let never = if never { "; it never passes: the cost is above the burst" } else { "" };
        words = format!("{words}{}: {label}{of}{scopes}{never}", why.unwrap_or_default());
    }
    Verdict { code, json, words }
}

fn client_name(one: &Known, id: &Id) -> Option<Label> {
    let sets = &one.of.sets;
    std::iter::once(sets.owner()).chain(sets.issuers()).find_map(|set| match set.client(id) {
        Found::Record(client) => Some(client.name.clone()),
        Found::Newer | Found::Absent => None,
    })
}

fn limit(state: &LimitState<'_>) -> Value {
    let counter = match state.counter {
        Counter::Key => "key",
        Counter::Client => "client",
    };
    let (rate, quota) = match &state.limit {
        LimitOf::Rate(limit) => (Some(limit.name.to_string()), None),
        LimitOf::Quota { period, .. } => (None, Some(period_name(*period))),
    };
    json!({
        "rate": rate, "quota": quota, "counter": counter, "limit": state.whole(),
        "remaining": state.remaining, "reset": state.reset.div_ceil(1_000_000_000),
    })
}

fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::NotFound | Cause::Decoy => "not_found",
        Cause::NotYet => "not_yet",
        Cause::Expired => "expired",
        Cause::Held => "held",
        Cause::Disabled => "disabled",
        Cause::Revoked => "revoked",
        Cause::OutOfBounds => "out_of_bounds",
        Cause::Unmet(Restriction::Network) => "network",
        Cause::Unmet(Restriction::Origin) => "origin",
        Cause::Unmet(Restriction::App) => "app",
        Cause::Unmet(Restriction::Method) => "method",
        Cause::Unmet(Restriction::Path) => "path",
        Cause::Scope => "scope",
        Cause::Rate => "rate",
        Cause::Quota => "quota",
        Cause::NoSet => "no_set",
        Cause::Reserving | Cause::NoStore => "no_store",
    }
}
