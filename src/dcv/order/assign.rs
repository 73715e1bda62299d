//! Who is asked for what: the ordering system's choice, and the mails that it takes.

use std::collections::BTreeSet;

use crate::dcv::contact::entry::Entry;
use crate::dcv::contact::{Approver, Listing, Source};
use crate::dcv::email::EmailAddress;
use crate::dcv::profile::{Addresses, Dispatch, ManualEntry, SelectedAt, SelectedBy};

use super::MAILS_MAX;
use super::hint::hint;

/// An approver as the ordering system asks for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The mailbox.
    pub email: EmailAddress,
    /// At which ADN, where the caller says.
    pub adn: Option<String>,
    /// For which names, by their place in the order; `None` for every name it is allowed for.
    pub names: Option<Vec<usize>>,
}

/// Whom the ordering system wants asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Choice {
    /// Everyone who may.
    All,
    /// Nobody was named.
    Unsaid,
    /// These.
    These(Vec<Wanted>),
    /// Every registration contact whose role counts.
    AllOfRole,
    /// These where they may, and for every other name nobody yet.
    Partly(Vec<Wanted>),
    /// Nobody yet: the choice comes later.
    Later,
    /// A registration contact that the look-up may not find: nobody, until it was found.
    Entered(Entry),
}

/// Nobody may be named now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotSelectable {
    /// The profile's service chooses by itself.
    #[error("under this profile the service chooses the approvers itself; leave them out")]
    Service,
    /// An operator chooses.
    #[error("under this profile an operator chooses the approvers; leave them out")]
    Operator,
    /// What the look-up does not find cannot be told.
    #[error("under this profile no address can be entered: choose one of those listed")]
    Entry,
    /// The choice comes after the look-up.
    #[error("under this profile the approvers are chosen after the look-up: POST /v1/orders/{{id}}/approvers")]
    NotYet,
}

/// Who names approvers, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chooser {
    /// The ordering system, with the order.
    WithOrder,
    /// The ordering system, for an order that was placed.
    AfterOrder,
    /// An operator, for an order that was placed.
    Operator,
}

impl Choice {
    /// Whom to ask under a profile, when somebody asks for this.
    ///
    /// # Errors
    /// [`NotSelectable`] where it names somebody and may not.
    pub fn under(self, addresses: &Addresses, chooser: Chooser) -> Result<Self, NotSelectable> {
        let names_somebody = !matches!(self, Self::Unsaid | Self::AllOfRole | Self::Later | Self::Partly(_));
        if matches!(self, Self::Entered(_)) && addresses.manual_entry == ManualEntry::Never {
            return Err(NotSelectable::Entry);
        }
        match (addresses.selected_by, chooser) {
            (SelectedBy::System, _) if names_somebody => Err(NotSelectable::Service),
            (SelectedBy::System, _) => Ok(match addresses.dispatch {
                Dispatch::AllOfRole => Self::AllOfRole,
                Dispatch::Chosen | Dispatch::AllCandidates => Self::All,
            }),
            (SelectedBy::Operator, Chooser::WithOrder | Chooser::AfterOrder) if names_somebody => Err(NotSelectable::Operator),
            (SelectedBy::Operator, Chooser::WithOrder) => Ok(Self::Later),
            (SelectedBy::Applicant, Chooser::WithOrder) => match (addresses.selected_at, self) {
                (SelectedAt::AfterLookup, _) if names_somebody => Err(NotSelectable::NotYet),
                (SelectedAt::AfterLookup | SelectedAt::ApplicationData, Self::Unsaid) => Ok(Self::Later),
                (_, choice) => Ok(choice),
            },
            (SelectedBy::Operator | SelectedBy::Applicant, _) => Ok(self),
        }
    }

    /// Whether whoever is found is asked, without being named.
    #[must_use]
    pub const fn asks_whoever_is_found(&self) -> bool {
        matches!(self, Self::All | Self::AllOfRole)
    }
}

/// One mail to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedMail {
    /// To whom, for which ADN.
    pub approver: Approver,
    /// The names it asks for, by their place in the order.
    pub names: BTreeSet<usize>,
}

/// Who is asked for what.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Assignment {
    /// The mails to send: one per ADN and address.
    pub mails: Vec<PlannedMail>,
    /// Names for which nobody could be chosen.
    pub awaiting: Vec<usize>,
}

/// Why a choice cannot be followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChoiceError {
    /// The wanted approver at this place may approve none of the names asked for.
    NotAllowed {
        /// Its place among the wanted.
        wanted: usize,
        /// The place within its `names`, where one of several is at fault.
        name: Option<usize>,
        /// Why a listed address may not be used, as a stable code.
        reason: Option<String>,
        /// What the caller may have meant, in words.
        hint: Option<String>,
        /// Who may.
        allowed: Vec<String>,
    },
    /// Whether the wanted approver at this place may approve could not be found out.
    Unavailable {
        /// Its place among the wanted.
        wanted: usize,
        /// The source that did not answer.
        source: Source,
    },
    /// WHOIS lists the address that was entered for this name: it is chosen from the list.
    EntryListed {
        /// The name's place in the order.
        name: usize,
    },
    /// WHOIS answered for this name, and the address that was entered is no contact in it.
    EntryNotFound {
        /// The name's place in the order.
        name: usize,
    },
    /// The order would send more than [`MAILS_MAX`] mails.
    TooManyMails,
    /// This name was given fewer approvers than the profile demands.
    TooFew {
        /// Its place in the order.
        name: usize,
        /// How many people must approve it.
        quorum: u32,
        /// Who may.
        allowed: Vec<String>,
    },
    /// This name was left without an approver although some may be chosen.
    NoApprover {
        /// Its place in the order.
        name: usize,
        /// Who may.
        allowed: Vec<String>,
    },
}

/// The usable addresses of a listing, each once, in the order they are offered.
#[must_use]
pub fn allowed(listing: &Listing) -> Vec<String> {
    let mut seen = BTreeSet::new();
    listing
        .approvers
        .iter()
        .filter(|a| a.usable)
        .map(|a| a.email.to_string())
        .filter(|email| seen.insert(email.clone()))
        .collect()
}

/// Works out which mails an order takes. `listings` holds one listing for each name, in the same order.
///
/// A name without a chosen approver awaits one where nobody could have been chosen, and is an error where somebody could; so does, and
/// so is, a name with fewer of them than `quorum`. The names that are `settled` already, by their place, are asked of nobody.
///
/// # Errors
/// Every [`ChoiceError`] there is; then nothing is assigned.
pub fn assign(
    listings: &[Listing],
    choice: &Choice,
    settled: &BTreeSet<usize>,
    quorum: u32,
) -> Result<Assignment, Vec<ChoiceError>> {
    let mut assignment = Assignment::default();
    let mut errors = Vec::new();
    match choice {
        Choice::Unsaid | Choice::Later | Choice::Entered(_) => {}
        Choice::All | Choice::AllOfRole => {
            for (at, listing) in listings.iter().enumerate() {
                // A contact's mailbox may be one of the constructed ones as well, and stand under that.
                let has_role = |approver: &Approver| {
                    approver.role.is_some() || approver.also.iter().any(|one| one.usable && one.role.is_some())
                };
                let counts = |approver: &&Approver| approver.usable && (*choice == Choice::All || has_role(approver));
                for approver in listing.approvers.iter().filter(counts) {
                    // Each mailbox for itself: another's differs in a letter's case alone, and may be somebody else's.
                    if let Some(best) = best(listing, &approver.email, None).filter(|_| !settled.contains(&at)) {
                        add(&mut assignment, best, at);
                    }
                }
            }
        }
        Choice::These(wanted) | Choice::Partly(wanted) => {
            for (at, one) in wanted.iter().enumerate() {
                follow(listings, at, one, settled, &mut assignment, &mut errors);
            }
            if matches!(choice, Choice::Partly(_)) {
                // Whoever may not be asked is left out; of a source that did not answer nobody knows.
                errors.retain(|error| matches!(error, ChoiceError::Unavailable { .. }));
            }
        }
    }
    if assignment.mails.len() > MAILS_MAX {
        return Err(vec![ChoiceError::TooManyMails]);
    }
    for (at, listing) in listings.iter().enumerate() {
        if settled.contains(&at) || assignment.mails.iter().any(|mail| mail.names.contains(&at)) {
            continue;
        }
        let allowed = allowed(listing);
        // Where the service chooses by role and nobody has one, it is the operators' affair.
        if allowed.is_empty() || matches!(choice, Choice::AllOfRole | Choice::Partly(_) | Choice::Later | Choice::Entered(_)) {
            assignment.awaiting.push(at);
        } else if errors.iter().all(|error| matches!(error, ChoiceError::NoApprover { .. } | ChoiceError::Unavailable { .. })) {
            // Somebody who was chosen for every name may stand in a source that did not answer for this one.
            let unsure = match choice {
                Choice::These(wanted) => {
                    wanted.iter().enumerate().filter(|(_, one)| one.names.is_none()).find_map(|(wanted, one)| {
                        unanswered(listing, one).map(|source| ChoiceError::Unavailable { wanted, source })
                    })
                }
                _ => None,
            };
            let error = unsure.unwrap_or(ChoiceError::NoApprover { name: at, allowed });
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
    }
    if quorum > 1 {
        hold_to_quorum(&mut assignment, listings, choice, quorum, &mut errors);
    }
    if errors.is_empty() { Ok(assignment) } else { Err(errors) }
}

/// Sees to it that every name is asked of as many mailboxes as must approve it.
fn hold_to_quorum(
    assignment: &mut Assignment,
    listings: &[Listing],
    choice: &Choice,
    quorum: u32,
    errors: &mut Vec<ChoiceError>,
) {
    for (name, listing) in listings.iter().enumerate() {
        let asked: BTreeSet<String> = assignment
            .mails
            .iter()
            .filter(|mail| mail.names.contains(&name))
            .map(|mail| mail.approver.email.to_string().to_lowercase())
            .collect();
        if asked.is_empty() || asked.len() >= quorum as usize {
            continue;
        }
        if choice.asks_whoever_is_found() || matches!(choice, Choice::Partly(_)) {
            for mail in &mut assignment.mails {
                mail.names.remove(&name);
            }
            assignment.mails.retain(|mail| !mail.names.is_empty());
            assignment.awaiting.push(name);
        } else {
            errors.push(ChoiceError::TooFew { name, quorum, allowed: allowed(listing) });
        }
    }
    assignment.awaiting.sort_unstable();
}

/// Finds the names one wanted approver serves.
fn follow(
    listings: &[Listing],
    at: usize,
    wanted: &Wanted,
    settled: &BTreeSet<usize>,
    assignment: &mut Assignment,
    errors: &mut Vec<ChoiceError>,
) {
    let adn = wanted.adn.as_deref();
    let mut served = false;
    for (name, listing) in listings.iter().enumerate() {
        let place = wanted.names.as_ref().map(|names| names.iter().position(|&asked| asked == name));
        if place == Some(None) {
            continue;
        }
        if let Some(best) = best(listing, &wanted.email, adn) {
            if !settled.contains(&name) {
                add(assignment, best, name);
            }
            served = true;
        } else if let Some(Some(place)) = place {
            errors.push(why_not(listing, at, Some(place), wanted));
        }
    }
    if !served && wanted.names.is_none() {
        // The name whose sources failed says more than one whose sources answered.
        let unsure = listings.iter().find(|listing| unanswered(listing, wanted).is_some());
        if let Some(listing) = unsure.or_else(|| listings.first()) {
            errors.push(why_not(listing, at, None, wanted));
        }
    }
}

/// The source that did not answer and may hold what is wanted: one that could name somebody at an ADN that would do.
fn unanswered(listing: &Listing, wanted: &Wanted) -> Option<Source> {
    let would_do = |adn: &String| wanted.adn.as_ref().is_none_or(|wanted| wanted == adn);
    listing.sources.iter().find(|source| source.unanswered.iter().any(would_do)).map(|source| source.source)
}

fn why_not(listing: &Listing, wanted: usize, name: Option<usize>, asked: &Wanted) -> ChoiceError {
    let at = |approver: &&Approver| asked.adn.as_deref().is_none_or(|adn| approver.adn.as_str() == adn);
    let listed = listing.approvers.iter().filter(at).find(|approver| approver.email.is_chosen_by(&asked.email));
    if let (None, Some(source)) = (listed, unanswered(listing, asked)) {
        return ChoiceError::Unavailable { wanted, source };
    }
    let hint = if listed.is_none() { hint(listing, &asked.email) } else { None };
    let reason = listed.and_then(|approver| approver.reason.clone());
    ChoiceError::NotAllowed { wanted, name, reason, hint, allowed: allowed(listing) }
}

/// The best standing that an address has for a name: the very mailbox before one that differs in case alone, the method the table likes
/// most, then the widest ADN, so that one mail serves as many names as it can.
fn best<'l>(listing: &'l Listing, email: &EmailAddress, adn: Option<&str>) -> Option<&'l Approver> {
    listing
        .approvers
        .iter()
        .filter(|approver| {
            approver.usable && approver.email.is_chosen_by(email) && adn.is_none_or(|adn| approver.adn.as_str() == adn)
        })
        .min_by_key(|approver| (approver.email != *email, approver.rule.status, approver.adn.as_str().len()))
}

fn add(assignment: &mut Assignment, approver: &Approver, name: usize) {
    let same = |mail: &&mut PlannedMail| mail.approver.adn == approver.adn && mail.approver.email == approver.email;
    // One more than allowed is enough to be refused; the rest need not be worked out.
    let full = assignment.mails.len() > MAILS_MAX;
    if let Some(mail) = assignment.mails.iter_mut().find(same) {
        mail.names.insert(name);
    } else if !full {
        assignment.mails.push(PlannedMail { approver: approver.clone(), names: BTreeSet::from([name]) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::contact::{SourceReport, SourceStatus};
    use crate::dcv::method;
    use crate::dcv::name::{Adn, Fqdn, SuffixList};
    use crate::dcv::timestamp::Timestamp;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_795_305_600);

    fn approver(email: &str, adn: &str, source: Source) -> Approver {
        Approver {
            email: EmailAddress::parse(email).unwrap(),
            adn: Adn::parse(adn, &SuffixList::BuiltIn).unwrap(),
            source,
            role: None,
            usable: true,
            reason: None,
            rule: method::rule(source.method(), NOW),
            lookup: None,
            looked_up_at: NOW,
            valid_until: None,
            also: Vec::new(),
        }
    }

    fn listing(name: &str, approvers: Vec<Approver>, txt: SourceStatus) -> Listing {
        let name = Fqdn::parse(name, &SuffixList::BuiltIn).unwrap();
        let failed = txt == SourceStatus::Failed;
        let unanswered = name.authorization_domains().iter().filter(|_| failed).map(ToString::to_string).collect();
        let report =
            SourceReport { source: Source::DnsTxt, status: txt, server: None, dnssec: None, reasons: Vec::new(), unanswered };
        Listing { name, approvers, sources: vec![report] }
    }

    fn these(emails: &[&str]) -> Choice {
        let wanted = |email: &&str| Wanted { email: EmailAddress::parse(email).unwrap(), adn: None, names: None };
        Choice::These(emails.iter().map(wanted).collect())
    }

    #[test]
    fn where_the_service_chooses_nobody_is_named_and_all_of_the_role_are_asked() {
        let contact = |email: &str| Approver {
            role: Some(crate::dcv::contact::Role::Administrative),
            ..approver(email, "example.jp", Source::Whois)
        };
        let listings = [listing(
            "www.example.jp",
            vec![
                approver("admin@example.jp", "example.jp", Source::Constructed),
                contact("a@example.jp"),
                contact("b@example.jp"),
            ],
            SourceStatus::Empty,
        )];
        let asked = |choice: &Choice| -> Vec<String> {
            let assigned = assign(&listings, choice, &BTreeSet::new(), 1).unwrap();
            assigned.mails.iter().map(|mail| mail.approver.email.to_string()).collect()
        };
        assert_eq!(asked(&Choice::AllOfRole), ["a@example.jp", "b@example.jp"]);
        assert_eq!(asked(&Choice::All).len(), 3);
        let profile = |text: &str| -> Addresses {
            let text = format!(
                "sources = [\"whois\"]\nlocal_parts = []\nadn = \"ancestors\"\ncandidate_ttl = \"24h\"\n{text}\n[whois_roles]\n\
                 jp-organizational = []\njp-geographic = []\njp-prefecture = []\njp-general = []\ngtld = []\ncctld = []\n"
            );
            toml::from_str(&text).unwrap()
        };
        let system = profile("selected_by = \"system\"\ndispatch = \"all_of_role\"");
        assert_eq!(Choice::Unsaid.under(&system, Chooser::WithOrder), Ok(Choice::AllOfRole));
        assert_eq!(
            (Choice::All.under(&system, Chooser::AfterOrder), these(&["a@example.jp"]).under(&system, Chooser::Operator)),
            (Err(NotSelectable::Service), Err(NotSelectable::Service))
        );
        assert_eq!(Choice::Unsaid.under(&profile(""), Chooser::WithOrder), Ok(Choice::Unsaid));
        let operator = profile("selected_by = \"operator\"");
        let one = || these(&["a@example.jp"]);
        assert_eq!(Choice::Unsaid.under(&operator, Chooser::WithOrder), Ok(Choice::Later));
        assert_eq!(one().under(&operator, Chooser::AfterOrder), Err(NotSelectable::Operator));
        assert_eq!(one().under(&operator, Chooser::Operator), Ok(one()));
        let after = profile("selected_at = \"after_lookup\"");
        assert_eq!(one().under(&after, Chooser::WithOrder), Err(NotSelectable::NotYet));
        assert_eq!(Choice::Unsaid.under(&after, Chooser::WithOrder), Ok(Choice::Later));
        assert_eq!(one().under(&after, Chooser::AfterOrder), Ok(one()));
    }

    #[test]
    fn whoever_may_is_asked_and_the_other_names_wait() {
        let listings = [
            listing("example.jp", vec![approver("admin@example.jp", "example.jp", Source::Constructed)], SourceStatus::Empty),
            listing("example.com", vec![approver("admin@example.com", "example.com", Source::Constructed)], SourceStatus::Empty),
        ];
        let Choice::These(wanted) = these(&["admin@example.jp", "gone@example.com"]) else { panic!() };
        let assigned = assign(&listings, &Choice::Partly(wanted), &BTreeSet::new(), 1).unwrap();
        assert_eq!((assigned.mails.len(), assigned.awaiting), (1, vec![1]));
    }

    #[test]
    fn a_name_takes_as_many_mailboxes_as_must_approve_it() {
        let both =
            || vec![approver("a@example.jp", "example.jp", Source::Whois), approver("b@example.jp", "example.jp", Source::Whois)];
        let listings =
            [listing("example.jp", both(), SourceStatus::Ok), listing("www.example.jp", both()[..1].to_vec(), SourceStatus::Ok)];
        let assigned = assign(&listings, &Choice::All, &BTreeSet::new(), 2).unwrap();
        assert_eq!((assigned.mails.len(), assigned.awaiting), (2, vec![1]), "whom one person alone could approve waits");
        let refused = assign(&listings[..1], &these(&["a@example.jp"]), &BTreeSet::new(), 2).unwrap_err();
        assert!(matches!(&refused[..], [ChoiceError::TooFew { name: 0, quorum: 2, allowed }] if allowed.len() == 2));
        assert!(assign(&listings[..1], &these(&["a@example.jp", "b@example.jp"]), &BTreeSet::new(), 2).is_ok());
    }

    #[test]
    fn one_mail_for_each_adn_and_address_covers_every_name_it_may() {
        let admin = || approver("admin@example.jp", "example.jp", Source::Constructed);
        let listings = [
            listing("a.example.jp", vec![admin()], SourceStatus::Empty),
            listing(
                "b.example.jp",
                vec![admin(), approver("admin@b.example.jp", "b.example.jp", Source::Constructed)],
                SourceStatus::Empty,
            ),
        ];
        let assigned = assign(&listings, &these(&["Admin@EXAMPLE.jp", "admin@b.example.jp"]), &BTreeSet::new(), 1).unwrap();
        let mails: Vec<_> = assigned
            .mails
            .iter()
            .map(|mail| (mail.approver.email.to_string(), mail.names.iter().copied().collect::<Vec<_>>()))
            .collect();
        assert_eq!(mails, [("admin@example.jp".to_owned(), vec![0, 1]), ("admin@b.example.jp".to_owned(), vec![1])]);
        assert!(assigned.awaiting.is_empty());
    }

    #[test]
    fn an_address_from_several_sources_counts_by_the_method_the_rules_like_most() {
        let twice = vec![
            approver("admin@example.jp", "example.jp", Source::Whois),
            approver("admin@example.jp", "example.jp", Source::Constructed),
        ];
        let assigned =
            assign(&[listing("example.jp", twice, SourceStatus::Empty)], &these(&["admin@example.jp"]), &BTreeSet::new(), 1)
                .unwrap();
        assert_eq!((assigned.mails.len(), assigned.mails[0].approver.source), (1, Source::Constructed));
    }

    #[test]
    fn a_stranger_is_refused_only_when_every_source_answered() {
        let known = || vec![approver("admin@example.jp", "example.jp", Source::Constructed)];
        let refused = assign(
            &[listing("example.jp", known(), SourceStatus::Empty)],
            &these(&["ceo@elsewhere.example"]),
            &BTreeSet::new(),
            1,
        );
        assert_eq!(
            refused,
            Err(vec![ChoiceError::NotAllowed {
                wanted: 0,
                name: None,
                reason: None,
                hint: None,
                allowed: vec!["admin@example.jp".to_owned()]
            }])
        );
        let unsure =
            assign(&[listing("example.jp", known(), SourceStatus::Failed)], &these(&["ceo@example.jp"]), &BTreeSet::new(), 1);
        assert_eq!(unsure, Err(vec![ChoiceError::Unavailable { wanted: 0, source: Source::DnsTxt }]));
    }

    #[test]
    fn a_name_left_over_is_an_error_where_somebody_could_be_chosen_and_awaits_where_nobody_could() {
        let listings = [
            listing("example.jp", vec![approver("admin@example.jp", "example.jp", Source::Constructed)], SourceStatus::Empty),
            listing("example.com", vec![approver("admin@example.com", "example.com", Source::Constructed)], SourceStatus::Empty),
        ];
        let error = assign(&listings, &these(&["admin@example.jp"]), &BTreeSet::new(), 1);
        assert_eq!(error, Err(vec![ChoiceError::NoApprover { name: 1, allowed: vec!["admin@example.com".to_owned()] }]));
        let nobody = [listing("example.jp", Vec::new(), SourceStatus::Failed)];
        assert_eq!(assign(&nobody, &Choice::All, &BTreeSet::new(), 1).unwrap().awaiting, [0]);
        assert_eq!(assign(&nobody, &Choice::Unsaid, &BTreeSet::new(), 1).unwrap().awaiting, [0]);
        assert!(assign(&listings, &Choice::Unsaid, &BTreeSet::new(), 1).is_err());
    }

    #[test]
    fn a_name_whose_source_failed_is_told_so_though_the_approver_serves_others() {
        let listings = [
            listing("example.jp", vec![approver("ceo@corp.example", "example.jp", Source::DnsTxt)], SourceStatus::Ok),
            listing("example.com", vec![approver("admin@example.com", "example.com", Source::Constructed)], SourceStatus::Failed),
        ];
        let unsure = assign(&listings, &these(&["ceo@corp.example"]), &BTreeSet::new(), 1);
        assert_eq!(unsure, Err(vec![ChoiceError::Unavailable { wanted: 0, source: Source::DnsTxt }]));
        let of_the_first = Wanted { names: Some(vec![0]), ..wanted_of(&these(&["ceo@corp.example"])) };
        let told = assign(&listings, &Choice::These(vec![of_the_first]), &BTreeSet::new(), 1);
        assert!(matches!(told.unwrap_err()[..], [ChoiceError::NoApprover { name: 1, .. }]));
    }

    fn wanted_of(choice: &Choice) -> Wanted {
        let Choice::These(wanted) = choice else { panic!("somebody is wanted") };
        wanted[0].clone()
    }

    #[test]
    fn an_address_listed_at_another_adn_alone_says_nothing_of_a_source_that_failed() {
        let listings =
            [listing("www.example.jp", vec![approver("ceo@corp.example", "example.jp", Source::DnsTxt)], SourceStatus::Failed)];
        let wanted = Wanted { adn: Some("www.example.jp".to_owned()), ..wanted_of(&these(&["ceo@corp.example"])) };
        let unsure = assign(&listings, &Choice::These(vec![wanted]), &BTreeSet::new(), 1);
        assert_eq!(unsure, Err(vec![ChoiceError::Unavailable { wanted: 0, source: Source::DnsTxt }]));
    }

    #[test]
    fn a_source_that_cannot_hold_what_is_wanted_keeps_no_refusal_back() {
        let known = || vec![approver("admin@example.jp", "example.jp", Source::Constructed)];
        // It answered at the name itself, and did not at the Base Domain Name.
        let mut one = listing("www.example.jp", known(), SourceStatus::Failed);
        one.sources[0].unanswered = vec!["example.jp".to_owned()];
        let code = |listing: &Listing, adn: Option<&str>, names: Option<Vec<usize>>| {
            let wanted = Wanted { adn: adn.map(str::to_owned), names, ..wanted_of(&these(&["ceo@corp.example"])) };
            assign(std::slice::from_ref(listing), &Choice::These(vec![wanted]), &BTreeSet::new(), 1).unwrap_err()
        };
        let is_refused = |errors: &[ChoiceError]| matches!(errors[0], ChoiceError::NotAllowed { wanted: 0, .. });
        for names in [None, Some(vec![0])] {
            for adn in ["www.example.jp", "example.com"] {
                assert!(is_refused(&code(&one, Some(adn), names.clone())), "{adn}");
            }
            for adn in [None, Some("example.jp")] {
                let unsure = [ChoiceError::Unavailable { wanted: 0, source: Source::DnsTxt }];
                assert_eq!(code(&one, adn, names.clone())[..1], unsure, "{adn:?}");
            }
        }
        // It did not answer, and could name nobody who may be chosen.
        one.sources[0].unanswered.clear();
        assert!(is_refused(&code(&one, None, None)));
        let two = [
            one,
            listing("example.com", vec![approver("admin@example.com", "example.com", Source::Constructed)], SourceStatus::Ok),
        ];
        let left = assign(&two, &these(&["admin@example.com"]), &BTreeSet::new(), 1).unwrap_err();
        assert!(matches!(left[..], [ChoiceError::NoApprover { name: 0, .. }]), "{left:?}");
    }

    #[test]
    fn an_address_that_may_approve_elsewhere_is_pointed_there_and_not_to_itself() {
        let refused = Approver { usable: false, ..approver("cto@corp.example", "example.jp", Source::DnsTxt) };
        let listed = vec![approver("ceo@corp.example", "example.jp", Source::DnsTxt), refused];
        let listings = [listing("www.example.jp", listed, SourceStatus::Ok)];
        let hint = |email: &str| {
            let wanted = Wanted { adn: Some("www.example.jp".to_owned()), ..wanted_of(&these(&[email])) };
            match &assign(&listings, &Choice::These(vec![wanted]), &BTreeSet::new(), 1).unwrap_err()[..] {
                [ChoiceError::NotAllowed { hint, .. }] => hint.clone(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(hint("CEO@corp.example").as_deref(), Some("it may approve at example.jp"));
        assert_eq!(hint("cto@corp.example"), None, "nowhere");
        assert_eq!(hint("cei@corp.example").as_deref(), Some("did you mean ceo@corp.example?"));
    }

    #[test]
    fn the_very_mailbox_goes_before_one_that_differs_in_case() {
        let better = Approver {
            rule: method::rule(Source::Constructed.method(), NOW),
            ..approver("Ceo@corp.example", "jp.example.jp", Source::Constructed)
        };
        let other = Approver { usable: true, ..approver("ceo@corp.example", "example.jp", Source::DnsTxt) };
        for listed in [vec![better.clone(), other.clone()], vec![other, better]] {
            let listings = [listing("www.example.jp", listed, SourceStatus::Ok)];
            let asked = |choice: &Choice| -> BTreeSet<String> {
                let assigned = assign(&listings, choice, &BTreeSet::new(), 1).unwrap();
                assigned.mails.iter().map(|mail| mail.approver.email.to_string()).collect()
            };
            for one in ["Ceo@corp.example", "ceo@corp.example"] {
                assert_eq!(asked(&these(&[one])), BTreeSet::from([one.to_owned()]));
            }
            assert_eq!(asked(&Choice::All).len(), 2, "each is asked for itself");
        }
    }

    #[test]
    fn an_approver_for_named_names_serves_no_other() {
        let admin = || approver("admin@example.jp", "example.jp", Source::Constructed);
        let listings = [
            listing("a.example.jp", vec![admin()], SourceStatus::Empty),
            listing("b.example.jp", vec![admin()], SourceStatus::Empty),
        ];
        let wanted = |adn: Option<&str>, names| Wanted { email: admin().email, adn: adn.map(str::to_owned), names };
        let one = assign(&listings, &Choice::These(vec![wanted(None, Some(vec![0]))]), &BTreeSet::new(), 1);
        assert!(matches!(one.unwrap_err()[..], [ChoiceError::NoApprover { name: 1, .. }]));
        let elsewhere = assign(&listings, &Choice::These(vec![wanted(Some("a.example.jp"), None)]), &BTreeSet::new(), 1);
        assert!(matches!(elsewhere.unwrap_err()[..], [ChoiceError::NotAllowed { wanted: 0, .. }]));
    }

    proptest! {
        #[test]
        fn whoever_is_mailed_was_listed_as_usable_for_every_name_of_the_mail(usable in proptest::collection::vec(any::<bool>(), 8), all: bool) {
            let emails = ["admin@example.jp", "x@elsewhere.example", "y@elsewhere.example", "z@elsewhere.example"];
            let listings: Vec<Listing> = ["a.example.jp", "b.example.jp"].iter().enumerate().map(|(name, text)| {
                let approvers = emails.iter().enumerate().map(|(at, email)| Approver {
                    usable: usable[name * 4 + at],
                    ..approver(email, "example.jp", if at == 0 { Source::Constructed } else { Source::DnsTxt })
                });
                listing(text, approvers.collect(), SourceStatus::Ok)
            }).collect();
            let choice = if all { Choice::All } else { these(&emails[..2]) };
            if let Ok(assigned) = assign(&listings, &choice, &BTreeSet::new(), 1) {
                for mail in &assigned.mails {
                    for name in &mail.names {
                        prop_assert!(listings[*name].approvers.iter().any(|one| one.usable && one.email == mail.approver.email && one.adn == mail.approver.adn));
                    }
                }
                for name in 0..2 {
                    prop_assert!(assigned.awaiting.contains(&name) != assigned.mails.iter().any(|mail| mail.names.contains(&name)));
                }
            }
        }
    }
}
