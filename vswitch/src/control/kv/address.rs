//! Where the shared store is: `etcd://HOST:PORT[,HOST:PORT...]`, or `etcds://` behind TLS.

use std::str::FromStr;

/// Port of etcd's clients unless told otherwise (IANA's registry).
const PORT: u16 = 2379;

/// Why an address is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No scheme, or one that nothing here speaks.
    #[error("a store is given as etcd://HOST:PORT[,HOST:PORT...], or etcds:// behind TLS, not as {0:?}")]
    Scheme(String),
    /// One of its hosts.
    #[error("{0:?} is no HOST:PORT of a store")]
    Host(String),
    /// Somebody's name, and maybe password.
    #[error("a store's address has no user: give --store-user and --store-password-file")]
    User,
}

/// The members of a cluster, in the order in which they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreAddress {
    /// Host and port of each: never empty.
    pub members: Vec<String>,
    /// They are spoken to through TLS.
    pub tls: bool,
}

impl FromStr for StoreAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        // It may be a password's: not to be repeated.
        if text.contains('@') {
            return Err(AddressError::User);
        }
        let unknown = || AddressError::Scheme(text.into());
        let (scheme, rest) = text.split_once("://").ok_or_else(unknown)?;
        let tls = match scheme {
            "etcd" | "http" => false,
            "etcds" | "https" => true,
            _ => return Err(unknown()),
        };
        let members: Result<Vec<String>, _> = rest.trim_end_matches('/').split(',').map(member).collect();
        Ok(Self { members: members?, tls })
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`, with a port in any case.
fn member(text: &str) -> Result<String, AddressError> {
    let refused = || AddressError::Host(text.into());
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| refused())?),
        _ => (text, PORT),
    };
    let valid = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
    };
    if valid && port > 0 { Ok(format!("{host}:{port}")) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_in_their_order() {
        let read = |text: &str| text.parse::<StoreAddress>().map(|a| a.members.join(" "));
        assert_eq!(read("etcd://a:2379,b:99"), Ok("a:2379 b:99".into()));
        assert_eq!(
            read("etcd://192.0.2.1,[2001:db8::1],[::1]:7/"),
            Ok("192.0.2.1:2379 [2001:db8::1]:2379 [::1]:7".into())
        );
        assert_eq!(read("https://a"), Ok("a:2379".into()));
        let tls = |text: &str| text.parse::<StoreAddress>().map(|a| a.tls);
        assert_eq!([tls("https://a"), tls("etcds://a"), tls("etcd://a")], [Ok(true), Ok(true), Ok(false)]);
        assert_eq!(read("consul://a"), Err(AddressError::Scheme("consul://a".into())));
        assert_eq!(read("a:2379"), Err(AddressError::Scheme("a:2379".into())));
        for bad in ["", "a:x", "a:0", "a:70000", ":1", "a b", "2001:db8::1", "[x]:1", "a/b"] {
            assert_eq!(read(&format!("etcd://{bad}")), Err(AddressError::Host(bad.into())), "{bad}");
        }
        let said = read("etcd://root:secret@a:1").unwrap_err().to_string();
        assert!(!said.contains("secret"), "{said}");
    }
}
