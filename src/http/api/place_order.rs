//! `POST /v1/orders`

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::body::read_object;
use super::fields::Fields;
use super::{Client, Request, json_answer};
use crate::app::ask::{AskError, Question};
use crate::app::place_order::{NewOrder, PlaceError, place_order};
use crate::app::show_order::OrderView;
use crate::app::{App, Lists, OrderFacts};
use crate::dcv::contact::entry::Entry;
use crate::dcv::email::EmailAddress;
use crate::dcv::field::FieldError;
use crate::dcv::id::OrderId;
use crate::dcv::name::{Adn, CertificateName};
use crate::dcv::order::reference::ORDER_REF_MAX_CHARS;
use crate::dcv::order::{APPROVERS_MAX, Choice, ChoiceError, Chooser, Locale, MAILS_MAX, NAMES_MAX, OrderKind, Wanted};
use crate::dcv::profile::{Compliance, ManualEntry, Profile};
use crate::http::docs::schema;
use crate::http::{Code, HttpState, Problem};

/// Longest texts, in characters.
pub(in crate::http) const TEXT_MAX_CHARS: usize = 200;

/// Most addresses for notices.
const NOTIFY_MAX: usize = 10;

/// Longest metadata, in bytes as JSON.
const METADATA_MAX_BYTES: usize = 8192;

#[utoipa::path(
    post,
    path = "/v1/orders",
    operation_id = "placeOrder",
    tag = "Orders",
    description = "Takes an order: its mails go once this is answered.",
    request_body = schema::NewOrderBody,
    responses((status = 201, description = "The order", body = schema::OrderView)),
)]
pub(in crate::http) async fn post(
    State(state): State<HttpState>,
    Extension(client): Extension<Client>,
    request: Request,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let object = read_object(&headers, body)?;
    let view = place(&state, &client, &request, &object).await?;
    let location = format!("/v1/orders/{}", view.id);
    Ok((StatusCode::CREATED, [(LOCATION, location)], json_answer(view)).into_response())
}

/// Takes one order of a client.
pub(super) async fn place(
    state: &HttpState,
    client: &Client,
    request: &Request,
    object: &Map<String, Value>,
) -> Result<OrderView, Problem> {
    let new = parse(&state.app, client, request, object).map_err(Problem::invalid)?;
    let profile = &new.question.profile.profile.id;
    if !client.rights.allows_profile(profile) {
        return Err(Problem::new(Code::ProfileNotAllowed).detail(format!("this client may not order under `{profile}`")));
    }
    let names = new.question.names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let record = place_order(&state.app, new).await.map_err(|error| refused(error, &names))?;
    Ok(record.view()?)
}

/// Reads an order; every error there is, or the order.
fn parse(app: &App, client: &Client, request: &Request, object: &Map<String, Value>) -> Result<NewOrder, Vec<FieldError>> {
    let mut fields = Fields::new("", object);
    let order_ref = fields.required_line("order_ref", ORDER_REF_MAX_CHARS);
    let asked = fields.line("profile", TEXT_MAX_CHARS);
    let profile = app.profiles.get(asked.as_deref()).cloned();
    if profile.is_none() {
        fields.error("profile", "unknown-profile", "there is no such profile");
    }
    if let Some(closed) =
        profile.as_ref().filter(|one| one.profile.compliance == Compliance::Enforce && !one.profile.is_in_force(app.now()))
    {
        let detail = format!("`{}` takes no orders on this day (valid_from, valid_until)", closed.profile.id);
        fields.error("profile", "profile-not-in-force", detail);
    }
    let lists = app.lists();
    let names = names(&lists, &mut fields);
    let mut choice = choice(&lists, &mut fields, &names);
    if let Some(profile) = &profile {
        choice = under(&profile.profile, choice, Chooser::WithOrder, &mut fields);
    }
    let locale = fields.word("locale", Locale::from_text, "ja, en").unwrap_or(Locale::Ja);
    let mut facts = facts(&mut fields);
    if let (None, Some(profile)) = (&facts.product, &profile) {
        facts.product = Some(profile.profile.product.clone()).filter(|product| !product.is_empty());
    }
    let errors = fields.finish();
    match (order_ref, profile, errors.is_empty()) {
        (Some(order_ref), Some(profile), true) => {
            let question = Question { profile, names, choice, locale, facts, lists, previous: None, vouched: None };
            let (test, request) = (client.rights.test, request.repeatable(client, 201));
            Ok(NewOrder {
                client: client.name.clone(),
                actor: client.actor(),
                scheduled: None,
                amends: None,
                order_ref,
                question,
                test,
                request,
            })
        }
        _ => Err(errors),
    }
}

pub(super) fn names(lists: &Lists, fields: &mut Fields<'_>) -> Vec<CertificateName> {
    let Some(list) = fields.list("names") else {
        if fields.errors.iter().all(|error| error.pointer != "/names") {
            fields.error("names", "missing-field", "name at least one domain");
        }
        return Vec::new();
    };
    if list.is_empty() {
        fields.error("names", "missing-field", "name at least one domain");
    }
    if list.len() > NAMES_MAX {
        fields.error("names", "too-many", format!("an order holds {NAMES_MAX} names at most"));
        return Vec::new();
    }
    let mut names: Vec<CertificateName> = Vec::new();
    for (at, value) in list.iter().enumerate() {
        let pointer = format!("/names/{at}");
        match value.as_str().map(|text| CertificateName::parse(text, &lists.suffixes)) {
            None => fields.errors.push(FieldError::new(pointer, "bad-value", "must be a string")),
            Some(Err(error)) => fields.errors.push(FieldError::new(pointer, error.code(), error.to_string())),
            Some(Ok(name)) if names.contains(&name) => {
                fields.errors.push(FieldError::new(pointer, "duplicate-name", "this name stands in the order already"));
            }
            Some(Ok(name)) => names.push(name),
        }
    }
    names
}

pub(super) fn choice(lists: &Lists, fields: &mut Fields<'_>, names: &[CertificateName]) -> Choice {
    let list = match fields.value("approvers") {
        None => return Choice::Unsaid,
        Some(Value::String(word)) if word == "all" => return Choice::All,
        Some(Value::Array(list)) => list,
        Some(_) => {
            fields.error("approvers", "bad-value", "must be a list of addresses, or \"all\"");
            return Choice::Unsaid;
        }
    };
    if list.is_empty() {
        return Choice::Unsaid;
    }
    if list.len() > APPROVERS_MAX {
        fields.error("approvers", "too-many", format!("an order names {APPROVERS_MAX} approvers at most"));
        return Choice::Unsaid;
    }
    let mut wanted = Vec::new();
    for (at, value) in list.iter().enumerate() {
        let pointer = format!("/approvers/{at}");
        match value {
            Value::String(text) => match EmailAddress::parse(text) {
                Ok(email) => wanted.push(Wanted { email, adn: None, names: None }),
                Err(error) => fields.errors.push(FieldError::new(pointer, "bad-email", error.to_string())),
            },
            Value::Object(object) if object.contains_key("manual") => {
                let mut inner = Fields::new(&pointer, object);
                let entry = entered(&mut inner);
                fields.errors.extend(inner.finish());
                if list.len() > 1 {
                    fields.errors.push(FieldError::new("/approvers", "bad-value", "an entered address stands alone"));
                }
                return entry.map_or(Choice::Unsaid, Choice::Entered);
            }
            Value::Object(object) => {
                let mut inner = Fields::new(&pointer, object);
                let one = wanted_object(lists, &mut inner, names);
                fields.errors.extend(inner.finish());
                wanted.extend(one);
            }
            _ => fields.errors.push(FieldError::new(
                pointer,
                "bad-value",
                "must be an address, or an object with email, adn and names",
            )),
        }
    }
    Choice::These(wanted)
}

/// A registration contact that the look-up may not find: `{"email", "manual": true, "fallback"}`.
fn entered(fields: &mut Fields<'_>) -> Option<Entry> {
    let mut address = |field: &'static str| {
        let text = fields.line(field, TEXT_MAX_CHARS + 100)?;
        match EmailAddress::parse(&text) {
            Ok(email) => Some(email),
            Err(error) => {
                fields.error(field, "bad-email", error.to_string());
                None
            }
        }
    };
    let (email, fallback) = (address("email"), address("fallback"));
    if fields.value("manual") != Some(&Value::Bool(true)) {
        fields.error("manual", "bad-value", "must be true, or absent");
    }
    if email.is_none() && fields.errors.is_empty() {
        fields.error("email", "missing-field", "is required");
    }
    email.map(|email| Entry { email, fallback, seen: None })
}

/// A choice of approvers under a profile; an error where the profile lets nobody choose.
pub(super) fn under(profile: &Profile, choice: Choice, chooser: Chooser, fields: &mut Fields<'_>) -> Choice {
    if let Choice::Entered(Entry { fallback: None, .. }) = &choice
        && profile.addresses.manual_entry == ManualEntry::IfLookupEmpty
        && profile.addresses.manual_requires_fallback
    {
        fields.errors.push(FieldError::new(
            "/approvers/0/fallback",
            "fallback-required",
            "name another approver too, who is asked where the entered address comes to nothing",
        ));
    }
    choice.under(&profile.addresses, chooser).unwrap_or_else(|error| {
        fields.error("approvers", "address-not-selectable", error.to_string());
        Choice::Unsaid
    })
}

fn wanted_object(lists: &Lists, fields: &mut Fields<'_>, names: &[CertificateName]) -> Option<Wanted> {
    let email = fields.required_line("email", TEXT_MAX_CHARS + 100).and_then(|text| match EmailAddress::parse(&text) {
        Ok(email) => Some(email),
        Err(error) => {
            fields.error("email", "bad-email", error.to_string());
            None
        }
    });
    let adn = fields.line("adn", TEXT_MAX_CHARS + 100).and_then(|text| match Adn::parse(&text, &lists.suffixes) {
        Ok(adn) => Some(adn.to_string()),
        Err(error) => {
            fields.error("adn", error.code(), error.to_string());
            None
        }
    });
    let wanted_names = fields.list("names").map(|list| {
        let mut places = Vec::new();
        if list.is_empty() {
            let detail = "must name one of the order's names at least, or be left out to mean all that the address may approve";
            fields.errors.push(FieldError::new(fields.at("names"), "bad-value", detail));
        }
        for (at, value) in list.iter().enumerate() {
            let named = value.as_str().and_then(|text| CertificateName::parse(text, &lists.suffixes).ok());
            if let Some(place) = named.and_then(|name| names.iter().position(|known| *known == name)) {
                places.push(place);
            } else {
                let pointer = format!("{}/{at}", fields.at("names"));
                fields.errors.push(FieldError::new(pointer, "bad-value", "must be one of the order's names"));
            }
        }
        places
    });
    email.map(|email| Wanted { email, adn, names: wanted_names })
}

fn facts(fields: &mut Fields<'_>) -> OrderFacts {
    let organization = fields.object("applicant").and_then(|object| {
        let mut inner = Fields::new("/applicant", object);
        let organization = inner.line("organization", TEXT_MAX_CHARS);
        fields.errors.extend(inner.finish());
        organization
    });
    let previous_order_id = fields.line("previous_order_id", TEXT_MAX_CHARS);
    if previous_order_id.as_deref().is_some_and(|id| OrderId::parse(id).is_err()) {
        fields.error("previous_order_id", "bad-value", "must be an order's id");
    }
    let metadata = fields.object("metadata").cloned().unwrap_or_default();
    if Value::Object(metadata.clone()).to_string().len() > METADATA_MAX_BYTES {
        fields.error("metadata", "too-long", format!("must take {METADATA_MAX_BYTES} bytes at most as JSON"));
    }
    OrderFacts {
        organization,
        requester: fields.line("requester", TEXT_MAX_CHARS),
        product: fields.line("product", TEXT_MAX_CHARS),
        kind: fields.word("kind", OrderKind::from_text, "new, renewal, additional, reissue"),
        notify: notify(fields),
        contract_code: fields.line("contract_code", TEXT_MAX_CHARS),
        previous_order_id,
        amends: None,
        metadata,
    }
}

fn notify(fields: &mut Fields<'_>) -> Vec<String> {
    let Some(list) = fields.list("notify") else { return Vec::new() };
    if list.len() > NOTIFY_MAX {
        fields.error("notify", "too-many", format!("{NOTIFY_MAX} addresses at most"));
        return Vec::new();
    }
    let mut notify = Vec::new();
    for (at, value) in list.iter().enumerate() {
        match value.as_str().map(EmailAddress::parse) {
            Some(Ok(email)) => notify.push(email.to_string()),
            Some(Err(error)) => fields.errors.push(FieldError::new(format!("/notify/{at}"), "bad-email", error.to_string())),
            None => fields.errors.push(FieldError::new(format!("/notify/{at}"), "bad-value", "must be a string")),
        }
    }
    notify
}

/// Seconds after which a source that did not answer may be asked again.
const SOURCE_RETRY_SECS: u64 = 30;

pub(in crate::http) fn refused(error: PlaceError, names: &[String]) -> Problem {
    match error {
        PlaceError::DuplicateOrderRef => Problem::new(Code::DuplicateOrderRef),
        PlaceError::OpenOrderExists(open) => {
            Problem::new(Code::OpenOrderExists).detail(error.to_string()).member("order_id", json!(open))
        }
        PlaceError::NotAllowlisted(places) => {
            let detail = "the profile holds orders to your allow-list, and neither this name nor a domain above it is on it";
            let error = |at| FieldError::new(format!("/names/{at}"), "domain-not-allowlisted", detail);
            Problem::invalid(places.into_iter().map(error).collect())
        }
        PlaceError::TooSoon(_) => Problem::new(Code::ResendTooSoon).detail(error.to_string()),
        PlaceError::Ended => Problem::new(Code::OrderEnded).detail(error.to_string()),
        PlaceError::Renewed | PlaceError::ReuseGone => Problem::new(Code::Unavailable).retry_after(1),
        PlaceError::NotInForce => Problem::invalid(vec![FieldError::new("/profile", "profile-not-in-force", error.to_string())]),
        PlaceError::Ask(error) => not_asked(error, names),
    }
}

/// Why nothing could be asked, as a problem document.
pub(super) fn not_asked(error: AskError, names: &[String]) -> Problem {
    match error {
        AskError::Store(error) => error.into(),
        AskError::Mail(problem) => {
            tracing::error!(problem, "the approval mail cannot be made");
            Problem::new(Code::Internal)
        }
        AskError::Choice(errors) => {
            if let Some(source) = errors.iter().find_map(|error| match error {
                ChoiceError::Unavailable { source, .. } => Some(source),
                _ => None,
            }) {
                let detail = format!("{} did not answer, so a chosen address could not be checked", source.as_str());
                return Problem::new(Code::SourceUnavailable)
                    .detail(detail)
                    .member("source", json!(source))
                    .retry_after(SOURCE_RETRY_SECS);
            }
            let mut allowed: Vec<&String> = Vec::new();
            for one in errors.iter().flat_map(offered) {
                if !allowed.contains(&one) {
                    allowed.push(one);
                }
            }
            let allowed = json!(allowed);
            Problem::invalid(errors.iter().map(|error| choice_error(error, names)).collect()).member("allowed", allowed)
        }
    }
}

fn offered(error: &ChoiceError) -> &[String] {
    match error {
        ChoiceError::NotAllowed { allowed, .. }
        | ChoiceError::NoApprover { allowed, .. }
        | ChoiceError::TooFew { allowed, .. } => allowed,
        ChoiceError::TooManyMails
        | ChoiceError::Unavailable { .. }
        | ChoiceError::EntryListed { .. }
        | ChoiceError::EntryNotFound { .. } => &[],
    }
}

fn choice_error(error: &ChoiceError, names: &[String]) -> FieldError {
    match error {
        ChoiceError::NotAllowed { wanted, name, reason, hint, .. } => {
            let pointer = name.map_or_else(|| format!("/approvers/{wanted}"), |name| format!("/approvers/{wanted}/names/{name}"));
            let why = reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
            let hint = hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
            let detail = format!("this address may not approve{why}; choose one of `allowed`{hint}");
            FieldError::new(pointer, "approver-not-allowed", detail)
        }
        ChoiceError::NoApprover { name, .. } => {
            let which = names.get(*name).map_or("", String::as_str);
            FieldError::new(
                format!("/names/{name}"),
                "no-approver",
                format!("no approver was chosen for {which}; choose one of `allowed`"),
            )
        }
        ChoiceError::EntryListed { name } => {
            let which = names.get(*name).map_or("", String::as_str);
            let detail = format!("WHOIS lists this address for {which}: choose it as any other");
            FieldError::new("/approvers/0/email", "manual-entry-not-needed", detail)
        }
        ChoiceError::EntryNotFound { name } => {
            let which = names.get(*name).map_or("", String::as_str);
            let detail = format!("WHOIS answers for {which}, and this address is no contact in it");
            FieldError::new("/approvers/0/email", "address-not-in-whois", detail)
        }
        ChoiceError::TooFew { name, quorum, .. } => {
            let which = names.get(*name).map_or("", String::as_str);
            let detail = format!("{quorum} people must approve {which}; choose as many of `allowed`");
            FieldError::new(format!("/names/{name}"), "too-few-approvers", detail)
        }
        ChoiceError::TooManyMails => FieldError::new(
            "/approvers",
            "too-many",
            format!("the order would send more than {MAILS_MAX} mails; choose fewer approvers or split it"),
        ),
        ChoiceError::Unavailable { wanted, source } => {
            FieldError::new(format!("/approvers/{wanted}"), "source-unavailable", format!("{} did not answer", source.as_str()))
        }
    }
}
