//! Whose addresses may be asked, and who chooses among them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::span;
use crate::dcv::contact::constructed::LocalPart;
use crate::dcv::contact::{Role, Source};
use crate::dcv::name::DomainClass;

/// At which of a name's ADNs addresses are offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdnChoice {
    /// Every name from the FQDN down to the Base Domain Name.
    Ancestors,
    /// The FQDN and the Base Domain Name.
    Both,
    /// The FQDN alone.
    Fqdn,
    /// The Base Domain Name alone.
    Registrable,
}

/// Which registration contacts count, by the class of name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RoleMap {
    /// 属性型
    pub jp_organizational: Vec<Role>,
    /// 地域型
    pub jp_geographic: Vec<Role>,
    /// 都道府県型
    pub jp_prefecture: Vec<Role>,
    /// 汎用
    pub jp_general: Vec<Role>,
    /// Generic top-level domains
    pub gtld: Vec<Role>,
    /// Country codes other than `jp`
    pub cctld: Vec<Role>,
}

impl RoleMap {
    /// The roles that count for a class.
    #[must_use]
    pub fn of(&self, class: DomainClass) -> &[Role] {
        match class {
            DomainClass::JpOrganizational => &self.jp_organizational,
            DomainClass::JpGeographic => &self.jp_geographic,
            DomainClass::JpPrefecture => &self.jp_prefecture,
            DomainClass::JpGeneral => &self.jp_general,
            DomainClass::Gtld => &self.gtld,
            DomainClass::Cctld => &self.cctld,
        }
    }
}

/// Who chooses the approvers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SelectedBy {
    /// Whoever applies, by way of the ordering system.
    #[default]
    Applicant,
    /// This service, as `addresses.dispatch` says; an order that names approvers is refused.
    System,
    /// An operator, on the status page; an order that names approvers is refused.
    Operator,
}

/// When whoever applies chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectedAt {
    /// With the order.
    #[default]
    Application,
    /// With the order or after it: an order that names nobody waits for the choice.
    ApplicationData,
    /// After it, from what the look-up found: an order that names somebody is refused.
    AfterLookup,
}

/// Who is asked where nobody chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dispatch {
    /// Whoever is chosen.
    #[default]
    Chosen,
    /// Every registration contact whose role counts.
    AllOfRole,
    /// Everybody who may approve.
    AllCandidates,
}

/// What becomes of a registration contact at a known privacy service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrivacyProxy {
    /// It is listed and cannot be chosen: nobody knows who reads it.
    #[default]
    Refuse,
    /// It can be chosen, and the listing says what it is.
    Warn,
    /// It can be chosen as any other.
    Allow,
}

/// Whether whoever applies may tell a registration contact that the look-up did not find.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManualEntry {
    /// Never.
    #[default]
    Never,
    /// Where WHOIS yielded nobody. It is mailed once it was found in WHOIS all the same.
    IfLookupEmpty,
}

/// Whose addresses may be asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    /// The sources, those offered first in front.
    pub sources: Vec<Source>,
    /// Which of the five constructed local parts are offered.
    pub local_parts: Vec<LocalPart>,
    /// At which ADNs.
    pub adn: AdnChoice,
    /// Labels that names are stripped of from the left before their ADNs are worked out, never beyond the Base Domain Name.
    #[serde(default)]
    pub strip: Vec<String>,
    /// Which registration contacts count.
    pub whois_roles: RoleMap,
    /// Labels under which an address never counts, as WHOIS writes them.
    #[serde(default = "notification")]
    pub whois_exclude_fields: Vec<String>,
    /// What becomes of contacts at known privacy services.
    #[serde(default)]
    pub privacy_proxy: PrivacyProxy,
    /// Whether a contact may be told that the look-up did not find.
    #[serde(default)]
    pub manual_entry: ManualEntry,
    /// Whether such an entry needs another approver beside it, who is asked where the entry comes to nothing.
    #[serde(default = "yes")]
    pub manual_requires_fallback: bool,
    /// How long a stored look-up serves listings, and how old a WHOIS or RDAP address may be when it is mailed.
    #[serde(with = "span")]
    pub candidate_ttl: Duration,
    /// Who chooses among them.
    #[serde(default)]
    pub selected_by: SelectedBy,
    /// When, where whoever applies does.
    #[serde(default)]
    pub selected_at: SelectedAt,
    /// Who is asked where nobody chooses.
    #[serde(default)]
    pub dispatch: Dispatch,
}

/// JPRS's address for notices of changes, which is nobody's contact.
fn notification() -> Vec<String> {
    vec!["通知アドレス".to_owned()]
}

const fn yes() -> bool {
    true
}
