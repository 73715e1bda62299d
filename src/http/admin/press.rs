//! What operators press: each counts once, however often it is sent, and leads back to the order's page.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequest, Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use super::{from_same_origin, sign_in};
use crate::app::Cause;
use crate::app::amend::{AmendError, Amendment, amend};
use crate::app::annotate::{Annotation, annotate};
use crate::app::cancel::{CancelError, Cancellation, cancel};
use crate::app::choose_approver::{ChooseError, Instead, OperatorsChoice, ask_instead, choose_approver};
use crate::app::extend::{ExtendError, extend};
use crate::app::look_again::look_now;
use crate::app::release::release;
use crate::app::replay::{post_again as post_again_once, replay};
use crate::app::resend::resend;
use crate::app::show_order::show_order;
use crate::app::sign_in::SignedIn;
use crate::dcv::email::EmailAddress;
use crate::dcv::field::is_one_line;
use crate::dcv::id::{EffectId, EventId, MailId, OrderId};
use crate::dcv::name::CertificateName;
use crate::dcv::operator::Need;
use crate::dcv::order::NAMES_MAX;
use crate::dcv::profile::{CancelField, CancelParty, ExternalCheck};
use crate::http::api::change_approver;
use crate::http::api::place_order::{TEXT_MAX_CHARS as FACT_MAX_CHARS, refused as not_placed};
use crate::http::api::resend::refused as not_resent;
use crate::http::{Code, HttpState, Problem};
use crate::store::Repeatable;

/// Longest text that is typed beside a button, in characters.
const TEXT_MAX_CHARS: usize = 1000;

/// A form of the status page.
pub(super) struct Pressed {
    who: SignedIn,
    cause: Cause,
    form: Vec<(String, String)>,
    lang: &'static str,
}

impl Pressed {
    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.form.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.trim())
    }

    pub(super) const fn who(&self) -> &SignedIn {
        &self.who
    }

    pub(super) const fn cause(&self) -> &Cause {
        &self.cause
    }

    pub(super) const fn may(&self, need: Need) -> bool {
        self.who.role.may(need)
    }

    /// A field, where something stands in it.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.all(name).find(|value| !value.is_empty())
    }

    /// A line of text.
    pub(super) fn line(&self, name: &str) -> Result<Option<String>, Problem> {
        let Some(text) = self.given(name) else { return Ok(None) };
        if text.chars().count() > TEXT_MAX_CHARS || !is_one_line(text) {
            let detail = format!("{name}: one line of at most {TEXT_MAX_CHARS} characters");
            return Err(Problem::new(Code::BadRequest).detail(detail));
        }
        Ok(Some(text.to_owned()))
    }

    fn needs_reason(&self) -> Result<(), Problem> {
        let missing = || Problem::new(Code::BadRequest).detail("say why: it stands in the order's timeline");
        self.cause.reason.as_ref().map(|_| ()).ok_or_else(missing)
    }

    /// Back to where it was pressed: also where the same press was taken before.
    pub(super) fn done(&self, outcome: Result<(), Problem>, back: &str) -> Result<Response, Problem> {
        match outcome {
            Err(problem) if !problem.is(Code::IdempotencyInProgress) => Err(problem),
            _ => Ok((StatusCode::SEE_OTHER, [("location", format!("{back}?lang={}", self.lang))]).into_response()),
        }
    }

    fn back_to(&self, order: OrderId, outcome: Result<(), Problem>) -> Result<Response, Problem> {
        self.done(outcome, &format!("/admin/orders/{order}"))
    }
}

impl FromRequest<HttpState> for Pressed {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        from_same_origin(request.headers())?;
        let missing = || Problem::new(Code::Unauthorized);
        let who = request.extensions().get::<SignedIn>().cloned().ok_or_else(missing)?;
        let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
        debug_assert_eq!(request.method(), Method::POST);
        let form = match Form::<Vec<(String, String)>>::from_request(request, state).await {
            Ok(form) => form.0,
            // A button without fields is sent without a body by some.
            Err(FormRejection::InvalidFormContentType(_)) => Vec::new(),
            // What was typed, and what makes the press count once, would be lost.
            Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => return Err(Problem::new(Code::BodyTooLarge)),
            Err(_) => return Err(Problem::new(Code::BadRequest).detail("the form cannot be read")),
        };
        let lang = if query.split('&').any(|pair| pair == "lang=en") { "en" } else { "ja" };
        let actor = sign_in::actor(state, &who);
        let mut pressed = Self { cause: Cause::by(&actor), who, form, lang };
        pressed.cause.reason = pressed.line("reason")?;
        pressed.cause.request =
            pressed.given("once").filter(|once| once.len() <= 64 && is_one_line(once)).map(|once| Repeatable {
                client: actor,
                // Each button of a page is another request.
                key: format!("{once}{path}"),
                fingerprint: Sha256::digest(path.as_bytes()).into(),
                status: StatusCode::SEE_OTHER.as_u16(),
            });
        Ok(pressed)
    }
}

fn order_of(text: &str) -> Result<OrderId, Problem> {
    OrderId::parse(text).map_err(|_| Problem::new(Code::NotFound))
}

fn mail_of(text: &str) -> Result<MailId, Problem> {
    MailId::parse(text).map_err(|_| Problem::new(Code::NotFound))
}

/// `POST /admin/orders/{id}/mails/{mail}/resend`: the same mail once more.
pub(super) async fn send_again(
    State(state): State<HttpState>,
    Path((order, mail)): Path<(String, String)>,
    pressed: Pressed,
) -> Result<Response, Problem> {
    let (order, mail) = (order_of(&order)?, mail_of(&mail)?);
    let outcome = resend(&state.app, order, mail, &pressed.cause).await;
    pressed.back_to(order, outcome.map_err(|error| not_resent(&state.app, error)))
}

/// `POST /admin/orders/{id}/mails/{mail}/reissue`: a new link to the same recipient.
pub(super) async fn reissue(
    State(state): State<HttpState>,
    Path((order, mail)): Path<(String, String)>,
    pressed: Pressed,
) -> Result<Response, Problem> {
    let (order, mail) = (order_of(&order)?, mail_of(&mail)?);
    pressed.needs_reason()?;
    let outcome = ask_instead(&state.app, order, &Instead::Same(mail), &pressed.cause).await;
    pressed.back_to(order, outcome.or_else(|error| not_asked(&state, error)))
}

/// `POST /admin/orders/{id}/approvers`: asks whom an operator chose.
pub(super) async fn choose(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    pressed: Pressed,
) -> Result<Response, Problem> {
    let id = order_of(&id)?;
    let emails = || -> Result<Vec<EmailAddress>, Problem> {
        let emails: Vec<EmailAddress> = pressed.all("email").filter_map(|text| EmailAddress::parse(text).ok()).collect();
        if emails.is_empty() {
            return Err(Problem::new(Code::BadRequest).detail("choose one of those listed"));
        }
        Ok(emails)
    };
    let outcome = match pressed.given("choice") {
        Some("instead") => {
            pressed.needs_reason()?;
            ask_instead(&state.app, id, &Instead::Others(emails()?), &pressed.cause).await
        }
        choice => {
            let choice = match choice {
                Some("entered") => OperatorsChoice::Entered,
                Some("fallback") => OperatorsChoice::Fallback,
                _ => OperatorsChoice::Listed(emails()?),
            };
            choose_approver(&state.app, id, &choice, &pressed.cause).await
        }
    };
    pressed.back_to(id, outcome.or_else(|error| not_asked(&state, error)))
}

fn not_asked(state: &HttpState, error: ChooseError) -> Result<(), Problem> {
    Err(match error {
        // Pressed twice, or after somebody else: the page tells what came of it.
        ChooseError::Nothing => return Ok(()),
        ChooseError::Missing => Problem::new(Code::NotFound),
        error @ ChooseError::NotSelectable(_) => Problem::new(Code::NameEnded).detail(error.to_string()),
        ChooseError::Change(error) => change_approver::refused(&state.app, error, &[]),
    })
}

/// `POST /admin/orders/{id}/look`: asks the sources at once for names that await an approver.
pub(super) async fn look(State(state): State<HttpState>, Path(id): Path<String>, pressed: Pressed) -> Result<Response, Problem> {
    let id = order_of(&id)?;
    // Where nothing waits any more, the page says so.
    let outcome = look_now(&state.app, id, &pressed.cause).await;
    pressed.back_to(id, outcome.map(|_| ()).map_err(Problem::from))
}

/// `POST /admin/orders/{id}/release`: lets an order that policy held go on.
pub(super) async fn let_go(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    pressed: Pressed,
) -> Result<Response, Problem> {
    let id = order_of(&id)?;
    if !release(&state.app, id, &pressed.cause).await? {
        return Err(Problem::new(Code::NotFound).detail("there is no such order, or nothing holds it"));
    }
    pressed.back_to(id, Ok(()))
}

/// What is told with the end of an order, as its profile wants it.
async fn cancellation(state: &HttpState, id: OrderId, pressed: &Pressed) -> Result<Cancellation, Problem> {
    let record = show_order(&state.app, id, None).await?.ok_or_else(|| Problem::new(Code::NotFound))?;
    let rules = &state.app.profile_of(&record.order).await?.profile.cancel;
    let by = pressed.given("by").map_or(Some(CancelParty::Operator), CancelParty::from_text);
    let by = by.filter(|by| rules.by.contains(by)).ok_or_else(|| {
        let allowed: Vec<&str> = rules.by.iter().map(|one| one.as_str()).collect();
        Problem::new(Code::NotAllowed).detail(format!("under the order's profile only {} may cancel", allowed.join(", ")))
    })?;
    let common_name = pressed.line("common_name")?;
    let named = common_name.as_deref().map(|text| CertificateName::parse(text, &state.app.lists().suffixes));
    let is_one =
        named.is_some_and(|name| name.is_ok_and(|name| record.validations.iter().any(|one| one.name == name.to_string())));
    if !is_one && (common_name.is_some() || rules.required_fields.contains(&CancelField::CommonName)) {
        return Err(Problem::new(Code::BadRequest).detail("common_name: type one of the order's names"));
    }
    Ok(Cancellation { reason: pressed.cause.reason.clone(), by: Some(by), common_name, successor: None })
}

/// `POST /admin/orders/{id}/cancel`
pub(super) async fn withdraw(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    pressed: Pressed,
) -> Result<Response, Problem> {
    let id = order_of(&id)?;
    pressed.needs_reason()?;
    let told = cancellation(&state, id, &pressed).await?;
    let outcome = cancel(&state.app, id, told, &pressed.cause).await.map_err(|error| match error {
        CancelError::Missing => Problem::new(Code::NotFound),
        CancelError::Ended(_) => Problem::new(Code::OrderEnded).detail(error.to_string()),
        CancelError::Store(error) => error.into(),
    });
    pressed.back_to(id, outcome)
}

/// `POST /admin/orders/{id}/amend`: another order in this one's place; leads to that one.
pub(super) async fn amend_order(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    pressed: Pressed,
) -> Result<Response, Problem> {
    let id = order_of(&id)?;
    pressed.needs_reason()?;
    // Pressed before: to what came of it.
    if let Some(request) = &pressed.cause.request
        && let Some(known) = state.app.store.remembered(&request.client, &request.key).await?
    {
        let placed = known.order_id.and_then(|id| id.try_into().ok()).map(OrderId::from_bytes);
        return pressed.back_to(placed.unwrap_or(id), Ok(()));
    }
    let why = cancellation(&state, id, &pressed).await?;
    let lists = state.app.lists();
    let mut names: Vec<CertificateName> = Vec::new();
    for text in pressed.given("names").unwrap_or_default().split([' ', '\n', '\r', ',', '、']).filter(|text| !text.is_empty()) {
        let name = CertificateName::parse(text, &lists.suffixes);
        let name = name.map_err(|error| Problem::new(Code::BadRequest).detail(format!("names: {text}: {error}")))?;
        if !names.contains(&name) {
            names.push(name);
        }
        if names.len() > NAMES_MAX {
            return Err(Problem::new(Code::BadRequest).detail(format!("names: an order holds {NAMES_MAX} names at most")));
        }
    }
    if names.is_empty() {
        return Err(Problem::new(Code::BadRequest).detail("names: name at least one domain"));
    }
    let fact = |field: &str| match pressed.line(field)? {
        Some(text) if text.chars().count() > FACT_MAX_CHARS => {
            Err(Problem::new(Code::BadRequest).detail(format!("{field}: at most {FACT_MAX_CHARS} characters")))
        }
        text => Ok(text),
    };
    let (organization, product) = (fact("organization")?, fact("product")?);
    let told: Vec<String> = names.iter().map(ToString::to_string).collect();
    match amend(&state.app, id, Amendment { names, organization, product }, why, &pressed.cause).await {
        Ok(placed) => pressed.back_to(placed, Ok(())),
        Err(error) => pressed.back_to(
            id,
            Err(match error {
                AmendError::Missing => Problem::new(Code::NotFound),
                AmendError::Ended => Problem::new(Code::OrderEnded).detail(error.to_string()),
                AmendError::Unchanged
                | AmendError::Another
                | AmendError::Refused(_)
                | AmendError::Entered
                | AmendError::Renews
                | AmendError::TooOften => Problem::new(Code::BadRequest).detail(error.to_string()),
                AmendError::Place(error) => not_placed(error, &told),
            }),
        ),
    }
}

/// `POST /admin/orders/{id}/extend`
pub(super) async fn prolong(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    pressed: Pressed,
) -> Result<Response, Problem> {
    let id = order_of(&id)?;
    pressed.needs_reason()?;
    let days = pressed.given("days").and_then(|text| text.parse::<u32>().ok()).filter(|days| (1..30).contains(days));
    let days = days.ok_or_else(|| Problem::new(Code::BadRequest).detail("days: a number from 1 to 29"))?;
    let outcome = extend(&state.app, id, days, pressed.cause.reason.as_deref(), &pressed.cause).await;
    pressed.back_to(
        id,
        outcome.map_err(|error| match error {
            ExtendError::Missing => Problem::new(Code::NotFound),
            ExtendError::Ended => Problem::new(Code::LinkEnded).detail(error.to_string()),
            ExtendError::TooFar(far) => Problem::new(Code::BadRequest).detail(far.to_string()),
            ExtendError::Store(error) => error.into(),
        }),
    )
}

/// `POST /admin/orders/{id}/put/{notes|assign|pause|resume}`: what decides nothing.
pub(super) async fn put_to(
    State(state): State<HttpState>,
    Path((id, what)): Path<(String, String)>,
    pressed: Pressed,
) -> Result<Response, Problem> {
    let id = order_of(&id)?;
    let what = match what.as_str() {
        "notes" => {
            let checks = [ExternalCheck::Phone, ExternalCheck::Documents, ExternalCheck::ThirdParty];
            let check = checks.into_iter().find(|check| Some(check.as_str()) == pressed.given("check"));
            let text = pressed.line("note")?.unwrap_or_default();
            if text.is_empty() && check.is_none() {
                return Err(Problem::new(Code::BadRequest).detail("note: write something, or name the check that was made"));
            }
            Annotation::Note { text, check }
        }
        "assign" => Annotation::Assign(match pressed.given("to") {
            Some("me") if !pressed.who.name.is_empty() => Some(pressed.who.name.clone()),
            _ => None,
        }),
        "pause" => Annotation::Pause,
        "resume" => Annotation::Resume,
        _ => return Err(Problem::new(Code::NotFound)),
    };
    // Where that is so already, or the order has ended, the page says so.
    let outcome = annotate(&state.app, id, what, &pressed.cause).await;
    pressed.back_to(id, outcome.map(|_| ()).map_err(Problem::from))
}

/// `POST /admin/effects/{id}/replay`: puts an effect that was given up back into the outbox.
pub(super) async fn send_effect(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    pressed: Pressed,
) -> Result<Response, Problem> {
    let id = EffectId::parse(&id).map_err(|_| Problem::new(Code::NotFound))?;
    let order = state.app.store.order_of_effect(id).await?;
    let outcome = match replay(&state.app, id, &pressed.cause).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Problem::new(Code::NotFound).detail("there is no such effect, or it was not given up")),
        Err(error) => Err(error.into()),
    };
    match order {
        Some(order) => pressed.back_to(order, outcome),
        None => pressed.done(outcome, "/admin"),
    }
}

/// `POST /admin/events/{id}/replay`: posts an event's webhooks once more, with the same id and bytes.
pub(super) async fn post_again(
    State(state): State<HttpState>,
    Path(id): Path<String>,
    pressed: Pressed,
) -> Result<Response, Problem> {
    let id = EventId::parse(&id).map_err(|_| Problem::new(Code::NotFound))?;
    let outcome = post_again_once(&state.app, id, &pressed.cause).await;
    // Where nothing has ended, it is under way already.
    pressed.done(outcome.map(|_| ()).map_err(Problem::from), "/admin/webhooks")
}
