//! What went wrong, as a page where a browser asks: by its cause, with what to do next.

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, RETRY_AFTER};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::Value;

use super::frame::Frame;
use super::html;
use crate::http::HttpState;
use crate::http::problem::is_problem;

/// Longest problem document, in bytes.
const DOCUMENT_MAX_BYTES: usize = 64 * 1024;

/// `admin/problem.html`
#[derive(Serialize)]
struct ProblemPage {
    #[serde(flatten)]
    frame: Frame,
    title: String,
    detail: String,
    advice: String,
    /// Seconds; empty where waiting does not help.
    wait: String,
    code: String,
    status: u16,
    back: String,
}

/// What is wrong and what to do, in Japanese and in English, by a problem's code.
const WORDS: [(&str, [&str; 4]); 10] = [
    (
        "not-found",
        [
            "見つかりません",
            "番号の誤りか、ほかの担当者がすでに処理した可能性があります。一覧から探してください。",
            "There is no such thing here",
            "The number may be wrong, or somebody else has dealt with it. Look for it in the list.",
        ],
    ),
    (
        "forbidden",
        [
            "この操作は許可されていません",
            "権限のある担当者に依頼してください。ほかのサイトから送られた操作は受け付けません。",
            "This is not allowed",
            "Ask somebody whose role allows it. What another site sends is not taken.",
        ],
    ),
    (
        "unauthorized",
        [
            "サインインが必要です",
            "サインインし直してから、もう一度操作してください。操作は行われていません。",
            "You are not signed in",
            "Sign in and press again. Nothing was done.",
        ],
    ),
    (
        "resend-too-soon",
        [
            "まだ送れません",
            "同じ宛先への送信には間隔と回数の上限があります。",
            "It is too soon to send again",
            "Mails to one address keep a distance, and there is a limit to them.",
        ],
    ),
    (
        "order-ended",
        [
            "注文は終了しています",
            "必要であれば、新しい注文としてお申し込みください。",
            "The order has ended",
            "Place a new one if needed.",
        ],
    ),
    (
        "name-ended",
        [
            "対象の名前は手続き中ではありません",
            "回答済みか、承認者を選べない状態です。注文の経過をご覧ください。",
            "Nothing is open there any more",
            "It was answered, or nobody may be chosen. The order's timeline tells.",
        ],
    ),
    (
        "link-ended",
        [
            "リンクは終了しています",
            "回答済み、期限切れ、または取り消し済みです。",
            "The link has ended",
            "It was answered, its deadline passed, or its order was cancelled.",
        ],
    ),
    (
        "bad-request",
        ["入力をご確認ください", "何も変更していません。", "Please look at what you entered", "Nothing was changed."],
    ),
    (
        "not-allowed",
        [
            "この注文のプロファイルでは認められていません",
            "プロファイルの規則をご確認ください。",
            "The order's profile does not allow this",
            "See the profile's rules.",
        ],
    ),
    (
        "source-unavailable",
        [
            "照会先が応答しません",
            "しばらくしてからもう一度お試しください。何も変更していません。",
            "A source did not answer",
            "Try again in a while. Nothing was changed.",
        ],
    ),
];

/// Shows a problem document to a browser as a page; everything else passes.
pub(super) async fn page(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let accepts = request.headers().get(ACCEPT).is_some_and(|value| value.to_str().is_ok_and(|text| text.contains("text/html")));
    let lang = if request.uri().query().unwrap_or_default().split('&').any(|pair| pair == "lang=en") { "en" } else { "ja" };
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    if !accepts || !is_problem(&response) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, DOCUMENT_MAX_BYTES).await.unwrap_or_default();
    let document: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    let code = text("code");
    let words = WORDS.iter().find(|(known, _)| *known == code).map(|(_, words)| *words);
    let (title, advice) = match (words, lang) {
        (Some([title, advice, ..]), "ja") | (Some([_, _, title, advice]), _) => (title.to_owned(), advice.to_owned()),
        (None, _) => (text("title"), String::new()),
    };
    // An order's buttons lead back to the order.
    let back = path.split('/').take(4).collect::<Vec<_>>().join("/");
    let shown = ProblemPage {
        frame: Frame::outside(lang),
        title,
        detail: text("detail"),
        advice,
        wait: parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned(),
        code,
        status: parts.status.as_u16(),
        back: if path.starts_with("/admin/orders/") && path != back { back } else { "/admin".to_owned() },
    };
    match html(&state, "admin/problem.html", &shown) {
        Ok(mut page) => {
            *page.status_mut() = parts.status;
            if let Some(wait) = parts.headers.get(RETRY_AFTER) {
                page.headers_mut().insert(RETRY_AFTER, wait.clone());
            }
            page
        }
        Err(problem) => problem.into_response(),
    }
}
