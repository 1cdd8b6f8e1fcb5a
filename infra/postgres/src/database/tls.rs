//! TLS to the server, with its certificate verified.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Socket;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Makes TLS connections. The root certificates are read only when a server speaks TLS: a cold
/// start beside a plain server does not pay for them.
#[derive(Clone, Debug)]
pub(super) struct Tls(Arc<Lazy>);

#[derive(Debug)]
struct Lazy {
    /// More root certificates, as PEM.
    ca: Option<String>,
    config: OnceLock<Result<ClientConfig, String>>,
}

/// One connection to come.
pub(super) struct Handshake {
    tls: Tls,
    host: String,
}

type Connect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// A connection with TLS.
pub(super) type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

impl Tls {
    /// TLS that trusts the system's root certificates and those of `ca`.
    pub(super) fn new(ca: Option<String>) -> Self {
        Self(Arc::new(Lazy { ca, config: OnceLock::new() }))
    }

    fn connect(&self, host: &str) -> Result<Connect, String> {
        let config = self.0.config.get_or_init(|| client_config(self.0.ca.as_deref())).clone()?;
        let made: Result<Connect, _> =
            MakeTlsConnect::<Socket>::make_tls_connect(&mut MakeRustlsConnect::new(config), host);
        made.map_err(|error| error.to_string())
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Stream;
    type TlsConnect = Handshake;
    type Error = std::convert::Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, Self::Error> {
        Ok(Handshake { tls: self.clone(), host: host.to_owned() })
    }
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Stream;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = futures::future::BoxFuture<'static, Result<Stream, Self::Error>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let connect = self.tls.connect(&self.host)?;
            Ok(connect.connect(stream).await?)
        })
    }
}

fn client_config(ca: Option<&str>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (_added, _ignored) = roots.add_parsable_certificates(native.certs);
    if let Some(ca) = ca {
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| format!("a root certificate: {error}"))?;
        }
    }
    // Named, because a process that holds two providers has no default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The certificates of a PEM text, at least one.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.is_empty() => Err("holds no certificate in PEM".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}
