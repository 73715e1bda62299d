//! The pages of every state, in both languages.

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::app::dispute::Disputable;
use crate::app::open_link::Opened;
use crate::app::{App, english_time, japanese_time};
use crate::dcv::decision::{Refusal, Scope};
use crate::dcv::email::EmailAddress;
use crate::dcv::field::FieldError;
use crate::dcv::order::ValidationState;
use crate::dcv::profile::{AccessPin, Asked, Confirm, OnExpiry};
use crate::dcv::timestamp::Timestamp;
use crate::http::{Code, Problem};
use crate::render::{
    AboutMailPage, ApproveForm, ClosedPage, DisputePage, EnterPage, Entered, FactsView, FormErrorView, NameView, ReviewPage,
    ScopeView,
};
use crate::store::ValidationRow;

/// A page without a form: its status, heading and what it says, Japanese and English.
struct Closed {
    status: StatusCode,
    heading: [&'static str; 2],
    lines: Vec<[String; 2]>,
    /// What only holders of a genuine link are told.
    told: Told,
}

/// What a page without a form tells of a request.
#[derive(Default)]
struct Told {
    request_id: String,
    names: Vec<NameView>,
    details: Vec<(&'static str, String)>,
    /// A broken link can be entered there.
    enter_url: String,
    /// What lets this page show the signer, kept when the language is switched.
    receipt: String,
    /// Its profile's pages speak one language.
    one_language: bool,
}

impl Closed {
    fn new(status: StatusCode, heading: [&'static str; 2], line: [String; 2]) -> Self {
        Self { status, heading, lines: vec![line], told: Told::default() }
    }
}

/// The link is malformed, forged, foreign or unknown: one page for all, so that nothing can be learnt from it.
pub(super) fn unknown(app: &App, lang: &'static str) -> Bytes {
    let line = pair(
        "URLの一部が欠けているか、古いメールのURLかもしれません。メールに書かれたURLの全体をコピーして、もう一度お試しください。",
        "Part of the link may be missing, or it may be from an old e-mail. Copy the whole link from the e-mail and try again.",
    );
    let page = Closed::new(StatusCode::NOT_FOUND, ["URLを確認できません", "We cannot find this link"], line);
    let enter_url = format!("{}/enter?lang={lang}", app.settings.public_base);
    let context = closed_context(app, lang, Closed { told: Told { enter_url, ..Told::default() }, ..page });
    app.renderer.render("approve/closed.html", &context).map_or_else(
        |error| {
            tracing::error!(%error, "a page cannot be rendered");
            Bytes::from_static(b"404")
        },
        Bytes::from,
    )
}

/// The database is not there for now.
pub(super) fn unavailable(app: &App, lang: &'static str) -> Response {
    let line = pair(
        "お手続きの内容は失われていません。数分待ってから、同じURLをもう一度お開きください。",
        "Nothing is lost. Wait some minutes and open the same link again.",
    );
    let heading = ["ただいま受け付けを停止しています", "Temporarily unavailable"];
    let page = closed_page(app, lang, Closed::new(StatusCode::SERVICE_UNAVAILABLE, heading, line));
    ([(header::RETRY_AFTER, "120")], page).into_response()
}

/// A request that could not be read, or was not answered in time: nothing was decided.
pub(super) fn refused(app: &App, status: StatusCode, lang: &'static str) -> Response {
    let (heading, line) = match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => return unavailable(app, lang),
        status if status.is_server_error() => (
            ["ページを表示できません", "The page cannot be shown"],
            pair(
                "こちらの不具合です。少し待ってからメールのURLをもう一度お開きください。続くようでしたら窓口へご連絡ください。",
                "Something went wrong on our side. Open the link in the e-mail again in a while; if it goes on, please contact us.",
            ),
        ),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => (
            ["このページはありません", "There is no such page"],
            pair(
                "お手続きは行われていません。メールのURLをもう一度お開きください。",
                "Nothing was decided. Open the link in the e-mail again.",
            ),
        ),
        _ => (
            ["送信内容を読み取れませんでした", "What was sent could not be read"],
            pair(
                "お手続きは行われていません。メールのURLをもう一度開き、入力を短くしてお試しください。",
                "Nothing was decided. Open the link in the e-mail again, and try with shorter input.",
            ),
        ),
    };
    closed_page(app, lang, Closed::new(status, heading, line))
}

/// Where a broken link is entered; `error` is `cut`, `nothing` or empty.
pub(super) fn enter(app: &App, status: StatusCode, lang: &'static str, error: &'static str) -> Response {
    let context = EnterPage { service: &app.settings.service, lang, static_base: &app.settings.public_base, error };
    html(app, status, "approve/enter.html", &context)
}

/// How to recognise our mails.
pub(super) fn about_mail(app: &App, lang: &'static str) -> Response {
    let context = AboutMailPage {
        service: &app.settings.service,
        lang,
        static_base: &app.settings.public_base,
        sender: &app.settings.from,
        link_base: format!("{}/approve/", app.settings.public_base),
        dispute_base: format!("{}/dispute/", app.settings.public_base),
    };
    html(app, StatusCode::OK, "approve/about-mail.html", &context)
}

/// The page of a dispute link: the question, that it was taken, or that no approval is left to dispute.
pub(super) fn dispute(app: &App, opened: &Disputable, status: StatusCode, lang: &'static str) -> Response {
    let request_id = opened.order.id().map(|id| id.to_string()).unwrap_or_default();
    let closed = if opened.notice.disputed_at.is_some() {
        let line = pair(
            "承認に異議がある旨を受け付け、申請の窓口に知らせました。ほかに必要なお手続きはありません。",
            "We have taken note that the approval is disputed, and told those who handle the request. There is nothing more to do.",
        );
        Some((["異議を受け付けています", "Your objection has been received"], line))
    } else if opened.names.is_empty() {
        let line = pair(
            "この承認は取り消されているか、ほかの回答により無効になっています。異議のお手続きは必要ありません。",
            "The approval was withdrawn or another answer ended it. There is nothing to dispute.",
        );
        Some((["この承認は有効ではありません", "This approval does not stand"], line))
    } else {
        None
    };
    if let Some((heading, line)) = closed {
        let page = Closed::new(StatusCode::OK, heading, line);
        return closed_page(app, lang, Closed { told: Told { request_id, ..Told::default() }, ..page });
    }
    let context = DisputePage {
        service: &app.settings.service,
        lang,
        static_base: &app.settings.public_base,
        request_id,
        order_ref: opened.order.order_ref.clone(),
        organization: opened.order.facts().ok().and_then(|facts| facts.organization).unwrap_or_default(),
        adn: NameView::new(&opened.mail.adn),
        names: opened.names.iter().map(|one| NameView::new(&one.name)).collect(),
        at: if lang == "ja" { japanese_time(opened.at) } else { english_time(opened.at) },
        wrong: status != StatusCode::OK,
    };
    html(app, status, "approve/dispute.html", &context)
}

/// The caller opened too many wrong links.
pub(super) fn slow_down(app: &App, lang: &'static str) -> Response {
    let line = pair(
        "2分ほど待ってから、もう一度お試しください。お手続きそのものには影響ありません。",
        "Wait two minutes and try again. The request itself is not affected.",
    );
    let heading = ["しばらく待ってからお試しください", "Please try again shortly"];
    let page = closed_page(app, lang, Closed::new(StatusCode::TOO_MANY_REQUESTS, heading, line));
    ([(header::RETRY_AFTER, "120")], page).into_response()
}

/// The form, with what was entered and what is wrong with it.
pub(in crate::http) fn form(
    app: &App,
    opened: &Opened,
    lang: &'static str,
    entered: &Entered,
    errors: &[FieldError],
) -> Response {
    let page = &opened.profile.profile.page;
    let adn = &opened.facts.adn.unicode;
    let scopes = opened.scopes();
    let too_many = errors.iter().any(|error| error.code == "too-many");
    let status = match errors {
        [] => StatusCode::OK,
        _ if too_many => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let default = page.scope_default.filter(|_| errors.is_empty()).map_or("", Scope::as_str);
    let entered =
        Entered { scope: if entered.scope.is_empty() { default.to_owned() } else { entered.scope.clone() }, ..entered.clone() };
    // A single scope is not chosen, and so must be told.
    let only_scope = match scopes[..] {
        [one] if one != Scope::Order => scope_text(one, adn, lang),
        _ => String::new(),
    };
    let names = opened.facts.names.iter().map(|name| NameView { state: state_text(&name.state, lang), ..name.clone() }).collect();
    let mut facts = FactsView { names, ..opened.facts.clone() };
    if page.confirm == Confirm::Address {
        // What is asked for must not stand above the question.
        facts.recipient = EmailAddress::parse(&facts.recipient).map_or_else(|_| String::new(), |address| address.masked());
    }
    let context = ApproveForm {
        facts: &facts,
        service: &app.settings.service,
        lang,
        static_base: &app.settings.public_base,
        partly: opened.partly(),
        nonce: &opened.nonce,
        scopes: scopes.into_iter().map(|scope| ScopeView { code: scope.as_str(), text: scope_text(scope, adn, lang) }).collect(),
        signer: match page.signer {
            Asked::Required => "required",
            Asked::Optional => "optional",
            Asked::Hidden => "hidden",
        },
        authority_check: page.authority_check,
        confirm: page.confirm.as_str(),
        may_approve: !opened.is_forbidden(app.now()),
        one_language: !page.languages.are_several(),
        signer_label: if lang == "ja" { &page.signer_label_ja } else { &page.signer_label_en },
        signer_hint: if lang == "ja" { &page.signer_hint_ja } else { &page.signer_hint_en },
        pin: page.access_pin == AccessPin::Required,
        quorum: opened.profile.profile.decision.quorum,
        reason: page.reason.as_str(),
        scope_hint: if lang == "ja" { &page.scope_hint_ja } else { "" },
        approve_label: if lang == "ja" { &page.approve_label_ja } else { &page.approve_label_en },
        reject_label: if lang == "ja" { &page.reject_label_ja } else { &page.reject_label_en },
        offers: [
            ("reject", opened.profile.profile.decision.reject.is_offered()),
            ("report", opened.profile.profile.decision.report),
        ]
        .into_iter()
        .filter_map(|(button, offered)| offered.then_some(button))
        .collect(),
        only_scope,
        entered: &entered,
        errors: errors
            .iter()
            .map(|error| {
                // What belongs to no field leads to the buttons.
                let field = if error.pointer == "nonce" { "decision" } else { &error.pointer };
                FormErrorView { field: field.to_owned(), text: error_text(error, lang) }
            })
            .collect(),
        wrong: errors.iter().map(|error| error.pointer.clone()).collect(),
    };
    let page = html(app, status, "approve/form.html", &context);
    if too_many { ([(header::RETRY_AFTER, "120")], page).into_response() } else { page }
}

/// What was entered to approve, once more, before it counts.
pub(super) fn review(app: &App, opened: &Opened, lang: &'static str, entered: &Entered) -> Response {
    let page = &opened.profile.profile.page;
    let scopes = opened.scopes();
    let scope = Scope::from_text(&entered.scope).or_else(|| scopes.first().copied()).unwrap_or(Scope::Order);
    let context = ReviewPage {
        facts: &opened.facts,
        service: &app.settings.service,
        lang,
        one_language: !page.languages.are_several(),
        static_base: &app.settings.public_base,
        nonce: &opened.nonce,
        scope: scope_text(scope, &opened.facts.adn.unicode, lang),
        approve_label: if lang == "ja" { &page.approve_label_ja } else { &page.approve_label_en },
        entered,
    };
    html(app, StatusCode::OK, "approve/review.html", &context)
}

/// A link that cannot be answered, and what became of it. `late` is the answer that came too late, where one was given; `receipt` says
/// that whoever answered was led here, who alone sees the signer's name.
pub(in crate::http) fn closed(
    app: &App,
    opened: &Opened,
    refusal: &Refusal,
    lang: &'static str,
    late: Option<&str>,
    receipt: bool,
) -> Response {
    let asked = &opened.asked;
    // What this link did stands before what others did.
    let by_this = |one: &&ValidationRow| one.mail_id.as_ref() == Some(&opened.mail.id);
    let ended = asked.iter().filter(by_this).chain(asked.iter()).find_map(|one| one.ended_at).map(Timestamp::from_unix_micros);
    let when = |ja: &str, en: &str| {
        ended.map(|at| [format!("{ja}: {}", japanese_time(at)), format!("{en}: {}", english_time(at))]).unwrap_or_default()
    };
    let (status, heading, lines) = match refusal {
        Refusal::Decided => {
            let (heading, line) = decided(opened);
            // The same answer by the same link once more, a double click above all, is told as what it is: received.
            let counted =
                late == Some("approve") && opened.mail.link == "answered" && asked.iter().any(|one| one.state == "pending");
            let repeated =
                counted || asked.iter().any(|one| one.mail_id.as_ref() == Some(&opened.mail.id) && one.answer.as_deref() == late);
            let mut lines = vec![line, when("受付日時", "Answered")];
            let (status, heading) = match late {
                None if receipt => (StatusCode::OK, received(heading)),
                None => (StatusCode::OK, heading),
                Some(_) if repeated => (StatusCode::CONFLICT, heading),
                Some("reject" | "report") if asked.iter().any(|one| one.state == "approved" && !by_this(&one)) => {
                    lines.push(pair(
                        "今回の回答で決定は変わりませんが、異議として申請の窓口に知らせました。",
                        "Your answer does not change the decision; those who handle the request are told that you object.",
                    ));
                    (StatusCode::CONFLICT, ["先に手続きが完了しました", "Someone has already answered"])
                }
                Some(_) => {
                    lines.push(pair("今回の回答は採用されていません。", "Your entry was not used."));
                    (StatusCode::CONFLICT, ["先に手続きが完了しました", "Someone has already answered"])
                }
            };
            (status, heading, lines)
        }
        Refusal::Expired => (
            StatusCode::GONE,
            ["お手続き期限を過ぎています", "The deadline has passed"],
            vec![
                [format!("期限: {}", opened.facts.deadline_ja), format!("Deadline: {}", opened.facts.deadline_en)],
                match opened.profile.profile.window.on_expiry {
                    OnExpiry::Reapply => pair(
                        "証明書が必要な場合は、申請組織に、あらためてお申し込みいただくようお伝えください。",
                        "If the certificate is still wanted, ask the applicant to apply again.",
                    ),
                    OnExpiry::Reissue => pair(
                        "証明書が必要な場合は、窓口へ、あらためて確認メールをお送りするようご依頼ください。",
                        "If the certificate is still wanted, ask us to send a new e-mail.",
                    ),
                },
            ],
        ),
        Refusal::Superseded => (
            StatusCode::GONE,
            ["新しい確認メールをお送りしています", "A newer e-mail replaces this one"],
            vec![pair("新しいメールに書かれたURLをお使いください。", "Use the link in the newer e-mail.")],
        ),
        Refusal::Cancelled => (
            StatusCode::GONE,
            ["申請が取り消されました", "The request was withdrawn"],
            vec![pair("ほかに必要なお手続きはありません。", "There is nothing more to do.")],
        ),
        Refusal::Forbidden | Refusal::Incomplete(_) => (
            StatusCode::CONFLICT,
            ["この方法では承認できません", "This cannot be approved by e-mail any more"],
            vec![pair(
                "規定により、この方法による承認は受け付けられません。窓口へお問い合わせください。",
                "The rules no longer allow approval by this method. Please contact us.",
            )],
        ),
    };
    let one_language = !opened.profile.profile.page.languages.are_several();
    let mut told = Told { request_id: opened.facts.request_id.clone(), one_language, ..Told::default() };
    if receipt {
        told.receipt = opened.receipt_tag(app);
    }
    if *refusal == Refusal::Decided {
        told.names =
            asked.iter().map(|one| NameView { state: state_text(&one.state, lang), ..NameView::new(&one.name) }).collect();
        let by_this = asked.iter().find(|one| one.mail_id.as_ref() == Some(&opened.mail.id));
        let scope = by_this.and_then(|one| one.scope.as_deref()).and_then(Scope::from_text);
        if let Some(scope) = scope {
            told.details
                .push((if lang == "ja" { "承認範囲" } else { "Scope" }, scope_text(scope, &opened.facts.adn.unicode, lang)));
        }
        if let Some(signer) = by_this.and_then(|one| one.signer.clone()).filter(|_| receipt) {
            told.details.push((if lang == "ja" { "ご署名(申告)" } else { "Signed (as typed)" }, signer));
        }
    }
    closed_page(app, lang, Closed { status, heading, lines, told })
}

/// The heading for whoever has just answered.
fn received(heading: [&'static str; 2]) -> [&'static str; 2] {
    match heading[1] {
        "This request has been approved" => ["承認を受け付けました", "Approval received"],
        "This request was not approved" => ["承認しない旨を受け付けました", "Refusal received"],
        _ => heading,
    }
}

/// A name's state in words.
fn state_text(state: &str, lang: &str) -> String {
    let words = match (ValidationState::from_text(state), lang) {
        (Some(ValidationState::Approved), "ja") => "承認",
        (Some(ValidationState::Approved), _) => "approved",
        (Some(ValidationState::Rejected), "ja") => "承認しない",
        (Some(ValidationState::Rejected), _) => "not approved",
        (Some(ValidationState::Expired), "ja") => "期限切れ",
        (Some(ValidationState::Expired), _) => "expired",
        (Some(ValidationState::Cancelled), "ja") => "取り消し",
        (Some(ValidationState::Cancelled), _) => "withdrawn",
        _ => "",
    };
    words.to_owned()
}

/// What this link's answer did; where another link decided, what became of the names it asked for.
fn decided(opened: &Opened) -> ([&'static str; 2], [String; 2]) {
    let asked = &opened.asked;
    let by_this: Vec<_> = asked.iter().filter(|one| one.mail_id.as_ref() == Some(&opened.mail.id)).collect();
    let told = if by_this.is_empty() { asked.iter().collect() } else { by_this };
    if let Some(ends) = told.iter().find_map(|one| one.veto_ends_at) {
        let (ja, en) = (japanese_time(Timestamp::from_unix_micros(ends)), english_time(Timestamp::from_unix_micros(ends)));
        return (
            ["承認を受け付けています", "Your approval has been received"],
            pair(
                &format!("ほかの宛先からの異議がなければ、{ja} に確定します。ほかに必要なお手続きはありません。"),
                &format!("It counts from {en}, unless somebody else who was asked refuses. There is nothing more to do."),
            ),
        );
    }
    if opened.mail.link == "answered" && told.iter().any(|one| one.state == "pending") {
        let quorum = opened.profile.profile.decision.quorum;
        return (
            ["承認を受け付けています", "Your approval has been received"],
            pair(
                &format!(
                    "この申請には {quorum} 名の承認が必要です。ほかの方の承認を待っています。ほかに必要なお手続きはありません。"
                ),
                &format!(
                    "This request takes {quorum} people's approval. We are waiting for the others. There is nothing more to do."
                ),
            ),
        );
    }
    let all = |state: &str| !told.is_empty() && told.iter().all(|one| one.state == state);
    let reported = told.iter().any(|one| one.answer.as_deref() == Some("report"));
    if all("rejected") && reported {
        (
            ["お知らせを受け付けています", "Your report has been received"],
            pair(
                "お心当たりがない旨を受け付けました。この申請による証明書は発行されません。",
                "We were told that this request is not recognised. No certificate is issued on it.",
            ),
        )
    } else if all("rejected") {
        (
            ["承認しない旨を受け付けています", "This request was not approved"],
            pair(
                "この申請による証明書は発行されません。ほかに必要なお手続きはありません。",
                "No certificate is issued on this request. There is nothing more to do.",
            ),
        )
    } else if all("approved") {
        (
            ["承認の手続きは完了しています", "This request has been approved"],
            pair(
                "ほかに必要なお手続きはありません。証明書の発行までには別の審査があります。この画面を閉じて構いません。",
                "There is nothing more to do. Other checks follow before a certificate is issued. You may close this page.",
            ),
        )
    } else {
        // What became of each name stands below.
        (["お手続きは完了しています", "This request has been answered"], pair("", ""))
    }
}

fn closed_page(app: &App, lang: &'static str, page: Closed) -> Response {
    let status = page.status;
    html(app, status, "approve/closed.html", &closed_context(app, lang, page))
}

fn closed_context<'a>(app: &'a App, lang: &'static str, page: Closed) -> ClosedPage<'a> {
    let pick = |pair: &[String; 2]| if lang == "ja" { pair[0].clone() } else { pair[1].clone() };
    ClosedPage {
        service: &app.settings.service,
        lang,
        static_base: &app.settings.public_base,
        heading: if lang == "ja" { page.heading[0] } else { page.heading[1] },
        lines: page.lines.iter().map(pick).filter(|line| !line.is_empty()).collect(),
        request_id: page.told.request_id,
        names: page.told.names,
        details: page.told.details,
        enter_url: page.told.enter_url,
        receipt: page.told.receipt,
        one_language: page.told.one_language,
    }
}

fn html<C: serde::Serialize>(app: &App, status: StatusCode, template: &str, context: &C) -> Response {
    match app.renderer.render(template, context) {
        Ok(page) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            Problem::new(Code::Internal).into_response()
        }
    }
}

fn pair(ja: &str, en: &str) -> [String; 2] {
    [ja.to_owned(), en.to_owned()]
}

fn scope_text(scope: Scope, adn: &str, lang: &str) -> String {
    match (scope, lang) {
        (Scope::Fqdn, "ja") => "上の名前に限り承認する(FQDN限定)".to_owned(),
        (Scope::Fqdn, _) => "Only the exact names listed".to_owned(),
        (Scope::Subtree, "ja") => format!("{adn} とその下の名前について承認する"),
        (Scope::Subtree, _) => format!("{adn} and everything under it"),
        (Scope::Base, "ja") => format!("ドメイン名全体({adn} とその下のすべての名前)について承認する"),
        (Scope::Base, _) => format!("The whole domain: {adn} and every name under it"),
        (Scope::Order, "ja") => "この申請に限り承認する".to_owned(),
        (Scope::Order, _) => "This request only".to_owned(),
    }
}

fn error_text(error: &FieldError, lang: &str) -> &'static str {
    match (error.pointer.as_str(), error.code, lang) {
        ("scope", _, "ja") => "承認範囲を一つお選びください。",
        ("scope", _, _) => "Choose how far the approval reaches.",
        ("signer", "missing", "ja") => "お名前または会社名をご記入ください。",
        ("signer", "missing", _) => "Give your name or your company's.",
        ("signer", _, "ja") => "ご署名は100文字以内の1行でご記入ください。",
        ("signer", _, _) => "The name must be one line of 100 characters at most.",
        ("authority", _, "ja") => "承認する権限があることを確認のうえ、チェックを入れてください。",
        ("authority", _, _) => "Tick the box to confirm that you have authority over this domain name.",
        ("reason", "missing", "ja") => "承認されない理由をご記入ください。",
        ("reason", "missing", _) => "Say why you do not approve.",
        ("pin", "missing", "ja") => "アクセスPINをご入力ください。PINは申請組織が別の方法でお知らせします。",
        ("pin", "missing", _) => "Enter the access PIN, which the applicant tells you by another way.",
        ("pin", "wrong-pin", "ja") => "アクセスPINが違います。申請組織からお知らせした8桁の数字をご入力ください。",
        ("pin", "wrong-pin", _) => "This is not the access PIN. Enter the eight digits that the applicant told you.",
        ("reason", _, "ja") => "理由は1000文字以内でご記入ください。",
        ("reason", _, _) => "The reason must hold 1000 characters at most.",
        ("code" | "pin", "too-many", "ja") => {
            "しばらく待ってからお試しください。2分ほどで、もう一度ご入力いただけます。お手続きそのものには影響ありません。"
        }
        ("code" | "pin", "too-many", _) => {
            "Please try again shortly: in two minutes you can enter it again. The request itself is not affected."
        }
        ("code", "missing", "ja") => "メールに書かれた確認コードをご入力ください。",
        ("code", "missing", _) => "Enter the confirmation code from the e-mail.",
        ("code", "wrong-code", "ja") => "確認コードが違います。メールに書かれた8桁の数字をご入力ください。",
        ("code", "wrong-code", _) => "This is not the code. Enter the eight digits from the e-mail.",
        ("code", "missing-address", "ja") => "このメールを受け取ったアドレスをご入力ください。",
        ("code", "missing-address", _) => "Enter the address at which you received the e-mail.",
        ("code", _, "ja") => "メールの宛先と違います。このメールを受け取ったアドレスをご入力ください。",
        ("code", _, _) => "The e-mail went to another address. Enter the one at which you received it.",
        ("decision", _, "ja") => "下のボタンのいずれかを押してください。",
        ("decision", _, _) => "Press one of the buttons below.",
        (_, _, "ja") => "ページの内容が新しくなりました。もう一度ご確認のうえ、お答えください。",
        _ => "The page has changed. Please check it and answer again.",
    }
}
