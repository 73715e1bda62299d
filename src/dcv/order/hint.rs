//! What an ordering system may have meant by an approver who is not listed.

use std::collections::BTreeSet;

use crate::dcv::contact::{Approver, Listing, Source};
use crate::dcv::email::EmailAddress;

/// Most letters that a local part may differ in to be taken for a slip of the keyboard.
const SLIP_MAX: usize = 2;

/// What may have been meant by an address that is not listed where it was asked for: the same at another ADN, else the nearest listed one at
/// the same domain, else the five.
pub(super) fn hint(listing: &Listing, asked: &EmailAddress) -> Option<String> {
    let (same, others): (Vec<&Approver>, Vec<&Approver>) =
        listing.approvers.iter().partition(|one| one.email.is_chosen_by(asked));
    if !same.is_empty() {
        let elsewhere: BTreeSet<&str> = same.iter().filter(|one| one.usable).map(|one| one.adn.as_str()).collect();
        let elsewhere: Vec<&str> = elsewhere.into_iter().collect();
        return (!elsewhere.is_empty()).then(|| format!("it may approve at {}", elsewhere.join(", ")));
    }
    let local = asked.local_part().to_ascii_lowercase();
    let usable = others.iter().filter(|one| one.usable && one.email.ascii_domain() == asked.ascii_domain());
    let nearest = usable
        .map(|one| (strsim::damerau_levenshtein(&one.email.local_part().to_ascii_lowercase(), &local), one))
        .filter(|(slips, _)| *slips <= SLIP_MAX)
        .min_by_key(|(slips, _)| *slips);
    if let Some((_, one)) = nearest {
        return Some(format!("did you mean {}?", one.email));
    }
    let constructed =
        listing.approvers.iter().any(|one| one.source == Source::Constructed && one.adn.as_str() == asked.ascii_domain());
    constructed.then(|| {
        format!(
            "`{}` is none of the five local parts that can be constructed: admin, administrator, webmaster, hostmaster, postmaster",
            asked.local_part()
        )
    })
}
