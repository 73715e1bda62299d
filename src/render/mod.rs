//! `templates/` → subject, text, HTML. A typed context for each template; an undefined value is an error.
//!
//! Templates are embedded; a file of the same name in the operator's folder replaces one. All are compiled at start.

mod charts;
mod views;

use std::path::Path;

use include_dir::{Dir, include_dir};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::dcv::notice::NoticeKind;

pub use charts::{Bars, Chart};
pub use views::*;

static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");

/// Work one rendering may do; the longest of ours takes a few thousand steps for 250 names.
const FUEL: u64 = 1_000_000;

/// Largest template, in bytes.
const TEMPLATE_MAX_BYTES: u64 = 256 * 1024;

/// A template cannot be read, compiled or rendered.
#[derive(Debug, thiserror::Error)]
#[error("template {name}: {problem}")]
pub struct RenderError {
    /// The template.
    pub name: String,
    /// What is wrong, with the line.
    pub problem: String,
}

/// The compiled templates.
#[derive(Debug)]
pub struct Renderer {
    environment: Environment<'static>,
}

impl Renderer {
    /// Compiles the embedded templates and those in `over`, which replace them.
    ///
    /// # Errors
    /// [`RenderError`] names the template and the line.
    pub fn new(over: Option<&Path>) -> Result<Self, RenderError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        for file in files(&EMBEDDED).into_iter().filter(|file| !file.path().starts_with("static")) {
            let name = file.path().to_string_lossy().into_owned();
            let error = |problem: String| RenderError { name: name.clone(), problem };
            let mut text = file.contents_utf8().ok_or_else(|| error("not UTF-8".to_owned()))?.to_owned();
            if let Some(path) = over.map(|over| over.join(file.path())).filter(|path| path.exists()) {
                if std::fs::metadata(&path).map_err(|e| error(e.to_string()))?.len() > TEMPLATE_MAX_BYTES {
                    return Err(error(format!("larger than {TEMPLATE_MAX_BYTES} bytes")));
                }
                text = std::fs::read_to_string(&path).map_err(|e| error(e.to_string()))?;
            }
            environment.add_template_owned(name.clone(), text).map_err(|e| error(format!("{e:#}")))?;
        }
        let renderer = Self { environment };
        renderer.render_samples()?;
        Ok(renderer)
    }

    /// Renders what owners see with sample values, so that an operator's wording that names an unknown value stops the start and
    /// not the first order.
    fn render_samples(&self) -> Result<(), RenderError> {
        let (service, facts) = (ServiceView::sample(), FactsView::sample());
        for lang in ["ja", "en"] {
            for others in [Vec::new(), vec!["a***@example.jp".to_owned()]] {
                let url = "https://dcv.example.net/approve/sample";
                let mail = ApprovalMail {
                    facts: &facts,
                    service: &service,
                    ca: "sample-ca",
                    seller: "sample-seller",
                    locale: lang,
                    both: true,
                    url,
                    token: "",
                    previous_ja: "sample-previous-ja".to_owned(),
                    previous_en: "sample-previous-en".to_owned(),
                    pin: true,
                    quorum: 2,
                    enter_url: "sample-enter".to_owned(),
                    about_url: "sample-about".to_owned(),
                    code: "sample-code".to_owned(),
                    labels: Labels::default(),
                    others,
                };
                let ApprovalParts { text, html, .. } = self.approval_mail(&mail)?;
                if !text.lines().any(|line| line == url) {
                    let problem = "the link must stand alone on a line of its own".to_owned();
                    return Err(RenderError { name: "mail/approval.txt".to_owned(), problem });
                }
                // Whoever decides must see what is decided, in either part and in each language by itself.
                let alone = self.approval_mail(&ApprovalMail { both: false, ..mail.clone() })?;
                for (kind, part) in [("txt", &alone.text), ("html", &alone.html)] {
                    let missing = must_contain(&mail).into_iter().find(|(_, value)| !part.contains(value.as_str()));
                    if let Some((field, _)) = missing {
                        let problem = format!("the mail must tell `{field}`");
                        return Err(RenderError { name: format!("mail/approval.{lang}.{kind}"), problem });
                    }
                }
                for (name, part) in [("mail/approval.txt", &text), ("mail/approval.html", &html)] {
                    if let Some(word) = RELATIVE_TIME.into_iter().find(|word| part.contains(word)) {
                        let problem = format!("the mail must not count time as in `{word}`: it is read when it is read");
                        return Err(RenderError { name: name.to_owned(), problem });
                    }
                }
                if let Some(forbidden) = FORBIDDEN_HTML.into_iter().find(|tag| html.to_ascii_lowercase().contains(tag)) {
                    let problem = format!("the mail must not hold `{forbidden}`: no pictures, no scripts, no forms");
                    return Err(RenderError { name: "mail/approval.html".to_owned(), problem });
                }
            }
            for kind in NoticeKind::ALL {
                for answered in ["approved", "rejected", "reported"] {
                    let view = NoticeView { answered: answered.to_owned(), ..NoticeView::sample(&service, lang) };
                    self.notice(*kind, &view)?;
                }
            }
            let scope = || ScopeView { code: "order", text: String::new() };
            let form = ApproveForm {
                facts: &facts,
                service: &service,
                lang,
                static_base: "",
                partly: false,
                nonce: "",
                scopes: vec![scope(), scope()],
                signer: "required",
                authority_check: true,
                confirm: "code",
                may_approve: true,
                one_language: false,
                signer_label: "",
                signer_hint: "",
                pin: true,
                quorum: 2,
                reason: "optional",
                scope_hint: "",
                approve_label: "",
                reject_label: "",
                offers: vec!["reject", "report"],
                only_scope: String::new(),
                entered: &Entered::default(),
                errors: vec![FormErrorView { field: "signer".to_owned(), text: "" }],
                wrong: vec!["signer".to_owned()],
            };
            self.render("approve/form.html", &form)?;
            let lines = vec![String::new()];
            let closed = ClosedPage {
                service: &service,
                lang,
                static_base: "",
                heading: "",
                lines,
                request_id: String::new(),
                names: facts.names.clone(),
                details: vec![("", String::new())],
                enter_url: String::new(),
                receipt: String::new(),
                one_language: false,
            };
            let review = ReviewPage {
                facts: &facts,
                service: &service,
                lang,
                one_language: true,
                static_base: "",
                nonce: "",
                scope: String::new(),
                approve_label: "",
                entered: &Entered::default(),
            };
            self.render("approve/review.html", &review)?;
            self.render("approve/closed.html", &closed)?;
            self.render("approve/enter.html", &EnterPage { service: &service, lang, static_base: "", error: "cut" })?;
            let about = AboutMailPage {
                service: &service,
                lang,
                static_base: "",
                sender: "",
                link_base: String::new(),
                dispute_base: String::new(),
            };
            self.render("approve/about-mail.html", &about)?;
            let dispute = DisputePage {
                service: &service,
                lang,
                static_base: "",
                request_id: String::new(),
                order_ref: String::new(),
                organization: String::new(),
                adn: facts.adn.clone(),
                names: facts.names.clone(),
                at: String::new(),
                wrong: true,
            };
            self.render("approve/dispute.html", &dispute)?;
        }
        Ok(())
    }

    /// Checks the mail whose page is entered by a code, which a profile may want: the code stands alone, and the link nowhere.
    ///
    /// # Errors
    /// [`RenderError`] where the operator's own wording does not see to that.
    pub fn check_code_entry(&self) -> Result<(), RenderError> {
        let (service, facts) = (ServiceView::default(), FactsView::sample());
        ["ja", "en"].into_iter().try_for_each(|lang| self.render_code_entry(&service, &facts, lang))
    }

    fn render_code_entry(&self, service: &ServiceView, facts: &FactsView, lang: &'static str) -> Result<(), RenderError> {
        let (url, token) = ("https://dcv.example.net/approve/sample", "sample-token");
        let mail = ApprovalMail {
            facts,
            service,
            ca: "",
            seller: "",
            locale: lang,
            both: false,
            url,
            token,
            previous_ja: String::new(),
            previous_en: String::new(),
            pin: false,
            quorum: 1,
            enter_url: "sample-enter".to_owned(),
            about_url: "sample-about".to_owned(),
            code: String::new(),
            labels: Labels::default(),
            others: Vec::new(),
        };
        let ApprovalParts { text, html, .. } = self.approval_mail(&mail)?;
        let problem = if [&text, &html].iter().any(|part| part.contains(url)) {
            "must not hold the link where the page is entered by a code"
        } else if !text.lines().any(|line| line == token) || !html.contains(token) || !text.contains("sample-enter") {
            "must tell the code, alone on a line, and where it is entered"
        } else {
            return Ok(());
        };
        Err(RenderError { name: format!("mail/approval.{lang}.txt"), problem: problem.to_owned() })
    }

    /// Renders one template.
    ///
    /// # Errors
    /// [`RenderError`], for a value that is not defined above all.
    pub fn render<C: Serialize>(&self, name: &str, context: &C) -> Result<String, RenderError> {
        let error = |problem: minijinja::Error| RenderError { name: name.to_owned(), problem: chain(&problem) };
        self.environment.get_template(name).map_err(error)?.render(minijinja::value::Serde(context)).map_err(error)
    }

    /// A notice, ready to be put together: the template's first line is the subject, a blank line follows.
    ///
    /// # Errors
    /// As [`Renderer::render`], and where there is no subject line.
    pub fn notice(&self, kind: NoticeKind, view: &NoticeView<'_>) -> Result<NoticeParts, RenderError> {
        let name = format!("mail/notice/{}.txt", kind.as_str());
        let whole = self.render(&name, view)?;
        let (subject, text) = whole
            .split_once("\n\n")
            .and_then(|(head, text)| Some((head.trim().strip_prefix("Subject: ")?, text)))
            .filter(|(subject, _)| !subject.contains('\n'))
            .ok_or_else(|| RenderError {
                name, problem: "must begin with one line `Subject: …` and a blank line".to_owned()
            })?;
        Ok(NoticeParts { subject: subject.to_owned(), text: format!("{}\n", text.trim_end()) })
    }

    /// The approval mail, ready to be put together.
    ///
    /// # Errors
    /// As [`Renderer::render`].
    pub fn approval_mail(&self, context: &ApprovalMail<'_>) -> Result<ApprovalParts, RenderError> {
        let subject = self.render("mail/approval.subject.txt", context)?;
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        let (text, html) = (self.render("mail/approval.txt", context)?, self.render("mail/approval.html", context)?);
        Ok(ApprovalParts { subject, text, html })
    }
}

/// A notice's parts.
#[derive(Debug, Clone)]
pub struct NoticeParts {
    /// One line.
    pub subject: String,
    /// The text.
    pub text: String,
}

/// An approval mail's parts.
#[derive(Debug, Clone)]
pub struct ApprovalParts {
    /// One line.
    pub subject: String,
    /// The plain text, the link alone on a line.
    pub text: String,
    /// The same in HTML.
    pub html: String,
}

/// What a mail's HTML must not hold: anything that is fetched, that runs, or that could be answered without the page.
const FORBIDDEN_HTML: [&str; 10] =
    ["<img", "<script", "<form", "<iframe", "<link", "<svg", "<object", "http-equiv", "background=", "url("];

/// Words that count time from when the mail is read.
const RELATIVE_TIME: [&str; 6] = ["残り", "あと", "本日中", "days left", "hours left", "days remaining"];

/// What a mail must tell, by the names that templates know it under.
fn must_contain(mail: &ApprovalMail<'_>) -> Vec<(&'static str, String)> {
    let facts = mail.facts;
    let mut told = vec![
        ("request_id", facts.request_id.clone()),
        ("order_ref", facts.order_ref.clone()),
        ("adn", facts.adn.ascii.clone()),
        ("organization", facts.organization.clone()),
        ("product", facts.product.clone()),
        ("requester", facts.requester.clone()),
        ("url", mail.url.to_owned()),
        ("code", mail.code.clone()),
    ];
    let service = mail.service;
    told.extend(if mail.locale == "ja" {
        [
            ("requested_ja", facts.requested_ja.clone()),
            ("deadline_ja", facts.deadline_ja.clone()),
            ("service.name_ja", service.name_ja.clone()),
            ("role_ja", facts.role_ja.clone()),
        ]
    } else {
        [
            ("requested_en", facts.requested_en.clone()),
            ("deadline_en", facts.deadline_en.clone()),
            ("service.name_en", service.name_en.clone()),
            ("role_en", facts.role_en.clone()),
        ]
    });
    told.extend([
        ("ca", mail.ca.to_owned()),
        ("seller", mail.seller.to_owned()),
        ("service.contact_email", service.contact_email.clone()),
        ("service.contact_phone", service.contact_phone.clone()),
        ("about_url", mail.about_url.clone()),
        ("enter_url", mail.enter_url.clone()),
    ]);
    told.extend(facts.names.iter().map(|name| ("names", name.ascii.clone())));
    told.extend(mail.others.iter().map(|other| ("others", other.clone())));
    told
}

/// An error with its causes: where an include fails, the line that matters is in the cause.
fn chain(error: &minijinja::Error) -> String {
    let mut words = format!("{error:#}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}

/// A file that is served as it is.
#[must_use]
pub fn static_file(name: &str) -> Option<&'static [u8]> {
    EMBEDDED.get_file(format!("static/{name}")).map(include_dir::File::contents)
}

/// Every embedded file, folders walked.
fn files<'d>(dir: &'d Dir<'static>) -> Vec<&'d include_dir::File<'static>> {
    let mut all: Vec<_> = dir.files().collect();
    for inner in dir.dirs() {
        all.extend(files(inner));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, text: &str) -> Result<Renderer, RenderError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        Renderer::new(Some(dir.path()))
    }

    fn own_words() -> String {
        format!("Own words. {}", include_str!("../../templates/mail/approval.en.txt"))
    }

    #[test]
    fn where_a_code_leads_to_the_page_the_mail_holds_no_link() {
        assert!(Renderer::new(None).unwrap().check_code_entry().is_ok());
        let own = with("mail/approval.en.txt", &own_words().replace("{{ token }}", "{{ url }}")).unwrap();
        assert_eq!(own.check_code_entry().unwrap_err().name, "mail/approval.en.txt");
    }

    #[test]
    fn an_operators_own_wording_replaces_the_built_in_one() {
        let renderer = with("mail/approval.en.txt", &own_words()).unwrap();
        let facts = FactsView::sample();
        let mail = ApprovalMail {
            facts: &facts,
            service: &ServiceView::default(),
            ca: "",
            seller: "",
            locale: "en",
            both: true,
            token: "",
            previous_ja: String::new(),
            previous_en: String::new(),
            pin: false,
            quorum: 1,
            url: "https://dcv.example.net/approve/x",
            enter_url: String::new(),
            about_url: String::new(),
            code: String::new(),
            labels: Labels::default(),
            others: Vec::new(),
        };
        let text = renderer.approval_mail(&mail).unwrap().text;
        assert!(text.starts_with("Own words.") && text.contains("ご担当者様"));
    }

    #[test]
    fn wording_that_cannot_work_stops_the_start_with_template_and_reason() {
        for (name, text, reason) in [
            ("mail/approval.en.txt", "{{ no_such_value }}", "undefined"),
            ("mail/approval.en.txt", "{% if %}", "syntax error"),
            ("mail/approval.txt", "see {{ url }}.", "alone on a line"),
            ("approve/closed.html", "{{ heading.nothing.more }}", "undefined"),
        ] {
            let error = with(name, text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_mail_that_hides_what_is_decided_or_holds_what_must_not_be_does_not_start() {
        for (name, from, to, told) in [
            ("mail/approval.ja.txt", "{{ deadline_ja }}", "soon", "deadline_ja"),
            ("mail/approval.en.txt", "{{ organization }}", "", "organization"),
            ("mail/approval.ja.txt", "お手続き期限", "お手続き期限(残り3日)", "残り"),
            ("mail/approval.ja.html", "</div>", "<img src=\"https://tracker.example/\"></div>", "<img"),
        ] {
            let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(name)).unwrap();
            let refused = with(name, &text.replace(from, to)).unwrap_err().to_string();
            assert!(refused.contains(told), "{refused}");
        }
    }
}
