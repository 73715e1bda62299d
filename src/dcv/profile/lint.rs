//! Combinations of values that make no sense: refused, with the key and what to do.

use std::time::Duration;

use super::{AccessPin, AdnChoice, Asked, Compliance, Confirm, Dispatch, ManualEntry, Profile, SelectedBy, WINDOW_MAX_DAYS};
use crate::dcv::contact::Source;
use crate::dcv::decision::{Scope, offered_scopes};
use crate::dcv::field::is_one_line;
use crate::dcv::retention::EVIDENCE_MIN_DAYS;
use crate::dcv::timestamp::DAY_SECS;

/// A profile that parses and still makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{key}: {problem} [{rule}]")]
pub struct LintError {
    /// The rule's number.
    pub rule: &'static str,
    /// The key at fault.
    pub key: &'static str,
    /// What is wrong and what to do.
    pub problem: &'static str,
}

/// Most reminders of one mail.
const REMINDERS_MAX: usize = 10;

/// Most resends of one mail.
const RESENDS_MAX: u32 = 100;

/// Most people that a name may take.
const QUORUM_MAX: u32 = 5;

/// Longest wording of a button or a hint, in characters.
const WORDING_MAX_CHARS: usize = 30;

/// Longest time before a certificate's end at which anything happens.
const BEFORE_END_MAX: Duration = Duration::from_secs(180 * DAY_SECS);

/// Longest reuse that any row of the table ever allowed, in days. Spec: BR v2.2.6 §4.2.1.
const REUSE_MAX_DAYS: u32 = 398;

fn err(rule: &'static str, key: &'static str, problem: &'static str) -> Result<(), LintError> {
    Err(LintError { rule, key, problem })
}

impl Profile {
    /// Checks what types alone cannot.
    ///
    /// # Errors
    /// [`LintError`] for the first key that cannot stand.
    pub fn lint(&self) -> Result<(), LintError> {
        self.lint_order()?;
        self.lint_addresses()?;
        self.lint_window()?;
        self.lint_decision()?;
        self.mail.lint()?;
        self.lint_page()
    }

    fn lint_order(&self) -> Result<(), LintError> {
        if self.title_ja.is_empty() || self.title_en.is_empty() {
            return err("L15", "title_ja", "must be told in Japanese and, as title_en, in English");
        }
        if self.reuse.max_days.is_some_and(|days| days > REUSE_MAX_DAYS) {
            return err("L05", "reuse.max_days", "must be 398 at most (BR v2.2.6 section 4.2.1)");
        }
        let least = if self.compliance == Compliance::Enforce { EVIDENCE_MIN_DAYS } else { 1 };
        if !(least..=36_500).contains(&self.retention.evidence_days) {
            return err(
                "L27",
                "retention.evidence_days",
                "must be 731 at least under the Baseline Requirements (v2.2.6 section 5.5.2)",
            );
        }
        if self.retention.certificate_days > 3_650 {
            return err("L27", "retention.certificate_days", "must be 3650 at most");
        }
        if self.retention.personal_days > 36_500 {
            return err("L27", "retention.personal_days", "must be 36500 at most; 0 keeps personal data as long as the order");
        }
        if self.cancel.by.is_empty() || has_repeats(&self.cancel.by) {
            return err("L21", "cancel.by", "name at least one party, each once");
        }
        if let (Some(from), Some(until)) = (self.valid_from, self.valid_until)
            && until < from
        {
            return err("L22", "valid_until", "must not lie before valid_from");
        }
        let before = &self.renewal.notices;
        if before.len() > REMINDERS_MAX || has_repeats(before) || before.iter().any(|one| one.is_zero() || *one > BEFORE_END_MAX)
        {
            return err("L23", "renewal.notices", "name 10 times at most, each once, within 180 days of the certificate's end");
        }
        if self.renewal.open_before.is_zero() || self.renewal.open_before > BEFORE_END_MAX {
            return err("L23", "renewal.open_before", "must be more than nothing, and 180 days at most");
        }
        Ok(())
    }

    fn lint_addresses(&self) -> Result<(), LintError> {
        let addresses = &self.addresses;
        if addresses.sources.is_empty() || has_repeats(&addresses.sources) {
            return err("L24", "addresses.sources", "name at least one source, each once");
        }
        if addresses.sources.contains(&Source::Constructed) && addresses.local_parts.is_empty() {
            return err(
                "L01",
                "addresses.local_parts",
                "name at least one local part, or leave `constructed` out of the sources",
            );
        }
        if has_repeats(&addresses.local_parts) {
            return err("L01", "addresses.local_parts", "name each local part once");
        }
        let is_label = |label: &String| label == "*" || is_ldh(label);
        if addresses.strip.len() > STRIP_MAX || !addresses.strip.iter().all(is_label) {
            return err("L25", "addresses.strip", "name 10 labels at most, as they stand in names: lower case, or \"*\"");
        }
        if addresses.selected_by == SelectedBy::System && addresses.dispatch == Dispatch::Chosen {
            let problem = "must say who is asked where this service chooses: all_of_role or all_candidates";
            return err("L14", "addresses.dispatch", problem);
        }
        if addresses.manual_entry == ManualEntry::IfLookupEmpty {
            if !addresses.sources.contains(&Source::Whois) {
                return err("L12", "addresses.manual_entry", "an entry is held against WHOIS: name `whois` among the sources");
            }
            if addresses.selected_by != SelectedBy::Applicant {
                return err("L12", "addresses.manual_entry", "whoever may not choose cannot enter an address either");
            }
            if self.decision.quorum > 1 {
                return err("L12", "addresses.manual_entry", "one entered address is one person: leave decision.quorum at 1");
            }
            if addresses.manual_requires_fallback && addresses.sources == [Source::Whois] {
                let problem = "no other source could yield a fallback: name one, or let manual_requires_fallback be false";
                return err("L12", "addresses.manual_requires_fallback", problem);
            }
        }
        Ok(())
    }

    fn lint_window(&self) -> Result<(), LintError> {
        if !(1..=WINDOW_MAX_DAYS).contains(&self.window.days) {
            return err("L02", "window.days", "must be 1 to 30 (BR v2.2.6 section 3.2.2.4.4)");
        }
        if !(1..=365).contains(&self.window.selection_days) {
            return err("L02", "window.selection_days", "must be 1 to 365");
        }
        let window = self.window_span();
        if self.reminders.at.len() > REMINDERS_MAX || self.reminders.at.iter().any(|offset| offset.is_zero() || *offset >= window)
        {
            return err("L19", "reminders.at", "name 10 times at most, each within the window");
        }
        if self.resend.max > RESENDS_MAX {
            return err("L26", "resend.max", "must be 100 at most");
        }
        Ok(())
    }

    fn window_span(&self) -> Duration {
        Duration::from_secs(u64::from(self.window.days) * DAY_SECS)
    }

    fn lint_decision(&self) -> Result<(), LintError> {
        let decision = &self.decision;
        if !(1..=QUORUM_MAX).contains(&decision.quorum) {
            return err("L10", "decision.quorum", "must be 1 to 5");
        }
        if !decision.reject.is_offered() && !decision.report {
            return err("L27", "decision.report", "the page must offer something besides approving");
        }
        if decision.veto_for.is_zero() || decision.veto_for > self.window_span() {
            return err("L28", "decision.veto_for", "must be more than nothing, and no longer than the window");
        }
        Ok(())
    }

    fn lint_page(&self) -> Result<(), LintError> {
        let page = &self.page;
        if page.scope_options.is_empty() || has_repeats(&page.scope_options) {
            return err("L11", "page.scope_options", "name at least one scope, each once");
        }
        if page.scope_options == [Scope::Base] && self.addresses.adn == AdnChoice::Fqdn {
            let problem = "no scope would be left where addresses are offered at the FQDN alone: offer fqdn or subtree too";
            return err("L11", "page.scope_options", problem);
        }
        if page.scope_default.is_some_and(|scope| !page.scope_options.contains(&scope)) {
            return err("L11", "page.scope_default", "must be one of page.scope_options");
        }
        let bad = |text: &str| text.chars().count() > WORDING_MAX_CHARS || !is_one_line(text);
        if let Some((key, _)) = page.wordings().into_iter().find(|(_, text)| bad(text)) {
            return err("L29", key, "must be one line of 30 characters at most");
        }
        // Which scopes are offered depends on the mail's ADN: a choice is one only where two are left for either kind.
        let offered = |is_base| offered_scopes(page, is_base).len() > 1;
        let scope_is_chosen = offered(true) && offered(false) && page.scope_default.is_none();
        let by_hand = page.authority_check || page.signer == Asked::Required || page.access_pin == AccessPin::Required;
        if page.confirm == Confirm::Address && !by_hand {
            let problem = "an address can be guessed from the domain; ask for the authority box or a signer beside it";
            return err("L06", "page.confirm", problem);
        }
        if page.confirm == Confirm::Check && !by_hand && !scope_is_chosen {
            let problem = "posting the page as it opens would approve; ask for the authority box, a signer, a PIN, or a scope without default";
            return err("L06", "page.authority_check", problem);
        }
        Ok(())
    }
}

/// Most labels that names are stripped of.
const STRIP_MAX: usize = 10;

/// Whether a label is one of letters, digits and hyphens, as names hold it. Spec: RFC 5890 §2.3.1.
fn is_ldh(label: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}

fn has_repeats<T: PartialEq>(values: &[T]) -> bool {
    values.iter().enumerate().any(|(at, value)| values[..at].contains(value))
}
