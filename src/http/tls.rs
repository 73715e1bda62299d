//! TLS, where no proxy in front has it. On the status page's own address a client may present a certificate; whether it lets anybody in is decided where people sign in, so
//! that who is refused is told why.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderValue;
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::Response;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connections::{Answering, Connections, Shares, prepare};

/// Time for one handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Handshakes under way at once; more wait in the kernel.
const HANDSHAKES: usize = 256;

/// Of one address: so that no single stranger takes all places.
const HANDSHAKES_OF_ONE: usize = 16;

/// The chain that a client presented: it has the first one's key, and nothing else is known of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientChain(pub(crate) Arc<Vec<Vec<u8>>>);

/// Whom a connection is with.
#[derive(Clone, Debug)]
pub(crate) struct TlsPeer {
    address: SocketAddr,
    chain: ClientChain,
}

/// A listener whose connections have shaken hands.
pub(crate) struct TlsListener {
    connections: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    /// Begins to accept connections.
    pub(crate) fn new(
        listener: TcpListener,
        config: Arc<ArcSwap<ServerConfig>>,
        current: impl Fn() -> Arc<Answering> + Send + 'static,
    ) -> Self {
        let (done, connections) = mpsc::channel(1);
        let places = Arc::new(Semaphore::new(HANDSHAKES));
        let shares = Shares::new(HANDSHAKES_OF_ONE);
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = done.closed() => return,
                    (place, accepted) = async { (Arc::clone(&places).acquire_owned().await, listener.accept().await) } => (place, accepted),
                };
                let (Ok(place), accepted) = accepted else { return };
                let Ok((stream, peer)) = accepted else {
                    // Out of file descriptors, most likely: some end soon.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let share = if current().speaks_for_many(peer.ip()) { None } else { Some(shares.take(peer.ip())) };
                if matches!(share, Some(None)) {
                    metrics::counter!("dcvd_connections_refused_total").increment(1);
                    tracing::debug!(%peer, "too many handshakes at once");
                    continue;
                }
                // With the certificate of today.
                let (acceptor, done) = (TlsAcceptor::from(config.load_full()), done.clone());
                // One that is slow must not keep the others waiting.
                tokio::spawn(async move {
                    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => {
                            let _ = done.send((stream, peer)).await;
                        }
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "no handshake"),
                        Err(_) => tracing::debug!(%peer, "no handshake in time"),
                    }
                    drop((place, share));
                });
            }
        });
        Self { connections }
    }
}

impl Connections for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Peer = TlsPeer;

    fn address(peer: &TlsPeer) -> IpAddr {
        peer.address.ip()
    }

    async fn next(&mut self) -> io::Result<(Self::Io, TlsPeer, bool)> {
        // Where the task ended with its runtime there is nothing to come.
        let Some((stream, address)) = self.connections.recv().await else { return std::future::pending().await };
        let (tcp, tls) = stream.get_ref();
        prepare(tcp);
        let http2 = tls.alpn_protocol() == Some(b"h2");
        let chain = tls.peer_certificates().unwrap_or_default().iter().map(|one| one.as_ref().to_vec()).collect();
        let peer = TlsPeer { address, chain: ClientChain(Arc::new(chain)) };
        Ok((stream, peer, http2))
    }
}

/// Says to the handlers whom they speak with, as they know it from a listener without TLS.
pub(crate) async fn introduce(ConnectInfo(peer): ConnectInfo<TlsPeer>, mut request: Request, next: Next) -> Response {
    // HTTP/2 names the host in its target alone.
    if !request.headers().contains_key(HOST)
        && let Some(host) = request.uri().authority().and_then(|authority| HeaderValue::try_from(authority.as_str()).ok())
    {
        request.headers_mut().insert(HOST, host);
    }
    request.extensions_mut().insert(ConnectInfo(peer.address));
    request.extensions_mut().insert(peer.chain);
    next.run(request).await
}

/// Takes any certificate whose key the client has, and none.
#[derive(Debug)]
struct Any(Arc<CryptoProvider>);

impl ClientCertVerifier for Any {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// TLS with a certificate and its key, PEM; where `asks`, clients are asked for theirs; where `http2`, they may speak that.
///
/// # Errors
/// The files cannot be read or do not belong together.
pub(crate) fn server_config(
    certificate: &std::path::Path,
    key: &std::path::Path,
    asks: bool,
    http2: bool,
) -> anyhow::Result<Arc<ServerConfig>> {
    use anyhow::Context as _;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(|| certificate.display().to_string())?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(|| key.display().to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = if asks { builder.with_client_cert_verifier(Arc::new(Any(provider))) } else { builder.with_no_client_auth() };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(Arc::new(config))
}
