//! An operator chooses for names that await an approver: one that is listed, or what becomes of a contact that was entered.

use super::change_approver::{ChangeError, change_to};
use super::show_order::show_order;
use super::{App, Cause};
use crate::dcv::contact::entry::Entry;
use crate::dcv::email::EmailAddress;
use crate::dcv::id::OrderId;
use crate::dcv::name::CertificateName;
use crate::dcv::order::{Choice, Chooser, Wanted};
use crate::store::StoreError;

/// What an operator chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorsChoice {
    /// One of those listed.
    Listed(EmailAddress),
    /// The entered contact: it stands in the WHOIS answer as the domain's own.
    Entered,
    /// The one who was named beside it.
    Fallback,
}

/// Why nobody was asked.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// No name of such an order awaits this.
    #[error("no name of the order awaits this choice")]
    Nothing,
    /// The profile's service chooses by itself.
    #[error(transparent)]
    NotSelectable(#[from] crate::dcv::order::NotSelectable),
    /// Nobody could be asked.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<StoreError> for ChooseError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

/// Asks whom an operator chose, for every name of the order that awaits it.
///
/// # Errors
/// [`ChooseError`]; then everything stays as it was.
pub async fn choose_approver(app: &App, id: OrderId, choice: &OperatorsChoice, actor: &str) -> Result<(), ChooseError> {
    let record = show_order(app, id, None).await?.ok_or(ChooseError::Nothing)?;
    let lists = app.lists();
    let (mut names, mut entry): (Vec<CertificateName>, Option<Entry>) = (Vec::new(), None);
    for row in record.validations.iter().filter(|row| row.state == "awaiting_approver") {
        let told = row.entry()?;
        let fits = match choice {
            OperatorsChoice::Listed(_) => true,
            OperatorsChoice::Entered => told.as_ref().is_some_and(|entry| entry.seen.is_some()),
            OperatorsChoice::Fallback => told.as_ref().is_some_and(|entry| entry.fallback.is_some()),
        };
        if let (true, Ok(name)) = (fits, CertificateName::parse(&row.name, &lists.suffixes)) {
            names.push(name);
            entry = entry.or(told);
        }
    }
    let (email, seen) = match (choice, entry) {
        (OperatorsChoice::Listed(email), _) => (email.clone(), None),
        (OperatorsChoice::Entered, Some(entry)) => (entry.email, entry.seen),
        (OperatorsChoice::Fallback, Some(Entry { fallback: Some(fallback), .. })) => (fallback, None),
        _ => return Err(ChooseError::Nothing),
    };
    if names.is_empty() {
        return Err(ChooseError::Nothing);
    }
    let vouched = match seen {
        None => None,
        Some(lookup) => {
            let lookup = app.store.lookup(lookup.as_bytes()).await?.ok_or(ChooseError::Nothing)?;
            Some((email.clone(), Box::new(lookup)))
        }
    };
    let these = Choice::These(vec![Wanted { email, adn: None, names: None }]);
    let profile = app.profile_of(&record.order).await?;
    let these = these.under(&profile.profile.addresses, Chooser::Operator)?;
    change_to(app, &record, names, these, vouched, &Cause::by(actor)).await?;
    Ok(())
}
