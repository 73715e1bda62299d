//! Puts together all that an order rests on: its rules, look-ups, mails, answers, timeline and attempts.

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::App;
use super::show_order::{EventView, OrderView, show_order, timeline};
use crate::dcv::contact::Contact;
use crate::dcv::evidence::{Dnssec, Exchange, Lookup};
use crate::dcv::id::{LookupId, MailId, OrderId, ReturnedId};
use crate::dcv::method::{self, BR_VERSION, Method, Quorum, Rule};
use crate::dcv::timestamp::Timestamp;
use crate::store::{AnswerRow, AttemptRow, MailRow, ReturnedRow, StoreError, ViewRow};

/// The bundle. No link and no Random Value is in it.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "each member is what its type says")]
pub struct Evidence {
    pub order: OrderView,
    #[schema(value_type = String)]
    pub br_version: &'static str,
    pub profile: ProfileEvidence,
    pub lookups: Vec<LookupEvidence>,
    pub mails: Vec<MailEvidence>,
    /// Who opened the links.
    pub views: Vec<ViewEvidence>,
    pub answers: Vec<AnswerEvidence>,
    pub events: Vec<EventView>,
    pub attempts: Vec<AttemptEvidence>,
    pub returned: Vec<ReturnedEvidence>,
}

/// One message that came back.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the table's columns document each")]
pub struct ReturnedEvidence {
    #[schema(value_type = String)]
    pub id: ReturnedId,
    #[schema(value_type = String)]
    pub mail: MailId,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    pub kind: String,
    #[schema(value_type = Object)]
    pub findings: Box<RawValue>,
    pub raw: String,
}

/// The rules the order was placed under, whole.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "each member is the column of its name")]
pub struct ProfileEvidence {
    pub id: String,
    pub sha256: String,
    #[schema(value_type = Object)]
    pub values: Box<RawValue>,
}

/// One look-up with its raw answers.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "dcv::evidence::Lookup documents each")]
pub struct LookupEvidence {
    #[schema(value_type = String)]
    pub id: LookupId,
    #[schema(value_type = String)]
    pub source: &'static str,
    pub adn: String,
    #[schema(value_type = String)]
    pub status: &'static str,
    pub server: Option<String>,
    #[schema(value_type = Option<String>)]
    pub dnssec: Option<Dnssec>,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub valid_until: Option<Timestamp>,
    pub perspective: String,
    #[schema(value_type = Vec<Object>)]
    pub contacts: Vec<Contact>,
    pub reasons: Vec<String>,
    #[schema(value_type = Vec<Object>)]
    pub exchanges: Vec<Exchange>,
}

/// What was sent, by its hash.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the table's columns document each")]
pub struct MailEvidence {
    #[schema(value_type = String)]
    pub id: MailId,
    pub message_id: String,
    pub content_sha256: String,
    pub lookup: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub looked_up_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub initiated_at: Timestamp,
    #[schema(value_type = String)]
    pub method: Method,
    #[schema(value_type = String)]
    pub ballot: &'static str,
    #[schema(value_type = Object)]
    pub rule: Rule,
    #[schema(value_type = Option<Object>)]
    pub quorum: Option<Quorum>,
}

/// One agent at one address that opened a link's page.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the table's columns document each")]
pub struct ViewEvidence {
    #[schema(value_type = Option<String>)]
    pub mail: Option<MailId>,
    #[schema(value_type = String, format = DateTime)]
    pub first_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub last_at: Timestamp,
    pub times: i64,
    pub peer: String,
    pub user_agent: String,
    pub likely_scanner: bool,
}

/// One press of a button.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the table's columns document each")]
pub struct AnswerEvidence {
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    pub answer: String,
    pub scope: Option<String>,
    pub signer: Option<String>,
    pub reason: Option<String>,
    pub peer: String,
    pub user_agent: String,
    pub decided: bool,
}

/// One try of a mail or webhook.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the table's columns document each")]
pub struct AttemptEvidence {
    pub kind: String,
    pub to: String,
    pub number: i64,
    #[schema(value_type = String, format = DateTime)]
    pub ended_at: Timestamp,
    pub outcome: String,
    pub detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dialogue: Vec<String>,
}

/// Puts an order's evidence together; `None` when there is no such order of this ordering system, or of any.
///
/// # Errors
/// [`StoreError`] when the database fails or a row does not fit the model.
pub async fn show_evidence(app: &App, id: OrderId, client: Option<&str>) -> Result<Option<Evidence>, StoreError> {
    let Some(record) = show_order(app, id, client).await? else { return Ok(None) };
    let profile = app.profile_of(&record.order).await?;
    let values = RawValue::from_string(profile.body.clone())
        .map_err(|_| StoreError::inconsistent("profile_versions", "body", &profile.hash))?;
    Ok(Some(Evidence {
        order: record.view()?,
        br_version: BR_VERSION,
        profile: ProfileEvidence { id: profile.profile.id.clone(), sha256: HEXLOWER.encode(&profile.hash), values },
        lookups: app.store.order_lookups(id).await?.into_iter().map(lookup).collect(),
        mails: record.mails.iter().map(mail).collect::<Result<_, _>>()?,
        views: app.store.views(id).await?.into_iter().map(view).collect(),
        answers: app.store.answers(id).await?.into_iter().map(answer).collect(),
        events: timeline(app, id).await?,
        attempts: app.store.attempts(id).await?.into_iter().map(attempt).collect(),
        returned: app.store.returned_mails(id).await?.iter().map(returned).collect::<Result<_, _>>()?,
    }))
}

fn lookup(lookup: Lookup) -> LookupEvidence {
    LookupEvidence {
        id: lookup.id,
        source: lookup.source.as_str(),
        adn: lookup.adn,
        status: lookup.status.as_str(),
        server: lookup.server,
        dnssec: lookup.dnssec,
        at: lookup.at,
        valid_until: lookup.valid_until,
        perspective: lookup.perspective,
        contacts: lookup.contacts,
        reasons: lookup.reasons,
        exchanges: lookup.exchanges,
    }
}

fn mail(row: &MailRow) -> Result<MailEvidence, StoreError> {
    let lookup = row.lookup_id.as_ref().and_then(|id| <[u8; 16]>::try_from(id.as_slice()).ok()).map(LookupId::from_bytes);
    let (method, initiated) = (row.source()?.method(), row.initiated_at());
    Ok(MailEvidence {
        id: row.id()?,
        message_id: row.message_id.clone(),
        content_sha256: HEXLOWER.encode(&row.content_hash),
        lookup: lookup.map(|id| id.to_string()),
        looked_up_at: Timestamp::from_unix_micros(row.looked_up_at),
        initiated_at: row.initiated_at(),
        method,
        ballot: method.ballot(),
        rule: method::rule(method, initiated),
        quorum: method::quorum(method, initiated),
    })
}

fn returned(row: &ReturnedRow) -> Result<ReturnedEvidence, StoreError> {
    let bad = |column| StoreError::inconsistent("returned_mails", column, &row.id);
    let id = |bytes: &[u8], column| <[u8; 16]>::try_from(bytes).map_err(|_| bad(column));
    Ok(ReturnedEvidence {
        id: ReturnedId::from_bytes(id(&row.id, "id")?),
        mail: MailId::from_bytes(id(row.mail_id.as_deref().unwrap_or_default(), "mail_id")?),
        at: Timestamp::from_unix_micros(row.at),
        kind: row.kind.clone(),
        findings: RawValue::from_string(row.findings.clone()).map_err(|_| bad("findings"))?,
        raw: String::from_utf8_lossy(&row.raw).into_owned(),
    })
}

fn view(row: ViewRow) -> ViewEvidence {
    ViewEvidence {
        mail: <[u8; 16]>::try_from(row.mail_id.as_slice()).ok().map(MailId::from_bytes),
        first_at: Timestamp::from_unix_micros(row.first_at),
        last_at: Timestamp::from_unix_micros(row.last_at),
        times: row.times,
        peer: row.peer,
        user_agent: row.user_agent,
        likely_scanner: row.scanner == 1,
    }
}

fn answer(row: AnswerRow) -> AnswerEvidence {
    AnswerEvidence {
        at: Timestamp::from_unix_micros(row.at),
        answer: row.answer,
        scope: row.scope,
        signer: row.signer,
        reason: row.reason,
        peer: row.peer,
        user_agent: row.user_agent,
        decided: row.won == 1,
    }
}

fn attempt(row: AttemptRow) -> AttemptEvidence {
    AttemptEvidence {
        kind: row.kind,
        to: row.endpoint,
        number: row.number,
        ended_at: Timestamp::from_unix_micros(row.ended_at),
        outcome: row.outcome,
        detail: row.detail,
        dialogue: row.dialogue.iter().flat_map(|dialogue| dialogue.lines()).map(str::to_owned).collect(),
    }
}
