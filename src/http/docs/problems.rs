//! `GET /problems/{code}`: what a problem's `type` leads to.

use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::http::{CODES, Code, HttpState, Problem};

/// A field's code, what it means and what to do.
type FieldCode = (&'static str, &'static str);

/// The codes of wrong fields that are the API's own; those of names are `dcvd parse name`'s.
const FIELD_CODES: &[FieldCode] = &[
    ("missing-field", "The field is required and absent."),
    ("unknown-field", "There is no such field or parameter; look for a slip of the keyboard."),
    ("bad-value", "The value is not of the form that the detail describes."),
    ("bad-email", "The address is not one that mail can be sent to."),
    ("too-many", "There are more entries than the detail allows."),
    ("too-long", "The value is longer than the detail allows."),
    ("duplicate-name", "The name stands in the order already."),
    ("unknown-profile", "There is no profile of this name."),
    ("approver-not-allowed", "The address may not approve the name; choose one of `allowed`."),
    (
        "address-not-selectable",
        "Under the profile the service or an operator chooses the approvers, or you do after the look-up; leave them out.",
    ),
    ("manual-entry-not-needed", "WHOIS lists the entered address: choose it as any other."),
    ("address-not-in-whois", "WHOIS answered, and the entered address is no contact in it."),
    ("fallback-required", "With an entered address, name another approver in `fallback`."),
    ("too-few-approvers", "The profile demands that several people approve; choose as many of `allowed`."),
    (
        "domain-not-allowlisted",
        "The profile holds orders to your allow-list: put the domain on it, `PUT /v1/allowlist/{domain}`.",
    ),
    ("no-approver", "No approver was chosen for the name although some may be; choose one of `allowed`."),
    ("mail-asks-for-more", "A mail asks for further names; change them together."),
    ("past-30-days", "The deadline would lie more than 30 days after the link was made; `latest` tells the last instant."),
    ("profile-not-in-force", "The profile enforces its dates, and takes no orders on this day."),
    ("not-approved", "The name was not approved in the order."),
    ("idempotency-key-invalid", "The Idempotency-Key must be 1 to 255 visible characters."),
    ("public-suffix", "The name is a public suffix: nobody controls it alone."),
    ("empty", "The name is empty."),
    ("bad-label", "A label of the name is not one."),
    ("bad-idn", "A label of the name is no valid internationalized one (UTS 46)."),
    ("bad-wildcard", "A wildcard is `*.` before a name."),
    ("single-label", "The name has one label alone."),
    ("unknown-tld", "There is no such top-level domain."),
    ("ip-address", "An address is no name."),
    ("reverse-zone", "Names of reverse zones are not validated."),
    ("onion", "Names under .onion are not validated by e-mail."),
];

/// What each problem asks of whoever meets it.
fn what_to_do(code: Code) -> &'static str {
    match code {
        Code::BrokenJson => "Send well-formed JSON; the detail tells line and column.",
        Code::BadRequest => "Look at the request line and its headers.",
        Code::Unauthorized => "Send `Authorization: Bearer <token>` with a token of `dcvd client add` or of the configuration.",
        Code::Forbidden => "Use the page's own form.",
        Code::InsufficientScope => "Ask the operators for a token with the scope that the detail names.",
        Code::ProfileNotAllowed => "Order under a profile that your client may use, or ask the operators.",
        Code::NotAllowed => "The detail tells on whose word the order's profile lets this be done.",
        Code::NotFound => "Look at the id. Another client's order is no order.",
        Code::MethodNotAllowed => "The path is right, the method is not.",
        Code::DuplicateOrderRef => "Use another reference, or an Idempotency-Key to repeat a request safely.",
        Code::OpenOrderExists => "Wait for the order that `order_id` names, or cancel it.",
        Code::OrderEnded => "Place a new order.",
        Code::CertificateDiffers => "A serial number names one certificate; look at which was reported.",
        Code::IdempotencyInProgress => "Wait a second and repeat the same request.",
        Code::NameEnded => "Read the order: the names that are still open are those in `pending` and `awaiting_approver`.",
        Code::MustReapply => "Have the applicant apply again, and place a new order that names this one in `previous_order_id`.",
        Code::LinkEnded => "Ask an approver anew: `POST /v1/orders/{id}/approvers`, or a new order.",
        Code::ResendWouldStateOldDeadline => "Ask the same approver anew; the new mail states the new deadline.",
        Code::BodyTooLarge => "Split the request.",
        Code::WrongContentType => {
            "Say what the body is: `Content-Type: application/json`, or `application/jsonl` for many orders."
        }
        Code::IdempotencyKeyReused => "Use a key of its own for each request; the same one only to repeat it byte for byte.",
        Code::Invalid => "`errors` names every wrong field by a JSON pointer; the codes are below.",
        Code::ResendTooSoon => "Wait as `Retry-After` says.",
        Code::TooManyRequests => "Wait as `Retry-After` says; `RateLimit` tells what is left.",
        Code::Internal => "This is our fault. Repeat the request with an Idempotency-Key; if it goes on, tell the operators.",
        Code::Unavailable => "Repeat the request in a while.",
        Code::SourceUnavailable => "A source that had to be asked did not answer; repeat the request as `Retry-After` says.",
    }
}

/// Words in pieces, every second one a piece of code.
fn pieces(words: &'static str) -> Vec<&'static str> {
    words.split('`').collect()
}

/// `docs/problem.html`
#[derive(Debug, Serialize)]
struct Page<'a> {
    static_base: &'a str,
    code: &'static str,
    status: u16,
    title: &'static str,
    what_to_do: Vec<&'static str>,
    fields: Vec<(&'static str, Vec<&'static str>)>,
}

pub(in crate::http) async fn get(State(state): State<HttpState>, Path(code): Path<String>) -> Result<Response, Problem> {
    let found = Code::ALL.iter().find(|one| one.as_str() == code).copied().ok_or_else(|| Problem::new(Code::NotFound))?;
    let (_, status, title) = CODES.iter().find(|(known, ..)| *known == code).copied().unwrap_or_default();
    let page = Page {
        static_base: &state.app.settings.public_base,
        code: found.as_str(),
        status,
        title,
        what_to_do: pieces(what_to_do(found)),
        fields: FIELD_CODES.iter().filter(|_| found == Code::Invalid).map(|(code, words)| (*code, pieces(words))).collect(),
    };
    let html = state.app.renderer.render("docs/problem.html", &page).map_err(|error| {
        tracing::error!(%error, "a page cannot be rendered");
        Problem::new(Code::Internal)
    })?;
    Ok(([(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response())
}
