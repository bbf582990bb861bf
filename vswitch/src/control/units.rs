//! Durations and sizes in words, as Docker prints them.

use std::time::Duration;

/// How long, roughly: `Less than a second`, `5 seconds`, `About an hour`, `3 days`.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(vswitch::control::units::human_duration(Duration::from_mins(5)), "5 minutes");
/// ```
pub fn human_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    // Hours are rounded, all else is cut off, as Docker does.
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".to_owned(),
        (_, _, 2..48) => format!("{hours} hours"),
        (_, _, 48..336) => format!("{} days", hours / 24),
        (_, _, 336..1440) => format!("{} weeks", hours / 24 / 7),
        (_, _, 1440..17_520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// Since when: `5 minutes ago`.
pub fn ago(duration: Duration) -> String {
    format!("{} ago", human_duration(duration))
}

/// The STATUS of what runs: `Up 5 minutes`.
pub fn up(duration: Duration) -> String {
    format!("Up {}", human_duration(duration))
}

/// The STATUS of what ended: `Exited (0) 3 seconds ago`.
pub fn exited(code: i32, since: Duration) -> String {
    format!("Exited ({code}) {}", ago(since))
}

/// A size in powers of 1000 with four digits: `1.5kB`.
pub fn human_size(bytes: u64) -> String {
    human_size_with_precision(bytes, 4)
}

/// A size in powers of 1000 with so many digits; `ps -s` and `stats` show three.
pub fn human_size_with_precision(bytes: u64, digits: usize) -> String {
    scaled(bytes, 1000.0, digits, &["B", "kB", "MB", "GB", "TB", "PB", "EB"])
}

/// A size in powers of 1024 with four digits: `1.5KiB`.
pub fn bytes_size(bytes: u64) -> String {
    scaled(bytes, 1024.0, 4, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

fn scaled(bytes: u64, base: f64, digits: usize, units: &[&str]) -> String {
    // Few digits are shown; a double holds fifteen.
    #[allow(clippy::cast_precision_loss)]
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= base && unit + 1 < units.len() {
        size /= base;
        unit += 1;
    }
    format!("{}{}", general(size, digits.clamp(1, 15)), units.get(unit).unwrap_or(&""))
}

/// `%.Ng`: at most `digits` significant digits, no trailing zeros.
pub fn general(value: f64, digits: usize) -> String {
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i64 = power.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    let digits = i64::try_from(digits).unwrap_or(i64::MAX);
    if power < -4 || power >= digits {
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(mantissa), power.unsigned_abs());
    }
    let decimals = usize::try_from((digits - 1 - power).max(0)).unwrap_or(0);
    trim(&format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (45, "45 seconds"),
            (59, "59 seconds"),
            (MINUTE, "About a minute"),
            (MINUTE + 59, "About a minute"),
            (2 * MINUTE, "2 minutes"),
            (35 * MINUTE, "35 minutes"),
            (59 * MINUTE + 59, "59 minutes"),
            (HOUR, "About an hour"),
            (HOUR + 29 * MINUTE, "About an hour"),
            (HOUR + 30 * MINUTE, "2 hours"),
            (47 * HOUR, "47 hours"),
            (47 * HOUR + 30 * MINUTE, "2 days"),
            (3 * DAY, "3 days"),
            (13 * DAY, "13 days"),
            (14 * DAY, "2 weeks"),
            (59 * DAY, "8 weeks"),
            (60 * DAY, "2 months"),
            (365 * DAY, "12 months"),
            (729 * DAY, "24 months"),
            (730 * DAY, "2 years"),
            (u64::MAX, "584942417355 years"),
        ] {
            let duration = Duration::from_secs(seconds.min(u64::MAX - 1800));
            assert_eq!(human_duration(duration), words, "{seconds}");
        }
        assert_eq!(human_duration(Duration::from_millis(999)), "Less than a second");
    }

    #[test]
    fn statuses() {
        assert_eq!(up(Duration::from_mins(5)), "Up 5 minutes");
        assert_eq!(exited(137, Duration::from_secs(3)), "Exited (137) 3 seconds ago");
    }

    #[test]
    fn sizes() {
        for (bytes, decimal, binary) in [
            (0, "0B", "0B"),
            (999, "999B", "999B"),
            (1000, "1kB", "1000B"),
            (1023, "1.023kB", "1023B"),
            (1024, "1.024kB", "1KiB"),
            (1500, "1.5kB", "1.465KiB"),
            (999_999, "1000kB", "976.6KiB"),
            (1_000_000, "1MB", "976.6KiB"),
            (10_000_000, "10MB", "9.537MiB"),
            (3_420_000_000, "3.42GB", "3.185GiB"),
            (u64::MAX, "18.45EB", "16EiB"),
        ] {
            assert_eq!(human_size(bytes), decimal);
            assert_eq!(bytes_size(bytes), binary);
        }
        assert_eq!(human_size_with_precision(14_161, 3), "14.2kB");
        assert_eq!(human_size_with_precision(999_999, 3), "1e+03kB");
    }
}
