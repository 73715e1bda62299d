//! An SMTP server on loopback that keeps what it is sent, and can be told how to answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mail_parser::MessageParser;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Time for each line to arrive.
const LINE_TIMEOUT: Duration = Duration::from_secs(60);

/// How often it is looked whether a message that is held may be answered.
const HOLD_LOOK: Duration = Duration::from_millis(10);

/// Largest message kept, in bytes.
const MESSAGE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// A message as it arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// The envelope's sender.
    pub mail_from: String,
    /// The envelope's recipients.
    pub rcpt_to: Vec<String>,
    /// The message as sent, dots unstuffed.
    pub raw: Vec<u8>,
    /// The commands MAIL and RCPT as they came.
    pub commands: Vec<String>,
    /// When all of it was there.
    pub at: Instant,
}

impl Arrived {
    /// The subject, decoded.
    #[must_use]
    pub fn subject(&self) -> String {
        MessageParser::new().parse(&self.raw).and_then(|message| message.subject().map(str::to_owned)).unwrap_or_default()
    }

    /// The plain text, decoded.
    #[must_use]
    pub fn text(&self) -> String {
        MessageParser::new()
            .parse(&self.raw)
            .and_then(|message| message.body_text(0).map(std::borrow::Cow::into_owned))
            .unwrap_or_default()
    }

    /// Where replies go; empty where it does not say.
    #[must_use]
    pub fn reply_to(&self) -> String {
        let message = MessageParser::new().parse(&self.raw);
        let address = message.as_ref().and_then(|message| message.reply_to()?.first()?.address());
        address.map(str::to_owned).unwrap_or_default()
    }

    /// The link that stands alone on its line.
    #[must_use]
    pub fn link(&self) -> Option<String> {
        self.text().lines().find(|line| line.starts_with("http") && line.contains("/approve/")).map(|line| line.trim().to_owned())
    }
}

/// Where in the dialogue of a mail the server goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// In the place of an answer to RCPT.
    Rcpt,
    /// In the place of an answer to DATA.
    Data,
    /// In the place of an answer to the body.
    Body,
}

/// How the server answers.
#[derive(Debug, Clone, Default)]
pub enum Reply {
    /// It takes the message.
    #[default]
    Take,
    /// It answers this line to MAIL and takes nothing.
    RefuseMail(String),
    /// It answers this line to RCPT and takes nothing.
    RefuseRcpt(String),
    /// It answers this line after the body and takes nothing.
    RefuseData(String),
    /// It takes the message and answers only after so long.
    TakeAfter(Duration),
    /// It takes the message and closes without an answer.
    TakeAndDrop,
    /// It takes the message and answers only once it is told to answer otherwise.
    TakeAndHold,
    /// It answers the next command with 421 and closes, on every connection.
    Close,
    /// It answers this step with 421, takes nothing and closes, on every connection.
    CloseAt(Step),
    /// It takes so long for each answer.
    Tarpit(Duration),
}

/// The inbox, running as long as the runtime.
#[derive(Clone)]
pub struct Inbox {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    arrived: Vec<Arrived>,
    refused: Vec<Arrived>,
    spoken_to_after_the_end: usize,
    reply: Reply,
    connections: usize,
    no_utf8: bool,
}

impl Inbox {
    /// Listens on a free port.
    ///
    /// # Errors
    /// No port can be taken.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let inbox = Self { address: listener.local_addr()?, shared: Arc::default() };
        let serving = inbox.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.lock().connections += 1;
                let inbox = serving.clone();
                tokio::spawn(async move { inbox.serve(stream).await });
            }
        });
        Ok(inbox)
    }

    /// What has arrived so far.
    #[must_use]
    pub fn arrived(&self) -> Vec<Arrived> {
        self.lock().arrived.clone()
    }

    /// What has arrived so far for one recipient.
    #[must_use]
    pub fn arrived_for(&self, recipient: &str) -> Vec<Arrived> {
        self.lock().arrived.iter().filter(|one| one.rcpt_to.iter().any(|to| to == recipient)).cloned().collect()
    }

    /// What was sent as a whole so far and not taken.
    #[must_use]
    pub fn refused(&self) -> Vec<Arrived> {
        self.lock().refused.clone()
    }

    /// Connections so far on which the other side went on talking after a 421.
    #[must_use]
    pub fn spoken_to_after_the_end(&self) -> usize {
        self.lock().spoken_to_after_the_end
    }

    /// Connections made so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.lock().connections
    }

    /// Tells the server how to answer from now on.
    pub fn answer_with(&self, reply: Reply) {
        self.lock().reply = reply;
    }

    /// Offers no SMTPUTF8 from now on.
    pub fn offer_no_utf8(&self) {
        self.lock().no_utf8 = true;
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holds(&self) -> bool {
        matches!(self.lock().reply, Reply::TakeAndHold)
    }

    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read);
        write.write_all(b"220 inbox.example ESMTP\r\n").await.ok()?;
        let (mut from, mut to, mut commands) = (String::new(), Vec::new(), Vec::new());
        loop {
            let line = line(&mut lines).await?;
            let verb = line.get(..4).unwrap_or(&line).to_ascii_uppercase();
            let reply = self.lock().reply.clone();
            let goes_down = match &reply {
                Reply::Close => verb != "EHLO",
                Reply::CloseAt(Step::Rcpt) => verb == "RCPT",
                Reply::CloseAt(Step::Data) => verb == "DATA",
                _ => false,
            };
            if goes_down {
                return self.go_down(&mut lines, &mut write).await;
            }
            if let Reply::Tarpit(wait) = reply {
                tokio::time::sleep(wait).await;
            }
            let answer = match verb.as_str() {
                "EHLO" => {
                    let utf8 = if self.lock().no_utf8 { "" } else { "250-SMTPUTF8\r\n" };
                    format!("250-inbox.example\r\n{utf8}250-8BITMIME\r\n250 DSN")
                }
                "HELO" | "NOOP" => "250 OK".to_owned(),
                "RSET" => {
                    to.clear();
                    "250 OK".to_owned()
                }
                "MAIL" if matches!(reply, Reply::RefuseMail(_)) => match reply {
                    Reply::RefuseMail(words) => words,
                    _ => "250 OK".to_owned(),
                },
                "MAIL" => {
                    from = path(&line);
                    to.clear();
                    commands = vec![line];
                    "250 OK".to_owned()
                }
                "RCPT" => {
                    if let Reply::RefuseRcpt(words) = reply {
                        words
                    } else {
                        to.push(path(&line));
                        commands.push(line);
                        "250 OK".to_owned()
                    }
                }
                "DATA" => {
                    write.write_all(b"354 go ahead\r\n").await.ok()?;
                    let raw = body(&mut lines).await?;
                    let (mail_from, rcpt_to, commands) = (from.clone(), to.clone(), commands.clone());
                    let message = Arrived { mail_from, rcpt_to, raw, commands, at: Instant::now() };
                    match reply {
                        Reply::RefuseData(words) => {
                            self.lock().refused.push(message);
                            words
                        }
                        Reply::CloseAt(_) => {
                            self.lock().refused.push(message);
                            return self.go_down(&mut lines, &mut write).await;
                        }
                        Reply::TakeAndDrop => {
                            self.lock().arrived.push(message);
                            return None;
                        }
                        other => {
                            self.lock().arrived.push(message);
                            if let Reply::TakeAfter(wait) = other {
                                tokio::time::sleep(wait).await;
                            }
                            while self.holds() {
                                tokio::time::sleep(HOLD_LOOK).await;
                            }
                            "250 2.0.0 taken".to_owned()
                        }
                    }
                }
                "QUIT" => {
                    write.write_all(b"221 bye\r\n").await.ok()?;
                    return None;
                }
                _ => "502 5.5.1 not known".to_owned(),
            };
            write.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
        }
    }

    /// Says that it goes down, and listens whether the other side believes it.
    async fn go_down(&self, lines: &mut BufReader<OwnedReadHalf>, write: &mut OwnedWriteHalf) -> Option<()> {
        write.write_all(b"421 4.3.2 going down\r\n").await.ok()?;
        write.shutdown().await.ok()?;
        line(lines).await?;
        self.lock().spoken_to_after_the_end += 1;
        None
    }
}

async fn line<R: AsyncRead + Unpin>(lines: &mut BufReader<R>) -> Option<String> {
    let mut line = String::new();
    let read = tokio::time::timeout(LINE_TIMEOUT, lines.read_line(&mut line)).await.ok()?.ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

async fn body<R: AsyncRead + Unpin>(lines: &mut BufReader<R>) -> Option<Vec<u8>> {
    let mut raw = Vec::new();
    loop {
        let mut line = Vec::new();
        let read = tokio::time::timeout(LINE_TIMEOUT, lines.read_until(b'\n', &mut line)).await.ok()?.ok()?;
        if read == 0 || raw.len() > MESSAGE_MAX_BYTES {
            return None;
        }
        if line == b".\r\n" {
            return Some(raw);
        }
        raw.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

/// The address between the angle brackets.
fn path(line: &str) -> String {
    line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path.to_owned()).unwrap_or_default()
}
