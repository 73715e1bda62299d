//! Amends an order: what was ordered changes, so that whoever approves must be asked again. Another order comes in its place, and the first is
//! cancelled, both at once. The new one rests on no approval: none was given for what it says.

use super::cancel::Cancellation;
use super::place_order::{Amends, NewOrder, PlaceError, place_order};
use super::show_order::{OrderRecord, show_order};
use super::{App, Cause, notify};
use crate::app::ask::Question;
use crate::dcv::email::EmailAddress;
use crate::dcv::id::OrderId;
use crate::dcv::name::CertificateName;
use crate::dcv::order::{Choice, Chooser, LinkState, OrderState, ValidationState, Wanted, reference};
use crate::dcv::profile::{Addresses, Compliance, SelectedBy};
use crate::store::{StoreError, ValidationRow};

/// What is ordered from now on; everything else stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amendment {
    /// The names.
    pub names: Vec<CertificateName>,
    /// The applicant's name.
    pub organization: Option<String>,
    /// The certificate's product.
    pub product: Option<String>,
}

/// How often an order may be amended.
const CHAIN_MAX: usize = 10;

/// Why an order was not amended.
#[derive(Debug, thiserror::Error)]
pub enum AmendError {
    /// There is no such order.
    #[error("there is no such order")]
    Missing,
    /// It has ended.
    #[error("the order has ended: only the ordering system can order anew")]
    Ended,
    /// Nothing would change.
    #[error("nothing of the order would change")]
    Unchanged,
    /// None of its names would stay.
    #[error("none of the order's names would stay: cancel it, and have another placed")]
    Another,
    /// This name was refused.
    #[error("{0} was refused: it cannot be put to the vote again by an amendment")]
    Refused(String),
    /// It was amended as often as one may be.
    #[error("the order was amended {CHAIN_MAX} times: cancel it, and have another placed")]
    TooOften,
    /// It waits for a contact that somebody entered.
    #[error("the order waits for a contact that was entered with it: cancel it, and have another placed")]
    Entered,
    /// It renews a certificate, and is watched for that.
    #[error("the order renews a certificate: cancel it, and have another placed")]
    Renews,
    /// The other order cannot be placed.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

impl From<StoreError> for AmendError {
    fn from(error: StoreError) -> Self {
        Self::Place(error.into())
    }
}

/// Places an order in the place of one that is open; `why` is told with the end of the first. Whoever is asked for a name now is asked for it
/// again, at the same ADN; every other name awaits an approver, where the service does not choose by itself.
///
/// # Errors
/// [`AmendError`]; then everything stays as it was.
pub async fn amend(app: &App, id: OrderId, told: Amendment, why: Cancellation, cause: &Cause) -> Result<OrderId, AmendError> {
    let record = show_order(app, id, None).await?.ok_or(AmendError::Missing)?;
    let order = &record.order;
    if order.state != OrderState::Pending.as_str() {
        return Err(AmendError::Ended);
    }
    let mut facts = order.facts()?;
    let names: Vec<String> = told.names.iter().map(ToString::to_string).collect();
    let kept = |one: &&ValidationRow| names.contains(&one.name);
    if let Some(refused) = record.validations.iter().filter(kept).find(|one| one.state == ValidationState::Rejected.as_str()) {
        return Err(AmendError::Refused(refused.name.clone()));
    }
    let mut earlier = facts.amends.clone();
    for _ in 0..CHAIN_MAX {
        let Some(before) = earlier.as_deref().and_then(|id| OrderId::parse(id).ok()) else { break };
        let Some(before) = show_order(app, before, None).await? else { break };
        if let Some(refused) = before.validations.iter().filter(kept).find(|one| one.state == ValidationState::Rejected.as_str())
        {
            return Err(AmendError::Refused(refused.name.clone()));
        }
        earlier = before.order.facts()?.amends;
    }
    if earlier.is_some() {
        return Err(AmendError::TooOften);
    }
    let staying = record.validations.iter().filter(kept).count();
    if staying == 0 {
        return Err(AmendError::Another);
    }
    let same = names.len() == staying && staying == record.validations.len();
    if same && facts.organization == told.organization && facts.product == told.product {
        return Err(AmendError::Unchanged);
    }
    for one in record.validations.iter().filter(|one| one.state == ValidationState::AwaitingApprover.as_str()) {
        if one.entry()?.is_some() {
            return Err(AmendError::Entered);
        }
    }
    if facts.renews().is_some() || app.store.is_renewal(id).await? {
        return Err(AmendError::Renews);
    }
    let profile = app.profiles.get(Some(&order.profile_id)).cloned().ok_or(PlaceError::NotInForce)?;
    if profile.profile.compliance == Compliance::Enforce && !profile.profile.is_in_force(app.now()) {
        return Err(PlaceError::NotInForce.into());
    }
    (facts.organization, facts.product, facts.amends) = (told.organization, told.product, Some(id.to_string()));
    let new = NewOrder {
        client: order.client.clone(),
        actor: cause.actor.clone(),
        scheduled: None,
        amends: Some(Amends { order: id, last_seq: order.last_seq, why }),
        order_ref: reference::amended(&order.order_ref),
        question: Question {
            choice: last_choice(&record, &names, &profile.profile.addresses),
            profile,
            names: told.names,
            locale: notify::locale(order),
            facts,
            lists: app.lists(),
            previous: None,
            vouched: None,
        },
        test: order.test == 1,
        request: cause.request.clone(),
    };
    Ok(place_order(app, new).await?.order.id()?)
}

/// Who is asked again: whoever the service chooses, else whoever is asked now, for the same name at the same ADN.
fn last_choice(record: &OrderRecord, names: &[String], addresses: &Addresses) -> Choice {
    let choice = Choice::Unsaid.under(addresses, Chooser::WithOrder).unwrap_or(Choice::Later);
    if choice.asks_whoever_is_found() || addresses.selected_by == SelectedBy::Operator {
        return choice;
    }
    if record.order.asks_all == 1 {
        return Choice::All;
    }
    let mut wanted: Vec<Wanted> = Vec::new();
    for mail in &record.mails {
        // Whoever was replaced stays so.
        let Some(email) = EmailAddress::parse(&mail.recipient).ok().filter(|_| mail.link().is_ok_and(LinkState::is_open)) else {
            continue;
        };
        for asked in record.asked_by(&mail.id) {
            let Some(at) = names.iter().position(|name| *name == asked.name) else { continue };
            match wanted.iter_mut().find(|known| known.email == email && known.adn.as_deref() == Some(&mail.adn)) {
                Some(known) => known.names.get_or_insert_default().push(at),
                None => wanted.push(Wanted { email: email.clone(), adn: Some(mail.adn.clone()), names: Some(vec![at]) }),
            }
        }
    }
    Choice::Partly(wanted)
}
