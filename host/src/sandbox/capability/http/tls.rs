//! TLS: rustls, with the machine's own certificate authorities.
//!
//! The machine's, and not a list that is compiled in: operators have services with authorities of their own, revoke trust where
//! they always do it (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others), and need no new host for it.

use std::sync::{Arc, LazyLock};

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;
use wasmtime_wasi_http::Error;

/// Read once, at the first request that needs it.
static CONNECTOR: LazyLock<Option<TlsConnector>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, unusable) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        tracing::error!(
            unusable,
            errors = ?found.errors,
            "no certificate authorities were found on this machine: no HTTPS request will succeed. Install ca-certificates, or name \
             them with SSL_CERT_FILE"
        );
    }
    connector(roots)
});

fn connector(roots: RootCertStore) -> Option<TlsConnector> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .inspect_err(|error| tracing::error!("TLS cannot be used: {error}"))
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Some(TlsConnector::from(Arc::new(config)))
}

/// Encrypts a connection, once the server has shown that it is the host.
pub(super) async fn encrypt(host: &Host, stream: TcpStream) -> Result<TlsStream<TcpStream>, Error> {
    let name = match host {
        Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| Error::HttpRequestUriInvalid)?,
        Host::Ipv4(address) => ServerName::from(*address),
        Host::Ipv6(address) => ServerName::from(*address),
    };
    let connector = CONNECTOR.as_ref().ok_or(Error::TlsProtocolError)?;
    connector.connect(name, stream).await.map_err(|error| {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        match cause {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                Error::TlsCertificateError
            }
            _ => Error::TlsProtocolError,
        }
    })
}
