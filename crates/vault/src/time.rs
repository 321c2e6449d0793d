//! Moments in text.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use keyvault_core::clock::Moment;

/// RFC 3339 in UTC, for data.
#[must_use]
pub fn rfc3339(Moment(millis): Moment) -> String {
    Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |at| format!("{at:.3}"))
}

/// Local time to the minute, for people.
#[must_use]
pub fn local(Moment(millis): Moment) -> String {
    Timestamp::from_millisecond(millis).map_or_else(
        |_| millis.to_string(),
        |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
    )
}
