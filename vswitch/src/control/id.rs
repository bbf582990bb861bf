//! Identifiers and names, as Docker has them.

use std::io::Read;

/// 64 random hexadecimal digits.
///
/// # Errors
/// When /dev/urandom cannot be read.
pub fn new_id() -> std::io::Result<String> {
    use std::fmt::Write;
    let mut bytes = [0u8; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold(String::with_capacity(64), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    }))
}

/// The first 12 digits, as lists show them.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Whether a name matches `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub fn is_valid_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() >= 2
        && name.len() <= 255
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

const ADJECTIVES: [&str; 24] = [
    "amber", "bold", "brisk", "calm", "clear", "deft", "eager", "early", "fair", "fleet", "frank", "glad",
    "keen", "kind", "lively", "lucid", "mellow", "nimble", "plain", "quiet", "ready", "sharp", "steady",
    "swift",
];

const PIONEERS: [&str; 24] = [
    "baran",
    "boggs",
    "cerf",
    "clark",
    "crocker",
    "davies",
    "estrin",
    "floyd",
    "holmes",
    "jacobson",
    "kahn",
    "kleinrock",
    "licklider",
    "lynch",
    "metcalfe",
    "mockapetris",
    "perlman",
    "postel",
    "pouzin",
    "reynolds",
    "roberts",
    "speck",
    "stallings",
    "varghese",
];

/// A name for a container that was given none, made from its id.
pub fn generated_name(id: &str, attempt: usize) -> String {
    let digit = |range: std::ops::Range<usize>| {
        id.get(range).and_then(|hex| usize::from_str_radix(hex, 16).ok()).unwrap_or(0)
    };
    let adjective = ADJECTIVES[digit(0..4) % ADJECTIVES.len()];
    let pioneer = PIONEERS[digit(4..8) % PIONEERS.len()];
    match attempt {
        0 => format!("{adjective}_{pioneer}"),
        n => format!("{adjective}_{pioneer}{n}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_docker_takes() {
        for good in ["ab", "web-1", "0.x", "A_b"] {
            assert!(is_valid_name(good), "{good}");
        }
        for bad in ["", "a", "-ab", ".ab", "a b", "a/b", "ä1", "a\n"] {
            assert!(!is_valid_name(bad), "{bad}");
        }
        let id = new_id().unwrap();
        assert_eq!((id.len(), short(&id).len()), (64, 12));
        assert!(is_valid_name(&generated_name(&id, 0)) && is_valid_name(&generated_name(&id, 3)));
    }
}
