//! Times as Docker's command takes and prints them: in the zone of whoever reads them.

use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, Zoned};

/// A time as Go prints one by itself: `2025-11-21 09:46:00 +0100 CET`, with a fraction where there is one.
fn plain(at: &Zoned) -> String {
    let fraction = match at.subsec_nanosecond() {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    // Of an offset the name is not known, but for one.
    let named = at.time_zone().to_fixed_offset().map_or(true, |offset| offset == Offset::UTC);
    let zone = if named { "%z %Z" } else { "%z %z" };
    format!("{}{fraction} {}", at.strftime("%Y-%m-%d %H:%M:%S"), at.strftime(zone))
}

/// Seconds since 1970 as Go prints a time, in the local zone.
pub fn plain_seconds(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|at| plain(&at.to_zoned(TimeZone::system()))).unwrap_or_default()
}

/// A time of the API (RFC 3339) as Go prints it: in the zone it was written in. What is no time stays as it is.
///
/// ```
/// assert_eq!(cli::time::plain_rfc3339("2025-11-21T08:46:00.5Z"), "2025-11-21 08:46:00.5 +0000 UTC");
/// ```
pub fn plain_rfc3339(text: &str) -> String {
    let (Ok(at), Ok(pieces)) = (text.parse::<Timestamp>(), Pieces::parse(text)) else {
        return text.to_owned();
    };
    let zone = pieces.to_numeric_offset().map_or(TimeZone::UTC, TimeZone::fixed);
    plain(&at.to_zoned(zone))
}

/// Nanoseconds since 1970 as `docker events` prints them: RFC 3339 with nine digits, in the zone given.
pub fn stamp(nanos: i128, zone: TimeZone) -> Option<String> {
    let at = Timestamp::from_nanosecond(nanos).ok()?.to_zoned(zone);
    let zone = if at.offset() == Offset::UTC { "Z".to_owned() } else { at.strftime("%:z").to_string() };
    Some(format!("{}{zone}", at.strftime("%Y-%m-%dT%H:%M:%S.%9f")))
}

/// A word of `--since` and `--until` as the API takes it, seconds since 1970: a time in RFC 3339, of which the end may
/// be missing, in the zone given unless it names one; seconds since 1970; or how long ago: `10m`, `1h30m`.
///
/// # Errors
/// When it is none of these.
pub fn point(word: &str, now: &Zoned) -> Result<String, String> {
    let ago: Result<SignedDuration, _> = word.parse();
    // A bare number is no duration, though one could read `10` as such.
    if word.ends_with(|c: char| c.is_ascii_alphabetic())
        && let Ok(ago) = ago
    {
        let at = now.timestamp().checked_sub(ago).map_err(|_| format!("\"{word}\" is too long ago"))?;
        return Ok(at.as_second().to_string());
    }
    if let Some(at) = date(word, now.time_zone()) {
        return Ok(format!("{}.{:09}", at.as_second(), at.subsec_nanosecond().max(0)));
    }
    let (seconds, fraction) = word.split_once('.').unwrap_or((word, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits(seconds.strip_prefix('-').unwrap_or(seconds)) && digits(fraction) {
        return Ok(word.to_owned());
    }
    Err(format!(
        "\"{word}\" is no time: write one as 2025-11-21T08:46:00, seconds since 1970, or how long ago as 10m"
    ))
}

/// What a time has that is written in part only.
const WHOLE: &str = "0000-01-01T00:00:00";

/// `2025-11-21T08:46:00.5Z` or the beginning of one.
fn date(word: &str, zone: &TimeZone) -> Option<Timestamp> {
    if let Ok(at) = word.parse::<Timestamp>() {
        return Some(at);
    }
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let beginning = word.get(..WHOLE.len()).unwrap_or(word);
    let fits = ["2025-11-21", "2025-11-21T08", "2025-11-21T08:46", "2025-11-21T08:46:00"]
        .iter()
        .any(|form| form.chars().map(shape).eq(beginning.chars().map(shape)));
    let rest = word.get(WHOLE.len()..).unwrap_or_default();
    if !fits {
        return None;
    }
    let whole = format!("{beginning}{}{rest}", WHOLE.get(beginning.len()..)?);
    let civil: DateTime = whole.parse().ok()?;
    Some(civil.to_zoned(zone.clone()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(hours: i8) -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(hours))
    }

    fn now() -> Zoned {
        "2025-11-21T08:46:00Z".parse::<Timestamp>().unwrap().to_zoned(zone(1))
    }

    #[test]
    fn times_are_printed_as_go_prints_them() {
        for (text, plain) in [
            ("2025-11-21T08:46:00.123456789Z", "2025-11-21 08:46:00.123456789 +0000 UTC"),
            ("2025-11-21T08:46:00.5Z", "2025-11-21 08:46:00.5 +0000 UTC"),
            ("2025-11-21T08:46:00Z", "2025-11-21 08:46:00 +0000 UTC"),
            ("2025-11-21T08:46:00+01:30", "2025-11-21 08:46:00 +0130 +0130"),
            ("2025-11-21T08:46:00-05:00", "2025-11-21 08:46:00 -0500 -0500"),
            ("never", "never"),
        ] {
            assert_eq!(plain_rfc3339(text), plain);
        }
    }

    #[test]
    fn stamps_have_nine_digits_and_a_zone() {
        let nanos = 1_763_714_760_120_000_000;
        assert_eq!(stamp(nanos, TimeZone::UTC).unwrap(), "2025-11-21T08:46:00.120000000Z");
        assert_eq!(stamp(nanos, zone(1)).unwrap(), "2025-11-21T09:46:00.120000000+01:00");
        assert_eq!(stamp(i128::MAX, TimeZone::UTC), None);
    }

    #[test]
    fn points_in_time_become_seconds() {
        for (word, seconds) in [
            ("10m", "1763714160"),
            ("1h30m", "1763709360"),
            ("1.5h", "1763709360"),
            ("90s", "1763714670"),
            ("-10s", "1763714770"),
            ("2025-11-21T08:46:00Z", "1763714760.000000000"),
            ("2025-11-21T08:46:00.25+00:00", "1763714760.250000000"),
            ("2025-11-21T09:46:00", "1763714760.000000000"),
            ("2025-11-21T09:46:00.5", "1763714760.500000000"),
            ("2025-11-21T09:46", "1763714760.000000000"),
            ("2025-11-21T09", "1763712000.000000000"),
            ("2025-11-21", "1763679600.000000000"),
            ("1763714760", "1763714760"),
            ("1763714760.000000001", "1763714760.000000001"),
            ("0", "0"),
        ] {
            assert_eq!(point(word, &now()).as_deref(), Ok(seconds), "{word}");
        }
        for bad in ["", "yesterday", "10", "2025", "2025-13-01", "2025-11-21T", "10x", "1.2.3", "ä"] {
            let is_number = bad.parse::<u64>().is_ok();
            assert_eq!(point(bad, &now()).is_ok(), is_number, "{bad}");
        }
    }
}
