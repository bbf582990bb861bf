//! TLS to the members: whom to trust, and who this node is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// Why the files do not do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of them cannot be read, or holds nothing of the kind.
    #[error("{0}: {1}")]
    File(PathBuf, String),
    /// They do not go together.
    #[error("the certificate and the key for the store do not go together: {0}")]
    Unusable(rustls::Error),
    /// The store's address is one behind TLS, and nothing says whom to trust.
    #[error("a store behind TLS needs the authority that signed its certificate")]
    Missing,
    /// The store's address is one without TLS.
    #[error("there is an authority for TLS, and the store's address is not behind it: give etcds://")]
    Unwanted,
}

/// TLS 1.2 or 1.3 with members whose certificates one of the given authorities has signed.
#[derive(Clone)]
pub struct Tls(TlsConnector);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

fn file_error(path: &Path, kind: &str) -> impl Fn(pem::Error) -> TlsError {
    move |error| {
        let why = match error {
            pem::Error::Io(error) => error.to_string(),
            pem::Error::NoItemsFound => format!("there is no {kind} in it, in PEM form"),
            other => format!("it is no {kind} in PEM form: {other}"),
        };
        TlsError::File(path.to_owned(), why)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refused = file_error(path, "certificate");
    let all: Result<Vec<_>, pem::Error> = CertificateDer::pem_file_iter(path).map_err(&refused)?.collect();
    let all = all.map_err(&refused)?;
    if all.is_empty() { Err(refused(pem::Error::NoItemsFound)) } else { Ok(all) }
}

impl Tls {
    /// Reads files in PEM form: authorities to trust and, if the store asks who this node is, its certificate with what
    /// leads to the authority, and the key that goes with it.
    ///
    /// # Errors
    /// [`TlsError`], which names the file.
    pub fn load(authorities: &Path, identity: Option<(&Path, &Path)>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        // Among all that a host trusts there may be one in a form of its own.
        if roots.add_parsable_certificates(certificates(authorities)?).0 == 0 {
            let none = "none of its certificates can be an authority";
            return Err(TlsError::File(authorities.to_owned(), none.into()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(TlsError::Unusable)?.with_root_certificates(roots);
        let mut config = match identity {
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(file_error(key, "private key"))?;
                config.with_client_auth_cert(chain, key).map_err(TlsError::Unusable)?
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands; `member` is its `HOST:PORT`, which its certificate must be for.
    pub(super) async fn connect(
        &self,
        member: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, String> {
        let host = member.rsplit_once(':').map_or(member, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
        self.0.connect(name, stream).await.map_err(|error| format!("TLS fails: {error}"))
    }
}
