//! Amends an order: what was ordered changes, so that whoever approves must be asked again. Another order comes in its place, and the first is
//! cancelled, both at once.

use super::place_order::{NewOrder, PlaceError, place_order};
use super::show_order::{OrderRecord, show_order};
use super::{App, Cause, notify};
use crate::app::ask::Question;
use crate::dcv::email::EmailAddress;
use crate::dcv::id::OrderId;
use crate::dcv::name::CertificateName;
use crate::dcv::order::{Choice, Chooser, OrderState, Wanted, reference};
use crate::dcv::profile::{Addresses, Compliance, SelectedBy};
use crate::store::StoreError;

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
    /// The other order cannot be placed.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

impl From<StoreError> for AmendError {
    fn from(error: StoreError) -> Self {
        Self::Place(error.into())
    }
}

/// Places an order in the place of one that is open. Who was asked is asked again, where they may approve; somebody is chosen for the other
/// names.
///
/// # Errors
/// [`AmendError`]; then everything stays as it was.
pub async fn amend(app: &App, id: OrderId, told: Amendment, cause: &Cause) -> Result<OrderId, AmendError> {
    let record = show_order(app, id, None).await?.ok_or(AmendError::Missing)?;
    let order = &record.order;
    if order.state != OrderState::Pending.as_str() {
        return Err(AmendError::Ended);
    }
    let mut facts = order.facts()?;
    let names: Vec<String> = told.names.iter().map(ToString::to_string).collect();
    let same = names.len() == record.validations.len() && record.validations.iter().all(|one| names.contains(&one.name));
    if same && facts.organization == told.organization && facts.product == told.product {
        return Err(AmendError::Unchanged);
    }
    let profile = app.profiles.get(Some(&order.profile_id)).cloned().ok_or(PlaceError::NotInForce)?;
    if profile.profile.compliance == Compliance::Enforce && !profile.profile.is_in_force(app.now()) {
        return Err(PlaceError::NotInForce.into());
    }
    (facts.organization, facts.product) = (told.organization, told.product);
    facts.previous_order_id = Some(id.to_string());
    let new = NewOrder {
        client: order.client.clone(),
        actor: cause.actor.clone(),
        scheduled: None,
        amends: Some((id, cause.reason.clone())),
        order_ref: reference::amended(&order.order_ref),
        question: Question {
            choice: last_choice(&record, &profile.profile.addresses),
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

/// Who is asked again: whoever the service chooses, else whoever was asked.
fn last_choice(record: &OrderRecord, addresses: &Addresses) -> Choice {
    let choice = Choice::Unsaid.under(addresses, Chooser::WithOrder).unwrap_or(Choice::Later);
    if choice.asks_whoever_is_found() || addresses.selected_by == SelectedBy::Operator {
        return choice;
    }
    if record.order.asks_all == 1 {
        return Choice::All;
    }
    let mut emails: Vec<EmailAddress> = Vec::new();
    for mail in &record.mails {
        if let Ok(email) = EmailAddress::parse(&mail.recipient)
            && !emails.contains(&email)
        {
            emails.push(email);
        }
    }
    Choice::Partly(emails.into_iter().map(|email| Wanted { email, adn: None, names: None }).collect())
}
