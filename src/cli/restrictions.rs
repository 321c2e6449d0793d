//! Restrictions of an issued key or a client as they are typed: rates, quotas, networks, and what a request must be.

use std::collections::BTreeSet;
use std::net::IpAddr;

use clap::Args;

use keyvault_core::name::{Label, TagKey};
use keyvault_issue::record::{Ascending, Conditions, Limit, Network, Period, Quota};
use keyvault_vault::issued::Part;

use super::complete;
use super::output::time;

/// The name of a rate that is given none.
const USUAL_RATE: &str = "requests";
/// Longest text for people, in bytes, as the records keep it.
const MAX_TEXT: usize = 1024;

/// Restrictions to set or to add.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Restrictions {
    /// At most so many requests in a period: 100/m, 10/5s, or with a name, a burst, and a cost: search:100/m,burst=20,cost=2;
    /// may be repeated
    #[arg(long, value_name = "RATE", value_parser = rate, help_heading = "Restrictions", hide_short_help = true)]
    rate: Vec<Limit>,
    /// At most so many requests in each day or month of UTC: 1000/day, 50K/day, 1M/month; may be repeated
    #[arg(long, value_name = "N/PERIOD", value_parser = quota, help_heading = "Restrictions", hide_short_help = true)]
    quota: Vec<Quota>,
    /// Only from this network, such as 203.0.113.0/24 or 2001:db8::/32; may be repeated
    #[arg(long, value_name = "NETWORK", value_parser = network, help_heading = "Restrictions", hide_short_help = true)]
    cidr: Vec<Network>,
    /// Only from this web origin, such as https://app.example.com; may be repeated
    #[arg(long, value_name = "ORIGIN", value_parser = origin, help_heading = "Restrictions", hide_short_help = true)]
    origin: Vec<String>,
    /// Only with this method, such as GET; may be repeated
    #[arg(long, value_name = "METHOD", value_parser = method, help_heading = "Restrictions", hide_short_help = true)]
    method: Vec<String>,
    /// Only to this path, or to those below it: /orders, /orders/*; may be repeated
    #[arg(long, value_name = "PATH", value_parser = path, help_heading = "Restrictions", hide_short_help = true)]
    path: Vec<String>,
    /// Only from this app, such as com.example.shop; may be repeated
    #[arg(long, value_name = "APP", value_parser = app, help_heading = "Restrictions", hide_short_help = true)]
    app: Vec<String>,
}

/// Restrictions to drop.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Dropped {
    /// Drop restrictions before others are added: rates, quotas, cidrs, origins, methods, paths, apps; separated by commas
    #[arg(long, value_name = "WHICH", value_delimiter = ',', add = complete::one_of(part_names), value_parser = part, help_heading = "Restrictions", hide_short_help = true)]
    clear: Vec<Part>,
}

impl Restrictions {
    pub(in crate::cli) fn conditions(self) -> Conditions {
        fn texts(list: Vec<String>) -> Ascending<Box<str>> {
            Ascending::of(list.into_iter().map(String::into_boxed_str))
        }
        Conditions {
            limits: Ascending::of(self.rate),
            quotas: Ascending::of(self.quota),
            networks: Ascending::of(self.cidr),
            origins: texts(self.origin),
            methods: texts(self.method),
            paths: texts(self.path),
            apps: texts(self.app),
        }
    }
}

impl Dropped {
    pub(in crate::cli) fn parts(self) -> BTreeSet<Part> {
        self.clear.into_iter().collect()
    }
}

fn part_name(part: Part) -> &'static str {
    match part {
        Part::Rates => "rates",
        Part::Quotas => "quotas",
        Part::Networks => "cidrs",
        Part::Origins => "origins",
        Part::Methods => "methods",
        Part::Paths => "paths",
        Part::Apps => "apps",
    }
}

fn part_names() -> [&'static str; Part::ALL.len()] {
    Part::ALL.map(part_name)
}

fn part(text: &str) -> Result<Part, String> {
    let found = Part::ALL.into_iter().find(|part| part_name(*part) == text);
    found.ok_or_else(|| format!("is not one of {}", part_names().join(", ")))
}

/// A text for people.
pub(in crate::cli) fn text(text: &str) -> Result<String, String> {
    if text.len() > MAX_TEXT {
        return Err("has more than 1024 bytes".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("has control characters".to_owned());
    }
    Ok(text.to_owned())
}

fn app(typed: &str) -> Result<String, String> {
    if typed.is_empty() { Err("is empty".to_owned()) } else { text(typed) }
}

/// A label of an issued key, whose value is a text for people.
pub(in crate::cli) fn tag(typed: &str) -> Result<(TagKey, String), String> {
    let (key, value) = super::args::tag(typed)?;
    Ok((key, text(&value)?))
}

fn rate(typed: &str) -> Result<Limit, String> {
    const FORM: &str = "is not a rate such as 100/m, 10/5s, or search:100/m,burst=20,cost=2";
    let (name, rest) = typed.split_once(':').unwrap_or((USUAL_RATE, typed));
    let name = Label::parse(name).map_err(|error| format!("has a name that {error}"))?;
    let mut parts = rest.split(',');
    let (count, period) = parts.next().and_then(|first| first.split_once('/')).ok_or(FORM)?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number: &u32| digits && *number > 0).ok_or_else(|| FORM.to_owned())
    };
    let period = if period.len() == 1 { format!("1{period}") } else { period.to_owned() };
    let per = time::duration(&period).map_err(|_| FORM)?.millis;
    let count = number(count)?;
    let mut limit = Limit {
        name,
        count,
        per: u64::try_from(per).ok().filter(|per| *per > 0).ok_or(FORM)?,
        burst: count,
        cost: 1,
    };
    for part in parts {
        match part.split_once('=').ok_or(FORM)? {
            ("burst", given) => limit.burst = number(given)?,
            ("cost", given) => limit.cost = number(given)?,
            _ => return Err(FORM.to_owned()),
        }
    }
    if limit.cost > limit.burst {
        return Err("costs more than its burst, so no request would pass".to_owned());
    }
    Ok(limit)
}

/// `100/m`, `10/5s`, with the name in front if it is not the usual one, and burst and cost where they are not.
pub(in crate::cli) fn rate_text(limit: &Limit) -> String {
    let per = time::exact(limit.per / 1000);
    let per = per.strip_prefix('1').filter(|unit| unit.len() == 1).unwrap_or(&per);
    let name = match limit.name.as_str() {
        USUAL_RATE => String::new(),
        name => format!("{name}:"),
    };
    let burst = if limit.burst == limit.count { String::new() } else { format!(",burst={}", limit.burst) };
    let cost = if limit.cost == 1 { String::new() } else { format!(",cost={}", limit.cost) };
    format!("{name}{}/{per}{burst}{cost}", limit.count)
}

fn quota(typed: &str) -> Result<Quota, String> {
    const FORM: &str = "is not a quota such as 1000/day, 50K/day, or 1M/month";
    let (amount, period) = typed.split_once('/').ok_or(FORM)?;
    let period = match period {
        "day" => Period::Day,
        "month" => Period::Month,
        _ => return Err(FORM.to_owned()),
    };
    let (digits, unit) = match amount.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1000),
        None => match amount.strip_suffix(['M', 'm']) {
            Some(digits) => (digits, 1_000_000),
            None => (amount, 1),
        },
    };
    let well_formed = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| well_formed).ok_or(FORM)?;
    Ok(Quota { period, amount: number.checked_mul(unit).ok_or("is too large")? })
}

/// `1000/day`, `1M/month`
pub(in crate::cli) fn quota_text(quota: &Quota) -> String {
    let amount = quota.amount;
    let amount = if amount > 0 && amount.is_multiple_of(1_000_000) {
        format!("{}M", amount / 1_000_000)
    } else if amount > 0 && amount.is_multiple_of(1000) {
        format!("{}K", amount / 1000)
    } else {
        amount.to_string()
    };
    format!("{amount}/{}", period_name(quota.period))
}

pub(in crate::cli) fn period_name(period: Period) -> &'static str {
    match period {
        Period::Day => "day",
        Period::Month => "month",
    }
}

fn network(typed: &str) -> Result<Network, String> {
    const FORM: &str = "is not a network such as 203.0.113.0/24 or 2001:db8::/32";
    let (address, bits) = match typed.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| FORM)?)),
        None => (typed, None),
    };
    let address: IpAddr = address.parse().map_err(|_| FORM)?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(longest);
    if bits > longest {
        return Err(FORM.to_owned());
    }
    let masked = masked(address, bits);
    if masked != address {
        return Err(format!("has bits behind its first {bits}; the network is {masked}/{bits}"));
    }
    Ok(match address {
        IpAddr::V4(address) => Network::V4(address.octets(), bits),
        IpAddr::V6(address) => Network::V6(address.octets(), bits),
    })
}

/// An address with all but its first bits zero.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}

pub(in crate::cli) fn network_text(network: &Network) -> String {
    match network {
        Network::V4(address, bits) => format!("{}/{bits}", std::net::Ipv4Addr::from(*address)),
        Network::V6(address, bits) => format!("{}/{bits}", std::net::Ipv6Addr::from(*address)),
    }
}

fn origin(typed: &str) -> Result<String, String> {
    const FORM: &str = "is not a web origin such as https://app.example.com";
    let (scheme, host) = typed.split_once("://").ok_or(FORM)?;
    let scheme_fits = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let host_fits =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\".contains(&byte));
    if scheme_fits && host_fits && typed.len() <= MAX_TEXT {
        Ok(typed.to_ascii_lowercase())
    } else {
        Err(FORM.to_owned())
    }
}

fn method(typed: &str) -> Result<String, String> {
    let fits = !typed.is_empty() && typed.len() <= 32 && typed.bytes().all(|byte| byte.is_ascii_alphabetic());
    if fits { Ok(typed.to_ascii_uppercase()) } else { Err("is not a method such as GET".to_owned()) }
}

fn path(typed: &str) -> Result<String, String> {
    let fits = typed.starts_with('/') && typed.bytes().all(|byte| byte.is_ascii_graphic());
    let star = typed.find('*');
    let star_fits = star.is_none_or(|at| at + 1 == typed.len() && typed.ends_with("/*"));
    if fits && star_fits && typed.len() <= MAX_TEXT {
        Ok(typed.to_owned())
    } else {
        Err("is not a path such as /orders or /orders/*".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_period_with_a_name_a_burst_and_a_cost() {
        let read = |text: &str| rate(text).map(|limit| (limit.count, limit.per, limit.burst, limit.cost));
        assert_eq!(read("100/m"), Ok((100, 60_000, 100, 1)));
        assert_eq!(read("10/5s"), Ok((10, 5000, 10, 1)));
        assert_eq!(read("search:100/m,burst=20,cost=2"), Ok((100, 60_000, 20, 2)));
        for text in ["100/m", "10/5s", "search:100/h,burst=20,cost=2"] {
            assert_eq!(rate(text).map(|limit| rate_text(&limit)), Ok(text.to_owned()));
        }
        for wrong in
            ["100", "0/m", "100/", "100/x", "-1/m", "+1/m", "1/0s", "1/m,burst=2,cost=3", "1/m,x=1", ":1/m"]
        {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_quota_is_an_amount_in_a_day_or_a_month() {
        let read = |text: &str| quota(text).map(|quota| (quota.amount, quota.period));
        assert_eq!(read("500/day"), Ok((500, Period::Day)));
        assert_eq!(read("1M/month"), Ok((1_000_000, Period::Month)));
        for text in ["500/day", "50K/day", "1M/month", "0/day"] {
            assert_eq!(quota(text).map(|quota| quota_text(&quota)), Ok(text.to_owned()));
        }
        for wrong in ["5", "5/week", "M/day", "+5/day", "99999999999999999999/day", "99999999999999999M/day"]
        {
            assert!(quota(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_network_has_nothing_behind_its_first_bits_and_the_right_one_is_named() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "203.0.113.7/32", "2001:db8::/32", "::/0"] {
            assert_eq!(network(text).map(|network| network_text(&network)), Ok(text.to_owned()));
        }
        assert_eq!(
            network("203.0.113.7").map(|network| network_text(&network)),
            Ok("203.0.113.7/32".to_owned())
        );
        assert_eq!(
            network("10.1.2.3/8"),
            Err("has bits behind its first 8; the network is 10.0.0.0/8".to_owned())
        );
        for wrong in ["10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "x"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn origins_methods_and_paths_are_held_to_their_grammars() {
        assert_eq!(
            origin("HTTPS://a.example:8443"),
            Err("is not a web origin such as https://app.example.com".to_owned())
        );
        assert_eq!(origin("https://A.example:8443"), Ok("https://a.example:8443".to_owned()));
        assert!(origin("https://a.example/x").is_err() && origin("a.example").is_err());
        assert_eq!(method("get"), Ok("GET".to_owned()));
        assert!(method("GE T").is_err());
        assert_eq!(path("/orders/*"), Ok("/orders/*".to_owned()));
        assert!(path("orders").is_err() && path("/a*").is_err() && path("/*/a").is_err());
    }
}
