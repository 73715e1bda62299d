//! The allow-list: holds orders to it, and changes it.

use std::collections::HashMap;

use serde_json::json;

use super::App;
use super::place_order::{NewOrder, PlaceError};
use crate::dcv::allowlist::{Entry, above};
use crate::dcv::email::EmailAddress;
use crate::dcv::order::{Choice, Wanted};
use crate::dcv::profile::{SelectedAt, SelectedBy};
use crate::store::{AllowRow, StoreError};

impl AllowRow {
    /// An entry of an ordering system, to be stored.
    #[must_use]
    pub fn new(client: &str, entry: &Entry, changed_at: i64, changed_by: &str) -> Self {
        Self {
            client: client.to_owned(),
            domain: entry.domain.to_string(),
            approver: entry.approver.as_ref().map(ToString::to_string),
            profiles: json!(entry.profiles).to_string(),
            note: entry.note.clone(),
            changed_at,
            changed_by: changed_by.to_owned(),
        }
    }

    /// The profiles it may be ordered under; none for all.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] when the column holds something else.
    pub fn profiles(&self) -> Result<Vec<String>, StoreError> {
        serde_json::from_str(&self.profiles)
            .map_err(|_| StoreError::inconsistent("allowlist", "profiles", self.domain.as_bytes()))
    }
}

/// Holds an order to its client's list where its profile says so, and lets the list choose the approvers of names for which the order
/// names nobody.
///
/// # Errors
/// [`PlaceError::NotAllowlisted`] with the places of the names that are not on it.
pub(super) async fn apply(app: &App, new: &mut NewOrder) -> Result<(), PlaceError> {
    let profile = &new.question.profile.profile;
    let required = profile.policy.require_domain_allowlist;
    let addresses = &profile.addresses;
    // Where the applicant's side chooses, and may with the order, its list speaks for it.
    let chooses = matches!(new.question.choice, Choice::Unsaid | Choice::Later)
        && addresses.selected_by == SelectedBy::Applicant
        && addresses.selected_at != SelectedAt::AfterLookup;
    if !required && !chooses {
        return Ok(());
    }
    let above: Vec<Vec<String>> = new.question.names.iter().map(|name| above(name.fqdn())).collect();
    let mut domains: Vec<String> = above.iter().flatten().cloned().collect();
    domains.sort_unstable();
    domains.dedup();
    let rows = app.store.allowed(&new.client, &domains).await?;
    let by_domain: HashMap<&str, &AllowRow> = rows.iter().map(|row| (row.domain.as_str(), row)).collect();
    let (mut strangers, mut wanted) = (Vec::new(), Vec::<Wanted>::new());
    for (at, domains) in above.iter().enumerate() {
        let mut entry = None;
        for domain in domains {
            if let Some(row) = by_domain.get(domain.as_str()) {
                let profiles = row.profiles()?;
                if profiles.is_empty() || profiles.contains(&profile.id) {
                    entry = Some(row);
                    break;
                }
            }
        }
        if required && entry.is_none() {
            strangers.push(at);
        }
        let approver = entry.and_then(|row| row.approver.as_deref()).and_then(|text| EmailAddress::parse(text).ok());
        let Some(email) = approver else { continue };
        match wanted.iter_mut().find(|one| one.email == email) {
            Some(one) => one.names.get_or_insert_default().push(at),
            None => wanted.push(Wanted { email, adn: None, names: Some(vec![at]) }),
        }
    }
    if !strangers.is_empty() {
        return Err(PlaceError::NotAllowlisted(strangers));
    }
    if chooses && !wanted.is_empty() {
        new.question.choice = match new.question.choice {
            Choice::Later => Choice::Partly(wanted),
            _ => Choice::These(wanted),
        };
    }
    Ok(())
}

/// Writes a domain's entry.
///
/// # Errors
/// [`StoreError`] when it cannot be written.
pub async fn put(app: &App, client: &str, entry: &Entry) -> Result<AllowRow, StoreError> {
    let row = AllowRow::new(client, entry, app.now().unix_micros(), &format!("client:{client}"));
    tracing::info!(client, domain = row.domain, "a domain was put on the allow-list");
    let stored = row.clone();
    app.store.write("put_allowed", move |tx| Box::pin(async move { tx.put_allowed(&stored).await })).await?;
    Ok(row)
}

/// Takes a domain from the list; `false` where it was not on it.
///
/// # Errors
/// [`StoreError`] when it cannot be written.
pub async fn remove(app: &App, client: &str, domain: &str) -> Result<bool, StoreError> {
    tracing::info!(client, domain, "a domain is taken from the allow-list");
    let (client, domain) = (client.to_owned(), domain.to_owned());
    app.store.write("drop_allowed", move |tx| Box::pin(async move { tx.drop_allowed(&client, &domain).await })).await
}
