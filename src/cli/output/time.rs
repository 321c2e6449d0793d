//! Times and durations as people write and read them.

use std::sync::OnceLock;

use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp, Unit, civil};

use keyvault_core::clock::{Clock, Moment, SystemClock};
pub(crate) use keyvault_vault::time::{local, rfc3339};

/// A duration: a number and s, m, h, d, w or y. A year is 365 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duration {
    /// Milliseconds.
    pub millis: i64,
}

/// An expiry as it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    Never,
    /// From now.
    In(Duration),
    At(Moment),
}

impl Expiry {
    /// The moment that it means now.
    #[must_use]
    pub(crate) fn resolve(self, now: Moment) -> Option<Moment> {
        match self {
            Self::Never => None,
            Self::In(duration) => Some(now.plus_millis(duration.millis)),
            Self::At(moment) => Some(moment),
        }
    }
}

/// The clock that the program was started with. It is not an argument because clap's parsers and completers cannot take one.
static CLOCK: OnceLock<&'static (dyn Clock + Sync)> = OnceLock::new();

/// Sets the clock of this process. Only the first call has an effect.
pub(in crate::cli) fn set_clock(clock: &'static (dyn Clock + Sync)) {
    // A second run within one process keeps the clock of the first.
    let _ = CLOCK.set(clock);
}

pub(in crate::cli) fn clock() -> &'static (dyn Clock + Sync) {
    CLOCK.get().copied().unwrap_or(&SystemClock)
}

#[must_use]
pub(crate) fn now() -> Moment {
    clock().now()
}

const DURATION: &str = "is not a duration: a number and s, m, h, d, w or y, such as 90d";
const TOO_LONG: &str = "is longer than 100 years, the longest duration";
const NEGATIVE: &str = "is negative; a duration is a number and s, m, h, d, w or y, such as 90d";

/// Reads a duration. clap shows the error; it must not repeat the text.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let well_formed = |text: &str| {
        text.len() > 1
            && text
                .strip_suffix(['s', 'm', 'h', 'd', 'w', 'y'])
                .is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if !well_formed(text) {
        let negative = text.strip_prefix('-').is_some_and(well_formed);
        return Err(if negative { NEGATIVE } else { DURATION }.to_owned());
    }
    // Text that is well formed and no span has too many digits for one.
    let span: Span = match text.strip_suffix('y') {
        Some(years) => {
            let days = years.parse::<i64>().ok().and_then(|years| years.checked_mul(365));
            Span::new().try_days(days.ok_or(TOO_LONG)?).map_err(|_| TOO_LONG)?
        }
        None => text.parse().map_err(|_| TOO_LONG)?,
    };
    let millis =
        span.total((Unit::Millisecond, SpanRelativeTo::days_are_24_hours())).map_err(|_| TOO_LONG)?;
    // 100 years: far beyond any key, far from the end of time.
    #[allow(clippy::cast_possible_truncation, reason = "whole milliseconds, bounded below")]
    if millis <= 3.2e12 { Ok(Duration { millis: millis as i64 }) } else { Err(TOO_LONG.to_owned()) }
}

/// Reads an expiry: a duration, an RFC 3339 time, a date (its first moment here), or `never`.
pub(crate) fn expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    let why = match duration(text) {
        Ok(duration) => return Ok(Expiry::In(duration)),
        Err(why) if why == TOO_LONG => why,
        Err(_) => "is not a time such as 90d, 2027-01-31, 2027-01-31T12:00:00Z or never".to_owned(),
    };
    moment(text).map(Expiry::At).map_err(|()| why)
}

/// Reads an expiry of something new, which lies ahead.
pub(crate) fn expiry_ahead(text: &str) -> Result<Expiry, String> {
    let given = expiry(text)?;
    let now = now();
    if given.resolve(now).is_some_and(|end| end <= now) {
        Err("is in the past".to_owned())
    } else {
        Ok(given)
    }
}

/// Reads a point in the past: a duration ago, a time or a date.
pub(crate) fn since(text: &str) -> Result<Expiry, String> {
    duration(text)
        .map(|duration| Expiry::In(Duration { millis: -duration.millis }))
        .or_else(|_| moment(text).map(Expiry::At))
        .map_err(|()| "is not a time such as 24h, 2027-01-31 or 2027-01-31T12:00:00Z".to_owned())
}

fn moment(text: &str) -> Result<Moment, ()> {
    let at = |timestamp: Timestamp| Moment(timestamp.as_millisecond());
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(at(timestamp));
    }
    let date: civil::Date = if text.len() == 10 { text.parse().map_err(|_| ())? } else { return Err(()) };
    date.to_zoned(TimeZone::system()).map(|zoned| at(zoned.timestamp())).map_err(|_| ())
}

/// The time between two moments, rounded, in its largest unit: `3d`, `5h`, `12m`, `40s`.
#[must_use]
pub(crate) fn between(earlier: Moment, later: Moment) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let millis = later.0.saturating_sub(earlier.0).max(0);
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| millis >= *unit - unit / 60).unwrap_or((1000, "s"));
    format!("{}{name}", millis.saturating_add(unit / 2) / unit)
}

/// A length of time as people write it, in the largest unit that divides it: 86,400 seconds are `1d`, 5400 are `90m`.
#[must_use]
pub(crate) fn exact(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3600, "h"), (60, "m")];
    let fits = |(unit, _): &(u64, &str)| seconds > 0 && seconds.is_multiple_of(*unit);
    UNITS
        .into_iter()
        .find(fits)
        .map_or_else(|| format!("{seconds}s"), |(unit, name)| format!("{}{name}", seconds / unit))
}

/// `in 5h`, `2d ago`, `just now`.
#[must_use]
pub(crate) fn relative(moment: Moment, now: Moment) -> String {
    // A moment that was noted after the clock was read lies ahead of it by a little; what ends soon does by more.
    let slack = if moment > now { 500 } else { 1000 };
    if moment.0.abs_diff(now.0) < slack {
        "just now".to_owned()
    } else if moment > now {
        format!("in {}", between(now, moment))
    } else {
        format!("{} ago", between(moment, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_one_unit() {
        let millis = |text| duration(text).map(|duration| duration.millis);
        assert_eq!(millis("90d"), Ok(90 * 86_400_000));
        assert_eq!(millis("2w"), Ok(14 * 86_400_000));
        assert_eq!(millis("15m"), Ok(900_000));
        assert_eq!(millis("1y"), Ok(365 * 86_400_000));
        for bad in ["", "d", "90", "1.5h", "-1d", "1h30m", "9999999w", "1 d", "1mo", "y", "1Y"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_duration_that_is_too_long_or_negative_is_told_so() {
        for long in ["9999999w", "99999999999999999999999s", "40000d", "102y", "9223372036854775807y"] {
            assert_eq!(duration(long), Err(TOO_LONG.to_owned()), "{long}");
            assert_eq!(expiry(long), Err(TOO_LONG.to_owned()), "{long}");
        }
        assert_eq!(duration("-1h"), Err(NEGATIVE.to_owned()));
        assert_eq!(duration("-h"), Err(DURATION.to_owned()));
    }

    #[test]
    fn an_expiry_is_a_duration_a_time_a_date_or_never() {
        assert_eq!(expiry("never"), Ok(Expiry::Never));
        assert_eq!(expiry("1970-01-01T00:00:01Z"), Ok(Expiry::At(Moment(1000))));
        assert!(matches!(expiry("2027-01-31"), Ok(Expiry::At(_))));
        assert!(expiry("tomorrow").is_err());
    }

    #[test]
    fn times_read_as_data_and_as_words() {
        assert_eq!(rfc3339(Moment(1000)), "1970-01-01T00:00:01.000Z");
        assert_eq!(relative(Moment(0), Moment(3_600_000)), "1h ago");
        assert_eq!(relative(Moment(90_000), Moment(0)), "in 2m");
        assert_eq!(relative(Moment(90 * 86_400_000 - 5), Moment(0)), "in 90d");
        assert_eq!(relative(Moment(5), Moment(0)), "just now");
        assert_eq!(relative(Moment(900), Moment(0)), "in 1s");
    }
}
