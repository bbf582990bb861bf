//! Times as Docker reads and writes them. All are nanoseconds since 1970.

use jiff::Timestamp;

/// RFC 3339 in UTC with as many digits of the second as it takes: `2026-11-21T08:54:00.123456789Z`.
/// 0 is Docker's time of what never was, the first day of year 1.
pub fn rfc3339(nanoseconds: u64) -> String {
    if nanoseconds == 0 {
        return "0001-01-01T00:00:00Z".into();
    }
    Timestamp::from_nanosecond(i128::from(nanoseconds)).map(|t| t.to_string()).unwrap_or_default()
}
