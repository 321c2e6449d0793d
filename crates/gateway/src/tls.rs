//! TLS on both sides: certificates from files, cryptography by ring.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::config::{Certificate, Trust};
use crate::error::StartError;

/// The one protocol that is spoken inside.
const ALPN: &[u8] = b"http/1.1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn fault(path: &Path, what: impl std::fmt::Display) -> StartError {
    StartError::Tls { path: path.to_owned(), what: what.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| fault(path, error))?;
    if certificates.is_empty() { Err(fault(path, "contains no certificate")) } else { Ok(certificates) }
}

pub(crate) fn acceptor(of: &Certificate) -> Result<TlsAcceptor, StartError> {
    let key = PrivateKeyDer::from_pem_file(&of.key).map_err(|error| fault(&of.key, error))?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let chain = certificates(&of.certificate)
                .map_err(|error| tokio_rustls::rustls::Error::General(error.to_string()))?;
            builder.with_no_client_auth().with_single_cert(chain, key)
        });
    let mut config = config.map_err(|error| fault(&of.certificate, error))?;
    config.alpn_protocols.push(ALPN.to_vec());
    Ok(TlsAcceptor::from(Arc::new(config)))
}

pub(crate) fn connector(
    trust: &Trust,
    host: &str,
) -> Result<(TlsConnector, ServerName<'static>), StartError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&trust.ca)? {
        roots.add(certificate).map_err(|error| fault(&trust.ca, error))?;
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| fault(&trust.ca, error))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols.push(ALPN.to_vec());
    let name = ServerName::try_from(host.to_owned()).map_err(|error| fault(&trust.ca, error))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}
