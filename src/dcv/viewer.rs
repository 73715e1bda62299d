//! Who opened a link's page: a person, or a program that reads mail before people do. A guess, for statistics alone: it decides nothing.

use std::time::Duration;

/// What is known of a request for the page.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// It asked for the head alone.
    pub head: bool,
    /// The program's name for itself.
    pub user_agent: &'a str,
    /// It said which languages it wants, as every browser does.
    pub has_language: bool,
    /// How long ago the relay took the mail, where it did.
    pub after_sending: Option<Duration>,
    /// The caller opened dozens of links lately.
    pub read_many: bool,
}

/// Sooner than this nobody has found, opened and followed a mail.
const TOO_SOON: Duration = Duration::from_secs(5);

/// What programs call themselves that are no browsers, in lower case.
const PROGRAMS: [&str; 22] = [
    "bot",
    "crawl",
    "spider",
    "scan",
    "preview",
    "fetch",
    "monitor",
    "curl",
    "wget",
    "python",
    "java/",
    "go-http",
    "okhttp",
    "libwww",
    "headless",
    "proofpoint",
    "mimecast",
    "barracuda",
    "symantec",
    "trendmicro",
    "safelinks",
    "virus",
];

/// Whether it looks like a program.
#[must_use]
pub fn is_scanner(opening: &Opening<'_>) -> bool {
    let agent = opening.user_agent.to_ascii_lowercase();
    opening.head
        || opening.read_many
        || !opening.has_language
        || agent.is_empty()
        || PROGRAMS.iter().any(|name| agent.contains(name))
        || opening.after_sending.is_some_and(|since| since < TOO_SOON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_people_and_programs_are_not() {
        let person = Opening {
            head: false,
            user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36",
            has_language: true,
            after_sending: Some(Duration::from_secs(60)),
            read_many: false,
        };
        assert!(!is_scanner(&person));
        for program in [
            Opening { head: true, ..person },
            Opening { user_agent: "", ..person },
            Opening { user_agent: "curl/8.5", ..person },
            Opening { user_agent: "Mozilla/5.0 (compatible; LinkScanner/2)", ..person },
            Opening { has_language: false, ..person },
            Opening { after_sending: Some(Duration::from_secs(2)), ..person },
            Opening { read_many: true, ..person },
        ] {
            assert!(is_scanner(&program), "{program:?}");
        }
    }
}
