//! What each template knows: one typed context for each.

use serde::Serialize;

/// A name in the forms people read.
#[derive(Debug, Clone, Serialize)]
pub struct NameView {
    /// A-labels.
    pub ascii: String,
    /// As people write it.
    pub unicode: String,
    /// Both where they differ.
    pub label: String,
    /// What became of it, in words; empty while it is open.
    pub state: String,
}

impl NameView {
    /// Shows a name given as A-labels, with `*.` where it is a wildcard.
    #[must_use]
    pub fn new(ascii: &str) -> Self {
        let (wildcard, rest) = ascii.strip_prefix("*.").map_or(("", ascii), |rest| ("*.", rest));
        let unicode = format!("{wildcard}{}", idna::domain_to_unicode(rest).0);
        let label = if unicode == ascii { unicode.clone() } else { format!("{unicode} ({ascii})") };
        Self { ascii: ascii.to_owned(), unicode, label, state: String::new() }
    }
}

/// Whose mail and page it is.
#[derive(Debug, Clone, Default, Serialize)]
#[expect(missing_docs, reason = "[service] in config/default.toml documents each")]
pub struct ServiceView {
    pub name_ja: String,
    pub name_en: String,
    pub contact_email: String,
    pub contact_phone: String,
    pub contact_hours_ja: String,
    pub contact_hours_en: String,
}

impl ServiceView {
    /// Values as a service might have them, each its own.
    pub(super) fn sample() -> Self {
        let text = |field: &str| format!("sample-service-{field}");
        Self {
            name_ja: text("name-ja"),
            name_en: text("name-en"),
            contact_email: text("contact-email"),
            contact_phone: text("contact-phone"),
            contact_hours_ja: text("hours-ja"),
            contact_hours_en: text("hours-en"),
        }
    }
}

/// What mail and page tell of an order.
#[derive(Debug, Clone, Serialize)]
pub struct FactsView {
    /// A client under test asks; the approval proves nothing.
    pub test: bool,
    /// The order's id, which people quote.
    pub request_id: String,
    /// The ordering system's reference.
    pub order_ref: String,
    /// The ADN being proven.
    pub adn: NameView,
    /// The names asked for.
    pub names: Vec<NameView>,
    /// The applicant; empty where it was not told.
    pub organization: String,
    /// The party that sent the request; empty where it was not told.
    pub requester: String,
    /// The certificate; empty where it was not told.
    pub product: String,
    /// What the order is for, in Japanese.
    pub kind_ja: &'static str,
    /// What the order is for, in English.
    pub kind_en: &'static str,
    /// To whom the mail goes.
    pub recipient: String,
    /// Where the address was found.
    pub source: &'static str,
    /// The contact's role in Japanese; empty where there is none.
    pub role_ja: String,
    /// The contact's role in English; empty where there is none.
    pub role_en: String,
    /// When the order came, RFC 3339.
    pub requested_at: String,
    /// The same for people.
    pub requested_ja: String,
    /// The same for people.
    pub requested_en: String,
    /// The deadline, RFC 3339.
    pub deadline_at: String,
    /// The same for people.
    pub deadline_ja: String,
    /// The same for people.
    pub deadline_en: String,
}

impl FactsView {
    /// Values as an order might have them.
    pub(super) fn sample() -> Self {
        // Each value is its own, so that one that is missing is noticed.
        let text = |field: &str| format!("sample-{field}");
        Self {
            test: false,
            request_id: text("request-id"),
            order_ref: text("order-ref"),
            adn: NameView::new("sample-adn.example"),
            names: vec![NameView::new("www.example.jp"), NameView::new("*.example.jp")],
            organization: text("organization"),
            requester: text("requester"),
            product: text("product"),
            kind_ja: "新規",
            kind_en: "new",
            recipient: text("recipient"),
            source: "whois",
            role_ja: "登録担当者".to_owned(),
            role_en: "administrative".to_owned(),
            requested_at: text("requested-at"),
            requested_ja: text("requested-ja"),
            requested_en: text("requested-en"),
            deadline_at: text("deadline-at"),
            deadline_ja: text("deadline-ja"),
            deadline_en: text("deadline-en"),
        }
    }
}

/// `mail/approval.*`. Not for debug output: it holds the link.
#[derive(Clone, Serialize)]
pub struct ApprovalMail<'a> {
    /// What is asked.
    #[serde(flatten)]
    pub facts: &'a FactsView,
    /// Whose mail it is.
    pub service: &'a ServiceView,
    /// The certificate authority; empty where it is not told.
    pub ca: &'a str,
    /// Who takes applications; empty where it is not told.
    pub seller: &'a str,
    /// Which language stands first.
    pub locale: &'static str,
    /// Whether the other language follows.
    pub both: bool,
    /// The link.
    pub url: &'a str,
    /// What is pasted at `enter_url` instead of following the link; empty where the mail holds the link.
    pub token: &'a str,
    /// When the order that this one renews was approved, in Japanese; empty where it renews none.
    pub previous_ja: String,
    /// The same in English.
    pub previous_en: String,
    /// Whether approving takes a PIN that the applicant has.
    pub pin: bool,
    /// How many people must approve.
    pub quorum: u32,
    /// Where a broken link can be entered; empty where mails do not tell.
    pub enter_url: String,
    /// Where it stands how to recognise our mails.
    pub about_url: String,
    /// The confirmation code; empty where the profile asks for none.
    pub code: String,
    /// What the page's buttons say: to approve and to refuse, in Japanese and in English.
    pub labels: Labels<'a>,
    /// Other recipients, masked.
    pub others: Vec<String>,
}

/// How often something happened.
#[derive(Debug, Clone, Serialize)]
pub struct CountView {
    /// An event type.
    pub kind: String,
    /// How often.
    pub count: i64,
}

/// `mail/notice/*`: what any notice may tell; what a kind does not tell is empty.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "each field is what the notices tell under its name")]
pub struct NoticeView<'a> {
    pub locale: &'static str,
    pub service: &'a ServiceView,
    pub sender: &'a str,
    pub recipient: &'a str,
    pub request_id: String,
    pub order_ref: String,
    pub organization: String,
    pub requester: String,
    pub product: String,
    pub kind_ja: &'static str,
    pub kind_en: &'static str,
    pub names: Vec<NameView>,
    pub adn: NameView,
    pub recipients: Vec<String>,
    pub answered: String,
    pub scope: String,
    pub signer: String,
    pub by: String,
    pub to: String,
    pub reason: String,
    pub from: String,
    pub subject: String,
    pub quoted: Vec<String>,
    pub about: String,
    pub at_ja: String,
    pub at_en: String,
    pub deadline_ja: String,
    pub deadline_en: String,
    pub sent_ja: String,
    pub sent_en: String,
    pub from_ja: String,
    pub from_en: String,
    pub to_ja: String,
    pub to_en: String,
    pub counts: Vec<CountView>,
    pub held: i64,
    pub awaiting: i64,
    pub given_up: i64,
    pub strays: i64,
    pub canary: String,
    pub dispute_url: String,
    pub code: String,
    pub status_url: String,
    pub mailed: bool,
}

impl<'a> NoticeView<'a> {
    /// Values as a notice might have them.
    pub(super) fn sample(service: &'a ServiceView, locale: &'static str) -> Self {
        let text = |field: &str| format!("sample-{field}");
        Self {
            locale,
            service,
            sender: "sample-sender",
            recipient: "sample-recipient",
            request_id: text("request-id"),
            order_ref: text("order-ref"),
            organization: text("organization"),
            requester: text("requester"),
            product: text("product"),
            kind_ja: "新規",
            kind_en: "new",
            names: vec![NameView::new("www.example.jp")],
            adn: NameView::new("example.jp"),
            recipients: vec![text("recipients")],
            answered: "approved".to_owned(),
            scope: "order".to_owned(),
            signer: text("signer"),
            by: text("by"),
            to: text("to"),
            reason: text("reason"),
            from: text("from"),
            subject: text("subject"),
            quoted: vec![text("quoted")],
            about: text("about"),
            at_ja: text("at-ja"),
            at_en: text("at-en"),
            deadline_ja: text("deadline-ja"),
            deadline_en: text("deadline-en"),
            sent_ja: text("sent-ja"),
            sent_en: text("sent-en"),
            from_ja: text("from-ja"),
            from_en: text("from-en"),
            to_ja: text("to-ja"),
            to_en: text("to-en"),
            counts: vec![CountView { kind: "order.created".to_owned(), count: 3 }],
            held: 1,
            awaiting: 1,
            given_up: 1,
            strays: 1,
            canary: "well".to_owned(),
            dispute_url: text("dispute-url"),
            code: text("code"),
            status_url: text("status-url"),
            mailed: true,
        }
    }
}

/// What the approve page's buttons say.
#[derive(Debug, Clone, Copy, Serialize)]
#[expect(missing_docs, reason = "each field is the button of its name")]
pub struct Labels<'a> {
    pub approve_ja: &'a str,
    pub approve_en: &'a str,
    pub reject_ja: &'a str,
    pub reject_en: &'a str,
    pub report_ja: &'a str,
    pub report_en: &'a str,
}

impl Default for Labels<'_> {
    fn default() -> Self {
        Self {
            approve_ja: "承認する",
            approve_en: "Approve",
            reject_ja: "承認しない",
            reject_en: "Do not approve",
            report_ja: "心当たりがない",
            report_en: "I don't recognise this",
        }
    }
}

/// What was typed into the form, to show it again.
#[derive(Debug, Clone, Default, Serialize)]
#[expect(missing_docs, reason = "each field is the form field of its name")]
pub struct Entered {
    pub scope: String,
    pub signer: String,
    pub reason: String,
    pub authority: bool,
    pub code: String,
    pub pin: String,
}

/// One scope on offer.
#[derive(Debug, Clone, Serialize)]
pub struct ScopeView {
    /// The code to post.
    pub code: &'static str,
    /// What it means.
    pub text: String,
}

/// One error above the form.
#[derive(Debug, Clone, Serialize)]
pub struct FormErrorView {
    /// The form field.
    pub field: String,
    /// What to do.
    pub text: &'static str,
}

/// `approve/form.html`
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "each field is what the page shows under its name")]
#[expect(clippy::struct_excessive_bools, reason = "each is something that the page shows or does not")]
pub struct ApproveForm<'a> {
    #[serde(flatten)]
    pub facts: &'a FactsView,
    pub service: &'a ServiceView,
    pub lang: &'static str,
    pub static_base: &'a str,
    pub partly: bool,
    pub nonce: &'a str,
    pub scopes: Vec<ScopeView>,
    pub signer: &'static str,
    pub authority_check: bool,
    pub confirm: &'static str,
    pub may_approve: bool,
    pub one_language: bool,
    pub signer_label: &'a str,
    pub signer_hint: &'a str,
    pub pin: bool,
    pub quorum: u32,
    pub reason: &'static str,
    pub scope_hint: &'a str,
    pub approve_label: &'a str,
    pub reject_label: &'a str,
    /// The buttons besides approving: `reject`, `report`.
    pub offers: Vec<&'static str>,
    pub only_scope: String,
    pub entered: &'a Entered,
    pub errors: Vec<FormErrorView>,
    pub wrong: Vec<String>,
}

/// `approve/review.html`
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "each field is what the page shows under its name")]
pub struct ReviewPage<'a> {
    #[serde(flatten)]
    pub facts: &'a FactsView,
    pub service: &'a ServiceView,
    pub lang: &'static str,
    pub one_language: bool,
    pub static_base: &'a str,
    pub nonce: &'a str,
    pub scope: String,
    pub approve_label: &'a str,
    pub entered: &'a Entered,
}

/// `approve/closed.html`
#[derive(Debug, Clone, Serialize)]
pub struct ClosedPage<'a> {
    /// Whose page it is.
    pub service: &'a ServiceView,
    /// `ja` or `en`.
    pub lang: &'static str,
    /// What the stylesheet's address begins with.
    pub static_base: &'a str,
    /// The state.
    pub heading: &'a str,
    /// What it means and what to do next.
    pub lines: Vec<String>,
    /// The order's id; empty where it is not told.
    pub request_id: String,
    /// The names and what became of each; empty where they are not told.
    pub names: Vec<NameView>,
    /// What was answered by this link: label and words.
    pub details: Vec<(&'static str, String)>,
    /// Where a broken link can be entered; empty where that does not help.
    pub enter_url: String,
    /// What makes the address a receipt's; empty where it is none.
    pub receipt: String,
    /// There is no other language to switch to.
    pub one_language: bool,
}

/// `approve/enter.html`
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "each field is what the page shows under its name")]
pub struct EnterPage<'a> {
    pub service: &'a ServiceView,
    pub lang: &'static str,
    pub static_base: &'a str,
    pub error: &'static str,
}

/// `approve/about-mail.html`
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "each field is what the page shows under its name")]
pub struct AboutMailPage<'a> {
    pub service: &'a ServiceView,
    pub lang: &'static str,
    pub static_base: &'a str,
    pub sender: &'a str,
    pub link_base: String,
    pub dispute_base: String,
}

/// `approve/dispute.html`
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "each field is what the page shows under its name")]
pub struct DisputePage<'a> {
    pub service: &'a ServiceView,
    pub lang: &'static str,
    pub static_base: &'a str,
    pub request_id: String,
    pub order_ref: String,
    pub organization: String,
    pub adn: NameView,
    pub names: Vec<NameView>,
    pub at: String,
    pub wrong: bool,
}
