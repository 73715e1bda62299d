//! A relay that speaks TLS, before the inbox that takes the mail: it shows the certificate that it is told to, and keeps what it
//! hears in clear.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::certificates::Authority;

pub struct TlsRelay {
    /// Where TLS begins by STARTTLS.
    pub starttls: SocketAddr,
    /// Where TLS begins with the first byte.
    pub implicit: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    inbox: SocketAddr,
    acceptor: Mutex<Option<TlsAcceptor>>,
    in_clear: Mutex<Vec<String>>,
    behind_starttls: Mutex<String>,
}

impl TlsRelay {
    /// Listens before an inbox. It must be told a certificate before anybody comes.
    pub async fn start(inbox: SocketAddr) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shared =
            Arc::new(Shared { inbox, acceptor: Mutex::default(), in_clear: Mutex::default(), behind_starttls: Mutex::default() });
        let (asked, at_once) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let relay =
            Self { starttls: asked.local_addr().unwrap(), implicit: at_once.local_addr().unwrap(), shared: Arc::clone(&shared) };
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = asked.accept().await {
                tokio::spawn(Arc::clone(&serving).converse(stream));
            }
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = at_once.accept().await {
                tokio::spawn(Arc::clone(&shared).hand_on(stream, false));
            }
        });
        relay
    }

    /// From now on it shows a certificate by `authority` for `host`, an address or a name, that holds until a year begins.
    pub fn shows(&self, authority: &Authority, host: &str, until: i32) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, authority).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap();
        *self.shared.acceptor.lock().unwrap() = Some(TlsAcceptor::from(Arc::new(config)));
    }

    /// From now on, somebody in between puts these lines behind the answer to STARTTLS.
    pub fn is_forged_with(&self, lines: &str) {
        lines.clone_into(&mut self.shared.behind_starttls.lock().unwrap());
    }

    /// The lines that came in clear.
    pub fn in_clear(&self) -> Vec<String> {
        self.shared.in_clear.lock().unwrap().clone()
    }
}

impl Shared {
    /// Offers STARTTLS and nothing without it.
    async fn converse(self: Arc<Self>, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 relay.example ESMTP\r\n").await?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            self.in_clear.lock().unwrap().push(line.trim_end().to_owned());
            let answer = match line.split_whitespace().next() {
                Some("EHLO") => "250-relay.example\r\n250 STARTTLS\r\n".to_owned(),
                Some("STARTTLS") => format!("220 go ahead\r\n{}", self.behind_starttls.lock().unwrap()),
                _ => "530 5.7.0 STARTTLS first\r\n".to_owned(),
            };
            stream.write_all(answer.as_bytes()).await?;
            if line.starts_with("STARTTLS") {
                return self.hand_on(stream.into_inner(), true).await;
            }
        }
    }

    /// Begins TLS, and hands on to the inbox what comes within it.
    async fn hand_on(self: Arc<Self>, stream: TcpStream, is_greeted: bool) -> std::io::Result<()> {
        let acceptor = self.acceptor.lock().unwrap().clone().expect("a certificate was told");
        let mut stream = acceptor.accept(stream).await?;
        let mut inbox = TcpStream::connect(self.inbox).await?;
        // Whoever asked for TLS was greeted before.
        while is_greeted && inbox.read_u8().await? != b'\n' {}
        copy_bidirectional(&mut stream, &mut inbox).await.map(drop)
    }
}
