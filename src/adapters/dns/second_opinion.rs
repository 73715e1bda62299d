//! A second DNSSEC validator, the `domain` crate's, for answers that hickory calls bogus.
//!
//! hickory 0.26 has false verdicts of that kind (a wildcard with one label under NSEC, for one). This validator asks the same
//! servers again with checking disabled, so that a validating server hides nothing, and judges for itself.

use std::net::SocketAddr;
use std::time::Duration;

use domain::base::{MessageBuilder, Name, Rtype};
use domain::dnssec::validator::anchor::TrustAnchors;
use domain::dnssec::validator::context::{ValidationContext, ValidationState};
use domain::net::client::dgram_stream;
use domain::net::client::protocol::{TcpConnect, UdpConnect};
use domain::net::client::request::{ComposeRequest as _, RequestMessage, SendRequest as _};
use hickory_resolver::proto::op::Message;

use crate::dcv::evidence::Dnssec;

type Connection = dgram_stream::Connection<UdpConnect, RequestMessage<Vec<u8>>>;

/// The validator, with one connection for each server.
pub(super) struct SecondOpinion {
    servers: Vec<(Connection, ValidationContext<Connection>)>,
}

/// What it found.
pub(super) struct Opinion {
    /// Secure or insecure; nothing else overrules the first verdict.
    pub(super) verdict: Dnssec,
    /// The answer it judged.
    pub(super) message: Message,
}

impl SecondOpinion {
    /// Prepares a validator that trusts `anchors`, a zone file of DS and DNSKEY records, and asks `servers` in turn, each for
    /// half of `patience` at most.
    ///
    /// Must be called within a runtime: each connection has a task of its own, which ends with it.
    pub(super) fn new(anchors: &str, servers: &[SocketAddr], patience: Duration) -> Result<Self, String> {
        let mut config = dgram_stream::Config::new();
        // A server that does not answer must leave time for the next.
        config.dgram_mut().set_read_timeout(patience / 4);
        config.dgram_mut().set_max_retries(1);
        let connect = |server: &SocketAddr| {
            let (connection, transport) =
                Connection::with_config(UdpConnect::new(*server), TcpConnect::new(*server), config.clone());
            tokio::spawn(transport.run());
            let trusted = TrustAnchors::from_u8(anchors.as_bytes()).map_err(|error| error.to_string())?;
            Ok((connection.clone(), ValidationContext::new(trusted, connection)))
        };
        Ok(Self { servers: servers.iter().map(connect).collect::<Result<_, String>>()? })
    }

    /// Asks and validates; `None` where the answer is bogus here too or none came.
    pub(super) async fn ask(&self, name: &str, kind: u16) -> Option<Opinion> {
        for (connection, context) in &self.servers {
            let mut question = MessageBuilder::new_vec();
            question.header_mut().set_rd(true);
            question.header_mut().set_cd(true);
            let mut question = question.question();
            question.push((Name::<Vec<u8>>::vec_from_str(name).ok()?, Rtype::from_int(kind))).ok()?;
            let mut request = RequestMessage::new(question).ok()?;
            request.set_dnssec_ok(true);
            let Ok(mut answer) = connection.send_request(request).get_response().await else { continue };
            let Ok((state, _)) = context.validate_msg::<_, Vec<u8>>(&mut answer).await else { continue };
            let verdict = match state {
                ValidationState::Secure => Dnssec::Secure,
                ValidationState::Insecure => Dnssec::Insecure,
                ValidationState::Bogus | ValidationState::Indeterminate => return None,
            };
            return Some(Opinion { verdict, message: Message::from_vec(answer.as_slice()).ok()? });
        }
        None
    }
}
