//! Finds the approvals that a new order may rest on.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::place_order::NewOrder;
use super::{App, OrderFacts};
use crate::dcv::contact::{self, Source};
use crate::dcv::coverage;
use crate::dcv::decision::Scope;
use crate::dcv::event::{Basis, Event, EventType};
use crate::dcv::evidence::Lookup;
use crate::dcv::id::OrderId;
use crate::dcv::name::Fqdn;
use crate::dcv::order::{OrderKind, ValidationState};
use crate::dcv::policy::Policy;
use crate::dcv::profile::{AccessPin, Asked, Confirm, Corroboration, DecisionPolicy, Profile, ReuseMode, Revalidate};
use crate::dcv::reuse::{Approval, may_reuse};
use crate::dcv::timestamp::Timestamp;
use crate::store::{LiveRow, StoreError, ValidationRow};

/// An approval that a name rests on.
#[derive(Debug, Clone)]
pub(super) struct Reused {
    /// The approval.
    row: LiveRow,
    /// The name that DNS was asked for its approver's address.
    asked_name: Option<String>,
}

/// The approvals that an order's names may rest on, by the names' places; none under profiles that ask each time.
///
/// # Errors
/// [`StoreError`] when the database fails or a row does not fit the model.
pub(super) async fn find(app: &App, new: &NewOrder, now: Timestamp) -> Result<BTreeMap<usize, Reused>, StoreError> {
    let profile = &new.question.profile.profile;
    // An approval by a client under test proves nothing, and needs none.
    let asks_anew = new.question.facts.kind == Some(OrderKind::Renewal) && profile.renewal.revalidate == Revalidate::Always;
    // No approval was given for what an operator says in the ordering system's place.
    if profile.reuse.mode != ReuseMode::PerDomain || new.test || asks_anew || new.amends.is_some() {
        return Ok(BTreeMap::new());
    }
    let mut adns: Vec<String> =
        new.question.names.iter().flat_map(|name| name.fqdn().authorization_domains()).map(|adn| adn.to_string()).collect();
    adns.sort_unstable();
    adns.dedup();
    let names: Vec<String> = new.question.names.iter().map(ToString::to_string).collect();
    let live = app.store.live_approvals(&new.client, &adns, &names, now).await?;
    let mut found = BTreeMap::new();
    for row in live {
        let facts = facts(&row)?;
        let Some(approval) = approval(&row, &facts)? else { continue };
        // Another authority's approval is none of this one's.
        let earlier = &app.profile_by(&row.profile_id, &row.profile_hash).await?.profile;
        let same_authority = earlier.ca == profile.ca && (row.profile_id == profile.id || !profile.ca.is_empty());
        if !same_authority || !is_as_strict(earlier, profile) {
            continue;
        }
        let mut lookup = None;
        for (at, name) in new.question.names.iter().enumerate() {
            // Those that last longest come first.
            let covers = !found.contains_key(&at)
                && may_reuse(&approval, &name.to_string(), new.question.facts.organization.as_deref(), profile, now);
            if !covers {
                continue;
            }
            if let (None, Some(id)) = (&lookup, &row.lookup_id) {
                lookup = app.store.lookup(id).await?;
            }
            if would_be_listed(&row, &approval, name.fqdn(), profile, &new.question.lists.policy, lookup.as_ref(), now) {
                let asked_name = lookup.as_ref().and_then(Lookup::asked_name).map(str::to_owned);
                found.insert(at, Reused { row: row.clone(), asked_name });
            }
        }
    }
    Ok(found)
}

/// Whether an approval under the earlier profile took as much as one under this would.
fn is_as_strict(earlier: &Profile, profile: &Profile) -> bool {
    let pin = profile.page.access_pin == AccessPin::Off || earlier.page.access_pin == AccessPin::Required;
    let confirm = profile.page.confirm == Confirm::Check || earlier.page.confirm == profile.page.confirm;
    let signer = profile.page.signer != Asked::Required || earlier.page.signer == Asked::Required;
    let authority = !profile.page.authority_check || earlier.page.authority_check;
    let vetoes = profile.decision.policy == DecisionPolicy::FirstWins || earlier.decision.policy == profile.decision.policy;
    earlier.decision.quorum >= profile.decision.quorum && pin && confirm && signer && authority && vetoes
}

/// Whether the approver's address, as it was found then, could be chosen for the name under the rules and the policy of now.
fn would_be_listed(
    row: &LiveRow,
    approval: &Approval<'_>,
    name: &Fqdn,
    profile: &Profile,
    policy: &Policy,
    lookup: Option<&Lookup>,
    now: Timestamp,
) -> bool {
    // That source alone, so that no other one's standing is taken for its.
    let mut rules = profile.clone();
    rules.addresses.sources = vec![approval.source];
    let listing = contact::list(name, &rules, policy, lookup.map(std::slice::from_ref).unwrap_or_default(), now);
    listing.approvers.iter().any(|one| one.usable && one.adn.as_str() == approval.adn && one.email.to_string() == row.recipient)
}

/// What the order told that an approval was given in.
pub(super) fn facts(row: &LiveRow) -> Result<OrderFacts, StoreError> {
    serde_json::from_str(&row.facts).map_err(|_| StoreError::inconsistent("orders", "facts", &row.validation.order_id))
}

/// An approval as the rules see it; `None` where its scope is not one that reaches beyond its order.
pub(super) fn approval<'a>(row: &'a LiveRow, facts: &'a OrderFacts) -> Result<Option<Approval<'a>>, StoreError> {
    let inconsistent = |column| StoreError::inconsistent("validations", column, &row.validation.id);
    let (Some(adn), Some(scope)) = (&row.validation.adn, &row.validation.scope) else { return Ok(None) };
    Ok(Some(Approval {
        name: &row.validation.name,
        adn,
        scope: Scope::from_text(scope).ok_or_else(|| inconsistent("scope"))?,
        source: Source::from_text(&row.source).ok_or_else(|| inconsistent("source"))?,
        applicant: facts.organization.as_deref(),
        initiated_at: row.initiated_at(),
    }))
}

/// Until when an approval may be reused under a profile.
fn until(row: &LiveRow, profile: &Profile) -> Option<i64> {
    let own = profile.reuse.max_days.map(|days| row.initiated_at().plus_days(days).unix_micros());
    row.validation.reusable_until.map(|until| own.map_or(until, |own| own.min(until)))
}

/// A name that rests on an earlier approval.
pub(super) fn rest_on(reused: &Reused, validation: ValidationRow, profile: &Profile, now: Timestamp) -> ValidationRow {
    let row = &reused.row;
    let earlier = &row.validation;
    let order = <[u8; 16]>::try_from(earlier.order_id.as_slice()).map(OrderId::from_bytes).ok();
    ValidationRow {
        state: ValidationState::Approved.as_str().to_owned(),
        answer: earlier.answer.clone(),
        method: earlier.method.clone(),
        scope: earlier.scope.clone(),
        signer: earlier.signer.clone(),
        adn: earlier.adn.clone(),
        reused_id: Some(earlier.id.clone()),
        ended_at: Some(now.unix_micros()),
        reusable_until: until(row, profile),
        reused_from: Some(
            json!({
                "order_id": order,
                "order_ref": row.order_ref,
                "name": earlier.name,
                "approved_at": earlier.ended_at.map(Timestamp::from_unix_micros),
            })
            .to_string(),
        ),
        ..validation
    }
}

/// What tells that a name rests on an earlier approval.
pub(super) fn event(reused: &Reused, validation: &ValidationRow, profile: &Profile, now: Timestamp) -> Result<Event, StoreError> {
    let row = &reused.row;
    let inconsistent = |column| StoreError::inconsistent("validations", column, &row.validation.id);
    let adn = row.validation.adn.clone().ok_or_else(|| inconsistent("adn"))?;
    let scope = row.validation.scope.as_deref().and_then(Scope::from_text).ok_or_else(|| inconsistent("scope"))?;
    let basis = Basis {
        adn: adn.clone(),
        approver: row.recipient.clone(),
        source: Source::from_text(&row.source).ok_or_else(|| inconsistent("source"))?,
        initiated_at: row.initiated_at(),
        looked_up_at: Timestamp::from_unix_micros(row.looked_up_at),
        compliance: profile.compliance,
        external_mpic: profile.corroboration == Corroboration::External,
        asked_name: reused.asked_name.clone(),
    };
    let mut data = basis.members(now);
    let reused_from: Value =
        validation.reused_from.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    for (key, value) in [
        ("name", json!(validation.name)),
        ("state", json!(ValidationState::Approved)),
        ("scope", json!(scope)),
        ("signer", json!(validation.signer)),
        ("reason", Value::Null),
        ("decided_at", json!(now)),
        ("approved_at", json!(row.validation.ended_at.map(Timestamp::from_unix_micros))),
        ("reusable_until", json!(validation.reusable_until.map(Timestamp::from_unix_micros))),
        ("proves", json!(coverage::proven(scope, &adn, &[row.validation.name.as_str()]))),
        ("reused_from", reused_from),
    ] {
        data.insert(key.to_owned(), value);
    }
    Ok(Event::new(EventType::ValidationApproved, now, "system", Value::Object(data)))
}
