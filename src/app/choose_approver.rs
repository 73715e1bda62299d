//! An operator chooses for names that await an approver: one that is listed, or what becomes of a contact that was entered.

use super::ask::AskError;
use super::change_approver::{ChangeError, With, change_to, open_names};
use super::show_order::show_order;
use super::{App, Cause};
use crate::dcv::contact;
use crate::dcv::contact::entry::Entry;
use crate::dcv::email::EmailAddress;
use crate::dcv::id::{MailId, OrderId};
use crate::dcv::name::CertificateName;
use crate::dcv::order::{self, Choice, ChoiceError, Chooser, NotSelectable, ValidationState, Wanted};
use crate::store::{StoreError, ValidationRow};

/// What an operator chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorsChoice {
    /// Some of those listed: each name is asked of those who may approve it.
    Listed(Vec<EmailAddress>),
    /// The entered contact: it stands in the WHOIS answer as the domain's own.
    Entered,
    /// The one who was named beside it.
    Fallback,
}

/// Why nobody was asked.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// There is no such order.
    #[error("there is no such order")]
    Missing,
    /// No name of the order awaits this: somebody chose before, perhaps the same press twice.
    #[error("no name of the order awaits this choice")]
    Nothing,
    /// The profile's service chooses by itself.
    #[error(transparent)]
    NotSelectable(#[from] NotSelectable),
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
pub async fn choose_approver(app: &App, id: OrderId, choice: &OperatorsChoice, cause: &Cause) -> Result<(), ChooseError> {
    let record = show_order(app, id, None).await?.ok_or(ChooseError::Missing)?;
    let (profile, lists) = (app.profile_of(&record.order).await?, app.lists());
    let rules = &profile.profile;
    let lookups = app.store.order_lookups(id).await?;
    let (mut names, mut entry): (Vec<CertificateName>, Option<Entry>) = (Vec::new(), None);
    let mut waiting = 0;
    for row in record.validations.iter().filter(|row| row.state == "awaiting_approver") {
        let Ok(name) = CertificateName::parse(&row.name, &lists.suffixes) else { continue };
        waiting += 1;
        let told = row.entry()?;
        let fits = match choice {
            OperatorsChoice::Listed(emails) => {
                let allowed = order::allowed(&contact::list(name.fqdn(), rules, &lists.policy, &lookups, app.now()));
                let asked = emails.iter().filter(|email| allowed.contains(&email.to_string())).count();
                asked >= rules.decision.quorum as usize
            }
            OperatorsChoice::Entered => told.as_ref().is_some_and(|entry| entry.seen.is_some()),
            OperatorsChoice::Fallback => told.as_ref().is_some_and(|entry| entry.fallback.is_some()),
        };
        if fits {
            names.push(name);
            entry = entry.or(told);
        }
    }
    if waiting == 0 {
        return Err(ChooseError::Nothing);
    }
    let (emails, seen) = match (choice, entry) {
        (OperatorsChoice::Listed(emails), _) => (emails.clone(), None),
        (OperatorsChoice::Entered, Some(entry)) => (vec![entry.email], entry.seen),
        (OperatorsChoice::Fallback, Some(Entry { fallback: Some(fallback), .. })) => (vec![fallback], None),
        _ => return Err(ChooseError::Nothing),
    };
    if names.is_empty() {
        let allowed = Vec::new();
        let refused = ChoiceError::NotAllowed { wanted: 0, name: None, reason: None, hint: None, allowed };
        return Err(ChangeError::Ask(AskError::Choice(vec![refused])).into());
    }
    let vouched = match (seen, emails.first()) {
        (Some(lookup), Some(email)) => {
            let lookup = app.store.lookup(lookup.as_bytes()).await?.ok_or(ChooseError::Nothing)?;
            Some((email.clone(), Box::new(lookup)))
        }
        _ => None,
    };
    let these = emails.into_iter().map(|email| Wanted { email, adn: None, names: None }).collect();
    let these = Choice::These(these).under(&rules.addresses, Chooser::Operator)?;
    // Each name is asked of those who may approve it; whoever may approve none of these is asked nothing.
    let choice = match these {
        Choice::These(wanted) if vouched.is_none() => Choice::Partly(wanted),
        choice => choice,
    };
    change_to(app, &record, names, choice, With { vouched, replaces: None }, cause).await?;
    Ok(())
}

/// Whom an operator wants asked in place of those who were asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instead {
    /// Others, for every open name that they may approve.
    Others(Vec<EmailAddress>),
    /// The recipient of this mail once more, by a new link.
    Same(MailId),
}

/// Asks somebody else for names that were asked, or the same person by a new link; what was sent before is superseded.
///
/// # Errors
/// [`ChooseError`]; then everything stays as it was.
pub async fn ask_instead(app: &App, id: OrderId, instead: &Instead, cause: &Cause) -> Result<(), ChooseError> {
    let record = show_order(app, id, None).await?.ok_or(ChooseError::Missing)?;
    let profile = app.profile_of(&record.order).await?;
    let lists = app.lists();
    let (wanted, emails, adn) = match instead {
        Instead::Others(emails) => (Vec::new(), emails.clone(), None),
        Instead::Same(mail) => {
            let mail = record.mails.iter().find(|one| one.id[..] == mail.as_bytes()[..]).ok_or(ChooseError::Missing)?;
            let open = |one: &&&ValidationRow| one.state == ValidationState::Pending.as_str();
            let names: Vec<String> = record.asked_by(&mail.id).iter().filter(open).map(|one| one.name.clone()).collect();
            let email = EmailAddress::parse(&mail.recipient);
            let email = email.map_err(|_| StoreError::inconsistent("mails", "recipient", &mail.id))?;
            if names.is_empty() {
                return Err(ChooseError::Nothing);
            }
            // As they were asked: at another ADN an answer would prove something else.
            (names, vec![email], Some(mail.adn.clone()))
        }
    };
    let names: Vec<CertificateName> =
        open_names(&record, &wanted)?.iter().filter_map(|name| CertificateName::parse(name, &lists.suffixes).ok()).collect();
    let these: Vec<Wanted> = emails.into_iter().map(|email| Wanted { email, adn: adn.clone(), names: None }).collect();
    let choice = match instead {
        // Nobody is chosen anew.
        Instead::Same(_) => Choice::These(these),
        Instead::Others(_) => match Choice::These(these).under(&profile.profile.addresses, Chooser::Operator)? {
            Choice::These(these) => Choice::Partly(these),
            choice => choice,
        },
    };
    let replaces = match instead {
        Instead::Same(mail) => Some(*mail),
        Instead::Others(_) => None,
    };
    change_to(app, &record, names, choice, With { vouched: None, replaces }, cause).await?;
    Ok(())
}
