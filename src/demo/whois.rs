//! WHOIS servers on loopback, answering as IANA, JPRS, a gTLD registry and a registrar do. All names and people are invented.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Time for a question to arrive.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers one question.
type Answerer = fn(&str) -> String;

const SERVERS: [(&str, Answerer); 4] = [
    ("whois.iana.org", iana),
    ("whois.jprs.jp", jprs),
    ("whois.registry.example", registry),
    ("whois.registrar.example", registrar),
];

/// Starts one server for each name on a free port; they run as long as the runtime.
///
/// # Errors
/// No port can be taken.
pub async fn start() -> std::io::Result<Vec<(&'static str, SocketAddr)>> {
    let mut started = Vec::new();
    for (name, answer) in SERVERS {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        started.push((name, listener.local_addr()?));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tokio::time::timeout(QUESTION_TIMEOUT, serve(stream, answer)));
            }
        });
    }
    Ok(started)
}

async fn serve(mut stream: TcpStream, answer: Answerer) -> std::io::Result<()> {
    let mut question = String::new();
    BufReader::new(&mut stream).read_line(&mut question).await?;
    stream.write_all(answer(question.trim()).replace('\n', "\r\n").as_bytes()).await?;
    stream.shutdown().await
}

fn iana(question: &str) -> String {
    match question {
        "jp" => "refer:        whois.jprs.jp\n\ndomain:       JP\nwhois:        whois.jprs.jp\n".to_owned(),
        "com" | "net" => format!(
            "refer:        whois.registry.example\n\ndomain:       {}\ncontact:      administrative\n\
             e-mail:       tld-operator@registry.example\nwhois:        whois.registry.example\n",
            question.to_uppercase()
        ),
        // As IANA answers for a top level whose registry runs no WHOIS.
        "dev" => "% IANA WHOIS server\n\ndomain:       DEV\n\nstatus:       ACTIVE\nsource:       IANA\n".to_owned(),
        other => format!("% This query returned 0 objects for {other}.\n"),
    }
}

const BANNER: &str = "[ JPRS database provides information on network administration. Its use is    ]\n\
    [ restricted to network administration purposes. For further information,     ]\n\
    [ use 'whois -h whois.jprs.jp help'. To suppress Japanese output, add'/e'     ]\n\
    [ at the end of command, e.g. 'whois -h whois.jprs.jp xxx/e'.                 ]\n\n";

fn jprs(question: &str) -> String {
    let body = match question {
        "sample-shop.co.jp/e" => "Domain Information:\n\
            a. [Domain Name]                SAMPLE-SHOP.CO.JP\n\
            g. [Organization]               Sample Shop Co.,Ltd.\n\
            l. [Organization Type]          Corporation\n\
            m. [Administrative Contact]     SS1234JP\n\
            n. [Technical Contact]          SS5678JP\n\
            p. [Name Server]                ns.sample-shop.co.jp\n\
            [State]                         Connected (2027/03/31)\n\
            [Last Update]                   2026/04/01 01:05:11 (JST)\n\n"
            .to_owned(),
        "CONTACT SS1234JP/e" => contact("SS1234JP", "Sample, Hanako", "hanako@sample-shop.co.jp"),
        "CONTACT SS5678JP/e" => contact("SS5678JP", "Sample, Taro", "network@sample-shop.co.jp"),
        "sample-shop.jp/e" => "Domain Information:\n\
            [Domain Name]                   SAMPLE-SHOP.JP\n\n\
            [Registrant]                    Sample Shop Co.,Ltd.\n\n\
            [Status]                        Active\n\
            [Last Updated]                  2026/06/01 01:05:04 (JST)\n\n\
            Contact Information:\n\
            [Name]                          Sample Shop Co.,Ltd.\n\
            [Email]                         public@sample-shop.jp\n\
            [Web Page]                       \n\
            [Phone]                         03-0000-0000\n\n"
            .to_owned(),
        _ => "No match!!\n\n".to_owned(),
    };
    format!("{BANNER}{body}")
}

fn contact(handle: &str, name: &str, mail: &str) -> String {
    format!(
        "Contact Information:\n\
         a. [JPNIC Handle]               {handle}\n\
         c. [Last, First]                {name}\n\
         d. [E-Mail]                     {mail}\n\
         g. [Organization]               Sample Shop Co.,Ltd.\n\
         o. [TEL]                        03-0000-0000\n\
         y. [Reply Mail]                 notices@sample-shop.co.jp\n\
         [Last Update]                   2026/04/01 01:05:11 (JST)\n\n"
    )
}

/// Names a gTLD's registry knows; the demo's RDAP bootstrap has `com` alone, so `net` is asked here.
const GTLD_NAMES: [&str; 2] = ["sample-shop.com", "sample-shop.net"];

fn registry(question: &str) -> String {
    let name = question.to_uppercase();
    if !GTLD_NAMES.contains(&question) {
        return format!("No match for \"{name}\".\n>>> Last update of whois database: 2026-11-20T00:00:00Z <<<\n");
    }
    format!(
        "   Domain Name: {name}\n   Registrar WHOIS Server: whois.registrar.example\n   Registrar: Registrar Example, Inc.\n\
         \x20  Registrar Abuse Contact Email: abuse@registrar.example\n>>> Last update of whois database: 2026-11-20T00:00:00Z <<<\n"
    )
}

fn registrar(question: &str) -> String {
    if !GTLD_NAMES.contains(&question) {
        return "No match.\n".to_owned();
    }
    format!(
        "Domain Name: {}\nRegistrar WHOIS Server: whois.registrar.example\nRegistrar Abuse Contact Email: abuse@registrar.example\n\
         Registrant Email: registrant@{question}\nAdmin Email: admin-contact@{question}\nTech Email: tech@{question}\n\
         >>> Last update of WHOIS database: 2026-11-20T00:00:00Z <<<\n",
        question.to_uppercase()
    )
}
