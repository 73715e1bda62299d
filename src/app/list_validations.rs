//! Lists the live approvals that a name may rest on.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{App, reuse};
use crate::dcv::contact::Source;
use crate::dcv::coverage::{Proven, proven};
use crate::dcv::event::EXTERNAL_MPIC;
use crate::dcv::id::OrderId;
use crate::dcv::method::{self, Method, ReuseRow, Rule};
use crate::dcv::name::CertificateName;
use crate::dcv::profile::Corroboration;
use crate::dcv::timestamp::Timestamp;
use crate::store::{LiveRow, StoreError};

/// An approval as the API tells it.
#[derive(Debug, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the API's description names each member")]
pub struct ApprovalView {
    pub name: String,
    pub adn: String,
    pub scope: String,
    #[schema(value_type = Object)]
    pub proves: Proven,
    #[schema(value_type = String)]
    pub method: Method,
    #[schema(value_type = String)]
    pub source: Source,
    pub approver: String,
    pub signer: Option<String>,
    pub organization: Option<String>,
    #[schema(value_type = String)]
    pub order_id: OrderId,
    pub order_ref: String,
    #[schema(value_type = String, format = DateTime)]
    pub initiated_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub approved_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub reusable_until: Option<Timestamp>,
    #[schema(value_type = Object)]
    pub rule: Rule,
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<ReuseRow>,
    /// "external": the certificate authority's own perspectives corroborate the approver's address before issuance.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub mpic: Option<&'static str>,
    /// Then: the name that DNS was asked for the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_name: Option<String>,
}

/// The approvals of a client's orders that cover a name and may still be reused, those that last longest first.
///
/// # Errors
/// [`StoreError`] when the database fails or a row does not fit the model.
pub async fn list_validations(app: &App, client: &str, name: &CertificateName) -> Result<Vec<ApprovalView>, StoreError> {
    let (now, text) = (app.now(), name.to_string());
    let adns: Vec<String> = name.fqdn().authorization_domains().iter().map(ToString::to_string).collect();
    let (mut views, mut asked) = (Vec::new(), HashMap::new());
    for row in app.store.live_approvals(client, &adns, std::slice::from_ref(&text), now).await? {
        let facts = reuse::facts(&row)?;
        let Some(approval) = reuse::approval(&row, &facts)? else { continue };
        let proves = proven(approval.scope, approval.adn, &[approval.name]);
        if proves.this_order_only || !proves.covers(&text) {
            continue;
        }
        let id = row.validation.order_id.as_slice().try_into();
        let order_id = id.map_err(|_| StoreError::inconsistent("validations", "order_id", &row.validation.id))?;
        let method = approval.source.method();
        let external = approval.source.is_dns()
            && app.profile_by(&row.profile_id, &row.profile_hash).await?.profile.corroboration == Corroboration::External;
        let asked_name = if external { asked_name(app, &row, &mut asked).await? } else { None };
        views.push(ApprovalView {
            name: approval.name.to_owned(),
            adn: approval.adn.to_owned(),
            scope: approval.scope.as_str().to_owned(),
            proves,
            method,
            source: approval.source,
            approver: row.recipient.clone(),
            signer: row.validation.signer.clone(),
            organization: facts.organization.clone(),
            order_id: OrderId::from_bytes(order_id),
            order_ref: row.order_ref.clone(),
            initiated_at: approval.initiated_at,
            approved_at: row.validation.ended_at.map(Timestamp::from_unix_micros),
            reusable_until: row.validation.reusable_until.map(Timestamp::from_unix_micros),
            rule: method::rule(method, now),
            rows: method::reuse_rows(method, approval.initiated_at),
            mpic: external.then_some(EXTERNAL_MPIC),
            asked_name,
        });
    }
    Ok(views)
}

/// The name that DNS was asked for an approver's address; each look-up is read once, since many approvals rest on one.
async fn asked_name(
    app: &App,
    row: &LiveRow,
    known: &mut HashMap<Vec<u8>, Option<String>>,
) -> Result<Option<String>, StoreError> {
    let Some(id) = &row.lookup_id else { return Ok(None) };
    if let Some(name) = known.get(id) {
        return Ok(name.clone());
    }
    let name = app.store.lookup(id).await?.and_then(|lookup| lookup.asked_name().map(str::to_owned));
    known.insert(id.clone(), name.clone());
    Ok(name)
}
