//! A DNS server by script: what it says to questions about one name, over UDP and over TCP. Others it passes on.

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CAA, NS, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::process::{PATIENCE, address};

/// Records in what is [`Says::Huge`]: about 60 KiB, of the 64 KiB that a message may have.
pub const HUGE: usize = 225;

/// What the server says to a question.
#[derive(Clone, Copy, Debug)]
pub enum Says {
    /// This code and nothing more.
    Code(ResponseCode),
    /// An answer of which the end is missing.
    CutShort,
    /// [`HUGE`] TXT records, each as [`huge`] says.
    Huge,
    /// Servers of another zone that might know, as if that denied anything; beside them a CAA record, or none.
    Referral { with_record: bool },
    /// That the answer is too long for UDP, and none of it.
    Truncated,
    /// An answer under another id.
    WrongId,
    /// An answer to another question.
    WrongQuestion,
}

/// What the server does with a question over TCP.
#[derive(Clone, Copy, Debug)]
pub enum OverTcp {
    /// It does not listen.
    Refuses,
    /// It cuts the connection.
    Resets,
    /// It answers.
    Says(Says),
    /// It says nothing.
    Silent,
}

impl Says {
    fn about(self, question: &Message) -> Vec<u8> {
        let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
        reply.add_query(question.queries[0].clone());
        let name = question.queries[0].name().clone();
        let record = |data: RData| Record::from_rdata(name.clone(), 60, data);
        let forged = || record(RData::TXT(TXT::new(vec!["forged@elsewhere.example".to_owned()])));
        match self {
            Self::Code(code) => reply.metadata.response_code = code,
            Self::CutShort => {
                reply.add_answer(forged());
                let mut whole = reply.to_vec().unwrap();
                whole.truncate(whole.len() - 5);
                return whole;
            }
            Self::Huge => {
                reply.add_answers((0..HUGE).map(|number| record(RData::TXT(TXT::new(vec![huge(number)])))));
            }
            Self::Referral { with_record } => {
                let ns = RData::NS(NS(Name::from_ascii("ns.plain.test.").unwrap()));
                reply.add_authority(Record::from_rdata(Name::from_ascii("plain.test.").unwrap(), 60, ns));
                if with_record {
                    reply.add_additional(record(RData::CAA(CAA::new_issue(false, None, Vec::new()))));
                }
            }
            Self::Truncated => reply.metadata.truncation = true,
            Self::WrongId => {
                reply.metadata.id = !question.metadata.id;
                reply.add_answer(forged());
            }
            Self::WrongQuestion => {
                reply.queries[0].name = Name::from_ascii("another.example.").unwrap();
                reply.add_answer(forged());
            }
        }
        reply.to_vec().unwrap()
    }
}

/// What stands in one of the records of [`Says::Huge`]: as long as a string may be.
pub fn huge(number: usize) -> String {
    format!("{number:03}{}", "x".repeat(252))
}

/// Starts it on a free port: to questions about `name`, of whatever type, it says `udp`, and over TCP it does `tcp`. Other
/// questions go to `upstream` over UDP, or where there is none stay unanswered.
pub async fn scripted(name: &str, udp: Says, tcp: OverTcp, upstream: Option<SocketAddr>) -> SocketAddr {
    let (at, name) = (address(), format!("{name}."));
    let front = Arc::new(UdpSocket::bind(at).await.unwrap());
    if !matches!(tcp, OverTcp::Refuses) {
        let listener = TcpListener::bind(at).await.unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, tcp));
            }
        });
    }
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((size, peer)) = front.recv_from(&mut buffer).await {
            let question = Message::from_vec(&buffer[..size]).unwrap();
            if question.queries[0].name().to_ascii().eq_ignore_ascii_case(&name) {
                let reply = udp.about(&question);
                front.send_to(&reply, peer).await.unwrap();
            } else if let Some(upstream) = upstream {
                tokio::spawn(pass_on(Arc::clone(&front), buffer[..size].to_vec(), peer, upstream));
            }
        }
    });
    at
}

async fn pass_on(front: Arc<UdpSocket>, question: Vec<u8>, peer: SocketAddr, upstream: SocketAddr) {
    let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    back.send_to(&question, upstream).await.unwrap();
    let mut reply = vec![0; 65_535];
    let size = back.recv(&mut reply).await.unwrap();
    front.send_to(&reply[..size], peer).await.unwrap();
}

/// Reads questions over one connection, each behind its length. Spec: RFC 1035 §4.2.2.
async fn converse(mut stream: TcpStream, tcp: OverTcp) -> std::io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut question = vec![0; usize::from(length)];
        stream.read_exact(&mut question).await?;
        match tcp {
            OverTcp::Says(says) => {
                let reply = says.about(&Message::from_vec(&question).unwrap());
                stream.write_u16(u16::try_from(reply.len()).unwrap()).await?;
                stream.write_all(&reply).await?;
            }
            // What is closed without lingering is reset.
            OverTcp::Resets => return stream.set_zero_linger(),
            OverTcp::Refuses | OverTcp::Silent => tokio::time::sleep(PATIENCE).await,
        }
    }
}
