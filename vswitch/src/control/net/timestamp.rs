//! Times as Docker reads and writes them. All are nanoseconds since 1970.

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

const SECOND: i128 = 1_000_000_000;

/// RFC 3339 in UTC with as many digits of the second as it takes: `2026-11-21T08:54:00.123456789Z`.
/// 0 is what never was, for which Docker writes the first moment of the year 1.
pub fn rfc3339(nanoseconds: u64) -> String {
    if nanoseconds == 0 {
        return "0001-01-01T00:00:00Z".into();
    }
    // A u64 of nanoseconds ends in the year 2554, well within a timestamp.
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or(Timestamp::MAX).to_string()
}

/// The value of `since` or `until`: how long before `now` (`10m`, `1h30m`), a date and time (RFC 3339,
/// and parts of it such as `2026-11-21` or `2026-11-21T08:54`; in `zone` where it names none), or
/// seconds since 1970 with an optional fraction. A time before 1970 is 0.
pub fn parse(value: &str, now: u64, zone: &TimeZone) -> Option<u64> {
    let nanoseconds = if value != "0"
        && let Some(ago) = parse_duration(value)
    {
        // Docker drops the fraction here.
        (i128::from(now) - ago).div_euclid(SECOND) * SECOND
    } else if let Some(time) = parse_date(value, zone) {
        time.as_nanosecond()
    } else {
        parse_seconds(value)?
    };
    Some(u64::try_from(nanoseconds.max(0)).unwrap_or(u64::MAX))
}

/// A sum of numbers with units, as Go's `time.ParseDuration`: `1h15m30.918s`. In nanoseconds.
fn parse_duration(text: &str) -> Option<i128> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        rest = tail;
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        sum = sum.checked_add(whole.checked_mul(unit)?)?;
        // Digits that make less than a nanosecond of the largest unit say nothing.
        let digits = fraction.get(..fraction.len().min(15))?;
        if !digits.is_empty() {
            sum = sum.checked_add(digits.parse::<i128>().ok()? * unit / 10i128.pow(digits.len() as u32))?;
        }
    }
    // Go's durations are 64 bits.
    i64::try_from(sum).ok().map(|n| if negative { -i128::from(n) } else { i128::from(n) })
}

/// The forms that Docker's `GetTimestamp` takes.
fn parse_date(value: &str, zone: &TimeZone) -> Option<Timestamp> {
    let named = value.contains(['z', 'Z', '+']) || value.matches('-').count() == 3;
    let text = match value.strip_suffix('Z') {
        Some(rest) => format!("{rest}+00:00"),
        None => value.to_owned(),
    };
    let colons = text.matches(':').count().saturating_sub(usize::from(named));
    let time = match (text.contains('T'), colons) {
        (false, _) => "",
        (true, 0) => "T%H",
        (true, 1) => "T%H:%M",
        (true, _) => "T%H:%M:%S%.f",
    };
    let format = format!("%Y-%m-%d{time}{}", if named { "%:z" } else { "" });
    let parsed = BrokenDownTime::parse(format, text.as_str()).ok()?;
    let date = match time {
        "" => parsed.to_date().ok()?.to_datetime(jiff::civil::Time::midnight()),
        _ => parsed.to_datetime().ok()?,
    };
    match parsed.offset() {
        Some(offset) => offset.to_timestamp(date).ok(),
        None => zone.to_timestamp(date).ok(),
    }
}

/// `1136073600.000000001`. In nanoseconds.
fn parse_seconds(value: &str) -> Option<i128> {
    let (seconds, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let seconds: i64 = seconds.parse().ok()?;
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: i128 = format!("{:0<9}", fraction.get(..fraction.len().min(9))?).parse().ok()?;
    Some(i128::from(seconds) * SECOND + nanoseconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_795_251_240_123_456_789;

    fn at(value: &str) -> Option<String> {
        parse(value, NOW, &TimeZone::UTC).map(rfc3339)
    }

    #[test]
    fn times_are_written_as_docker_writes_them() {
        assert_eq!(rfc3339(0), "0001-01-01T00:00:00Z");
        assert_eq!(rfc3339(NOW), "2026-11-21T08:54:00.123456789Z");
        assert_eq!(rfc3339(951_782_400 * 1_000_000_000), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_500_000_000), "1970-01-01T00:00:01.5Z");
        assert_eq!(rfc3339(u64::MAX), "2554-07-21T23:34:33.709551615Z");
    }

    #[test]
    fn a_duration_is_so_long_ago() {
        for (value, time) in [
            ("10m", "2026-11-21T08:44:00Z"),
            ("24h", "2026-11-20T08:54:00Z"),
            ("1h30m", "2026-11-21T07:24:00Z"),
            ("1.5h", "2026-11-21T07:24:00Z"),
            (".5m", "2026-11-21T08:53:30Z"),
            ("0s", "2026-11-21T08:54:00Z"),
            ("-10m", "2026-11-21T09:04:00Z"),
            ("500ms", "2026-11-21T08:53:59Z"),
        ] {
            assert_eq!(at(value).as_deref(), Some(time), "{value}");
        }
        assert_eq!(parse("1000000h", NOW, &TimeZone::UTC), Some(0), "before 1970");
    }

    #[test]
    fn dates_are_taken_in_dockers_forms() {
        for (value, time) in [
            ("2013-01-02", "2013-01-02T00:00:00Z"),
            ("2013-01-02Z", "2013-01-02T00:00:00Z"),
            ("2013-01-02+01:00", "2013-01-01T23:00:00Z"),
            ("2013-01-02T03", "2013-01-02T03:00:00Z"),
            ("2013-01-02T03Z", "2013-01-02T03:00:00Z"),
            ("2013-01-02T03:04", "2013-01-02T03:04:00Z"),
            ("2013-01-02T03:04-02:00", "2013-01-02T05:04:00Z"),
            ("2013-01-02T03:04:05", "2013-01-02T03:04:05Z"),
            ("2013-01-02T03:04:05.25", "2013-01-02T03:04:05.25Z"),
            ("2013-01-02T03:04:05.000000001Z", "2013-01-02T03:04:05.000000001Z"),
            ("2013-01-02T03:04:05.1+05:30", "2013-01-01T21:34:05.1Z"),
            ("10", "1970-01-01T00:00:10Z"),
            ("1136073600", "2006-01-01T00:00:00Z"),
            ("1136073600.000000001", "2006-01-01T00:00:00.000000001Z"),
            ("1136073600.5", "2006-01-01T00:00:00.5Z"),
            ("0", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(at(value).as_deref(), Some(time), "{value}");
        }
    }

    #[test]
    fn a_date_without_a_zone_is_in_the_zone_of_this_host() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let noon = parse("2013-01-02T12:00:00", NOW, &zone).map(rfc3339);
        assert_eq!(noon.as_deref(), Some("2013-01-02T10:00:00Z"));
        assert_eq!(
            parse("2013-01-02T12:00:00Z", NOW, &zone).map(rfc3339).as_deref(),
            Some("2013-01-02T12:00:00Z")
        );
    }

    #[test]
    fn what_is_neither_is_nothing() {
        for value in [
            "",
            "yesterday",
            "10x",
            "m",
            "1h-5m",
            ".s",
            "1.2.3s",
            "2013-13-02",
            "2013-01-02T25",
            "2013-01-02T",
            "--",
            "+",
            "1.",
            "1.x",
            "99999999999999999999",
            "999999999999h",
            "2013-01-02T03:04:05ZZ",
            "12:00",
        ] {
            assert_eq!(at(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_time_that_was_written_is_read_back(time in 1u64..) {
            prop_assert_eq!(parse(&rfc3339(time), NOW, &TimeZone::UTC), Some(time));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+0-9.:TZhmsn\u{b5} a]{0,30}", now: u64) {
            let _ = parse(&text, now, &TimeZone::UTC);
        }

        #[test]
        fn no_text_at_all_makes_it_panic(text: String) {
            let _ = parse(&text, NOW, &TimeZone::UTC);
        }
    }
}
