//! Ports a command serves, as `--expose` takes them: `PORT[-PORT][/PROTOCOL]`.

use super::error::ControlError;
use super::record::{ExposedPort, Protocol};

/// Reads a word of `--expose`.
///
/// # Errors
/// [`ControlError::Invalid`] with Docker's sentence.
pub fn parse(word: &str) -> Result<Vec<ExposedPort>, ControlError> {
    let invalid =
        |why: &str| ControlError::Invalid(format!("invalid range format for --expose: {word}, error: {why}"));
    if word.contains(':') {
        return Err(ControlError::Invalid(format!("invalid port format for --expose: {word}")));
    }
    let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        other => return Err(invalid(&format!("unknown protocol {other}"))),
    };
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => {
            Ok((first..=last).map(|port| ExposedPort { port, protocol }).collect())
        }
        (Some(_), Some(_)) => Err(invalid("Invalid range specified for the Port")),
        _ => Err(invalid("a port is a number from 1 to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_ranges_and_protocols_are_read() {
        let text = |word: &str| {
            parse(word).map(|ports| ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(text("80").unwrap(), "80/tcp");
        assert_eq!(text("53/UDP").unwrap(), "53/udp");
        assert_eq!(text("7000-7002").unwrap(), "7000/tcp 7001/tcp 7002/tcp");
        for bad in ["", "0", "65536", "9-8", "80/sctp", "80:80", "-1", "1-", "a"] {
            assert!(text(bad).is_err(), "{bad}");
        }
    }
}
