//! Docker's API version in front of a path.

use axum::extract::Request;

use crate::control::error::ControlError;

/// The Docker Engine API this is modelled on.
pub const API_VERSION: &str = "1.41";

/// The oldest version that is answered.
pub const MIN_API_VERSION: &str = "1.12";

/// The newest and the oldest minor version that is answered.
const MINORS: std::ops::RangeInclusive<u32> = 12..=41;

/// Takes a leading `/v1.41` off the path.
///
/// # Errors
/// With Docker's sentence where the client is too new or too old.
pub(super) fn strip(mut request: Request) -> Result<Request, ControlError> {
    let uri = request.uri();
    let rest = uri.path().strip_prefix("/v").and_then(|r| r.split_once('/'));
    let is_version = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let Some((version, rest)) = rest.filter(|(version, _)| is_version(version)) else { return Ok(request) };
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    // What is no number is too large for one, or has a second point: newer than all there are.
    let number = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
    let (major, minor) = (number(major), number(minor));
    if major == 0 || (major == 1 && minor < *MINORS.start()) {
        return Err(ControlError::Invalid(format!(
            "client version {version} is too old. Minimum supported API version is {MIN_API_VERSION}, please \
             upgrade your client to a newer version"
        )));
    }
    if major > 1 || minor > *MINORS.end() {
        return Err(ControlError::Invalid(format!(
            "client version {version} is too new. Maximum supported API version is {API_VERSION}"
        )));
    }
    let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    // What was a path remains one, but for `//` at its beginning, which would be a host.
    if let Ok(new) = format!("/{}{query}", rest.trim_start_matches('/')).parse() {
        *request.uri_mut() = new;
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(path: &str) -> Result<String, String> {
        let request = Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
        strip(request).map(|r| r.uri().to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn every_version_from_the_oldest_to_the_newest_is_answered() {
        assert_eq!(stripped("/v1.12/info").as_deref(), Ok("/info"));
        assert_eq!(stripped("/v1.41/networks?filters=%7B%7D").as_deref(), Ok("/networks?filters=%7B%7D"));
        assert_eq!(stripped("/v1.41/").as_deref(), Ok("/"));
        assert_eq!(stripped("/v1.41//info").as_deref(), Ok("/info"));
    }

    #[test]
    fn other_versions_are_refused_in_dockers_words() {
        for newer in ["1.42", "1.99999999999", "2.0", "2", "1.41.1"] {
            let sentence =
                format!("client version {newer} is too new. Maximum supported API version is 1.41");
            assert_eq!(stripped(&format!("/v{newer}/info")), Err(sentence));
        }
        for older in ["1.11", "0.9", "1"] {
            let refused = stripped(&format!("/v{older}/info")).unwrap_err();
            assert!(refused.starts_with(&format!("client version {older} is too old.")), "{refused}");
        }
    }

    #[test]
    fn what_is_no_version_is_part_of_the_path() {
        for path in ["/info", "/volumes/x", "/v1.41", "/v/x", "/vx.1/y", "/"] {
            assert_eq!(stripped(path).as_deref(), Ok(path));
        }
    }
}
