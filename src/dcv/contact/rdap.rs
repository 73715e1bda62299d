//! RDAP answers for a domain. Spec: RFC 9083 §5.3 (domain objects), RFC 7095 (jCard), RFC 9537 (redaction).

use serde_json::Value;

use super::whois::{Reading, WhoisStatus};
use super::whois_field::{contact_value, names_domain, note};
use super::{Contact, Role};
use crate::dcv::name::Adn;

/// Longest answer read, in octets; the longest recorded is under 30 KiB.
pub const ANSWER_MAX_OCTETS: usize = 256 * 1024;

/// The reason that says that a top level has no RDAP service.
pub const NO_SERVICE: &str = "no-rdap-service";

/// Deepest nesting read; registries nest three levels.
const DEPTH_MAX: usize = 16;

/// Most entities read on one level.
const ENTITIES_MAX: usize = 64;

/// Why a server gave no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AskError {
    /// The server could not be asked, or brought nothing or too much.
    #[error("{0}")]
    Broken(String),
    /// What came with the status 200 is not said to be RDAP: a web page, for one.
    #[error("the answer's media type is {0:?}, which is not RDAP's")]
    OtherMediaType(String),
}

impl AskError {
    /// The failure as a stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Broken(_) => "connection-failed",
            Self::OtherMediaType(_) => "other-media-type",
        }
    }
}

/// Whether a Content-Type says RDAP, or JSON, as some servers put it; parameters do not count. Spec: RFC 7480 §4.2.
#[must_use]
pub fn is_media_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    ["application/rdap+json", "application/json"].iter().any(|known| essence.eq_ignore_ascii_case(known))
}

/// Reads an answer: the domain's own top-level entities by role. Entities nested in others belong to those others, and
/// registrar, abuse, reseller and billing contacts are nobody's approvers.
#[must_use]
pub fn read(raw: &[u8], base: &Adn) -> Reading {
    if is_too_deep(raw) {
        return Reading::error("unreadable-answer");
    }
    let Ok(Value::Object(answer)) = serde_json::from_slice::<Value>(raw) else { return Reading::error("unreadable-answer") };
    if answer.contains_key("errorCode") {
        let not_found = answer.get("errorCode").and_then(Value::as_u64) == Some(404);
        return Reading::nothing(if not_found { WhoisStatus::NotFound } else { WhoisStatus::Error });
    }
    if answer.get("objectClassName").and_then(Value::as_str) != Some("domain") {
        return Reading::error("other-object");
    }
    let mut names = ["ldhName", "unicodeName"].iter().filter_map(|name| answer.get(*name)).filter_map(Value::as_str).peekable();
    if names.peek().is_none() || !names.all(|name| names_domain(name, base)) {
        return Reading::error("other-name");
    }
    let mut reading = Reading { referral: related(&answer, base), ..Reading::nothing(WhoisStatus::Found) };
    let redacted = redacted(&answer);
    if redacted.iter().any(|one| !one.replaced) {
        // A contact that is left out as a whole has no entity to tell it by.
        reading.reasons.push("redacted".to_owned());
    }
    for entity in list(answer.get("entities")).take(ENTITIES_MAX) {
        let roles: Vec<String> = list(entity.get("roles")).filter_map(Value::as_str).map(str::to_ascii_lowercase).collect();
        if roles.iter().any(|role| {
            matches!(
                role.as_str(),
                "abuse" | "registrar" | "reseller" | "billing" | "sponsor" | "proxy" | "notifications" | "noc"
            )
        }) {
            continue;
        }
        for role in [Role::Registrant, Role::Administrative, Role::Technical] {
            if roles.iter().any(|known| known == role.as_str()) && !read_entity(entity, role, &redacted, &mut reading) {
                return Reading::error("malformed-contact");
            }
        }
    }
    reading
}

/// The registry's base address for a top level, by IANA's bootstrap registry; `Ok(None)` where it has none. Spec: RFC 9224 §4.
///
/// # Errors
/// The text is no bootstrap registry.
pub fn service(bootstrap: &[u8], tld: &str, allow_http: bool) -> Result<Option<String>, &'static str> {
    let registry: Value = serde_json::from_slice(bootstrap).map_err(|_| "bad-bootstrap")?;
    let services = registry.get("services").and_then(Value::as_array).ok_or("bad-bootstrap")?;
    let ours = services
        .iter()
        .filter_map(Value::as_array)
        .find(|service| list(service.first()).filter_map(Value::as_str).any(|known| known.eq_ignore_ascii_case(tld)));
    let urls = || list(ours.and_then(|service| service.get(1))).filter_map(Value::as_str);
    let secure = urls().find(|url| url.starts_with("https://"));
    let url = secure.or_else(|| urls().find(|url| allow_http && url.starts_with("http://")));
    Ok(url.map(|url| format!("{}/", url.trim_end_matches('/'))))
}

/// The address to ask for a domain. Spec: RFC 9082 §3.1.3.
#[must_use]
pub fn question(service: &str, base: &Adn) -> String {
    format!("{service}domain/{base}")
}

/// Reads an answer with its HTTP status: only 200 holds a domain, and only 404 says that there is none. Spec: RFC 7480 §5.
#[must_use]
pub fn read_answer(status: u16, raw: &[u8], base: &Adn) -> Reading {
    match status {
        200 => read(raw, base),
        404 => Reading::nothing(WhoisStatus::NotFound),
        429 => Reading::nothing(WhoisStatus::RateLimited),
        _ => Reading::nothing(WhoisStatus::Error),
    }
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// Reads an entity's addresses; `false` when its card cannot be read.
fn read_entity(entity: &Value, role: Role, redacted: &[Redaction], reading: &mut Reading) -> bool {
    let Some((emails, has_uri)) = card(entity) else { return false };
    let before = reading.contacts.len();
    for email in &emails {
        contact_value(role, role.as_str(), email, &mut reading.contacts, &mut reading.reasons);
    }
    let replaced = redacted.iter().any(|one| one.replaced && one.may_mean(role));
    for contact in reading.contacts.iter_mut().skip(before) {
        contact.handle = entity.get("handle").and_then(Value::as_str).map(str::to_owned);
        if replaced {
            refuse(contact, "replaced-address");
        }
    }
    let reason = match (emails.is_empty(), has_uri, redacted.iter().any(|one| one.may_mean(role))) {
        (true, true, _) => "web-form",
        (true, false, true) => "redacted",
        (true, false, false) => "no-email",
        (false, ..) => return true,
    };
    note(&mut reading.reasons, reason);
    true
}

fn refuse(contact: &mut Contact, reason: &str) {
    contact.usable = false;
    contact.reason.get_or_insert_with(|| reason.to_owned());
}

/// The addresses of an entity's jCard or `JSContact`, and whether it has a contact address on the web; `None` when malformed.
fn card(entity: &Value) -> Option<(Vec<String>, bool)> {
    let (mut emails, mut has_uri) = (Vec::new(), false);
    if let Some(vcard) = entity.get("vcardArray") {
        let [kind, properties] = vcard.as_array()?.as_slice() else { return None };
        if kind.as_str()? != "vcard" {
            return None;
        }
        for property in properties.as_array()? {
            let [name, _, _, value, ..] = property.as_array()?.as_slice() else { return None };
            match name.as_str()?.to_ascii_lowercase().as_str() {
                "email" => emails.extend(value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)),
                "contact-uri" => has_uri = true,
                _ => {}
            }
        }
    }
    if let Some(known) = entity.get("jscard").and_then(|card| card.get("emails")) {
        for email in known.as_object()?.values() {
            emails.extend(email.get("address").and_then(Value::as_str).map(str::to_owned));
        }
    }
    Some((emails, has_uri))
}

/// One thing that the answer says is not shown as it is. Spec: RFC 9537 §4.2.
struct Redaction {
    /// What it is called, in lower case.
    name: String,
    /// Another value stands in its place.
    replaced: bool,
}

impl Redaction {
    /// Whether it may mean the address of a role: by its name, and where that names no role, of every one.
    fn may_mean(&self, role: Role) -> bool {
        let named = |known: &str| self.name.contains(known);
        let (registrant, administrative, technical) = (named("registrant") || named("owner"), named("admin"), named("tech"));
        match role {
            _ if !registrant && !administrative && !technical => true,
            Role::Registrant => registrant,
            Role::Administrative => administrative,
            Role::Technical => technical,
            Role::Public => false,
        }
    }
}

/// The addresses, and the contacts as a whole, that the answer says it does not show as they are.
fn redacted(answer: &serde_json::Map<String, Value>) -> Vec<Redaction> {
    let is_mail = |name: &str| ["email", "e-mail", "contact"].iter().any(|known| name.contains(known));
    list(answer.get("redacted"))
        .filter_map(|one| {
            let name = one.get("name")?;
            let name = name.get("description").or_else(|| name.get("type"))?.as_str()?.to_ascii_lowercase();
            let method = one.get("method").and_then(Value::as_str).unwrap_or("removal");
            Some(Redaction { replaced: method.eq_ignore_ascii_case("replacementValue"), name })
        })
        .filter(|one| {
            is_mail(&one.name) || ["registrant", "admin", "administrative", "tech", "technical"].contains(&one.name.as_str())
        })
        .collect()
}

/// The registrar's own answer, by the domain's top-level link; links in notices and entities are decoys.
fn related(answer: &serde_json::Map<String, Value>, base: &Adn) -> Option<String> {
    list(answer.get("links")).find_map(|link| {
        let text = |name: &str| link.get(name).and_then(Value::as_str);
        let related = text("rel").is_some_and(|rel| rel.eq_ignore_ascii_case("related"));
        let kind = text("type").is_some_and(|kind| kind.eq_ignore_ascii_case("application/rdap+json"));
        let href = text("href").filter(|href| href.starts_with("https://") || href.starts_with("http://"))?;
        let ours = href.trim_end_matches('/').rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(base.as_str()));
        (related && kind && ours).then(|| href.to_owned())
    })
}

/// Whether an answer nests deeper than any registry's; checked before it is parsed.
fn is_too_deep(raw: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in raw {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcv::name::SuffixList;
    use proptest::prelude::*;
    use serde_json::json;

    fn base() -> Adn {
        Adn::parse("example.com", &SuffixList::BuiltIn).unwrap()
    }

    fn entity(roles: &[&str], email: &str) -> Value {
        json!({"objectClassName": "entity", "roles": roles, "vcardArray": ["vcard", [["version", {}, "text", "4.0"], ["email", {}, "text", email]]]})
    }

    fn domain(entities: &Value) -> Value {
        json!({"objectClassName": "domain", "ldhName": "EXAMPLE.COM.", "entities": entities})
    }

    fn got(answer: &Value) -> Vec<(Role, String)> {
        let reading = read(answer.to_string().as_bytes(), &base());
        reading.contacts.iter().map(|contact| (contact.role.unwrap(), contact.email.to_string())).collect()
    }

    #[test]
    fn roles_are_read_without_case_and_only_at_the_top() {
        let mut registrant = entity(&["REGISTRANT"], "r@example.com");
        registrant["entities"] = json!([entity(&["administrative"], "nested@example.net")]);
        let answer = domain(&json!([
            registrant,
            entity(&["Administrative", "technical"], "a@example.com"),
            entity(&["registrar"], "x@example.net"),
            entity(&["abuse", "administrative"], "abuse@example.net")
        ]));
        assert_eq!(
            got(&answer),
            [
                (Role::Registrant, "r@example.com".into()),
                (Role::Administrative, "a@example.com".into()),
                (Role::Technical, "a@example.com".into())
            ]
        );
    }

    #[test]
    fn what_is_not_this_domain_or_cannot_be_read_yields_nothing() {
        let mut other = domain(&json!([entity(&["registrant"], "r@example.com")]));
        other["ldhName"] = json!("example.net");
        for answer in [
            other,
            json!({"objectClassName": "entity", "ldhName": "example.com"}),
            json!({"errorCode": 404}),
            json!([]),
            domain(&json!([{"roles": ["registrant"], "vcardArray": ["vcard", "none"]}])),
        ] {
            assert!(got(&answer).is_empty(), "{answer}");
        }
    }

    #[test]
    fn placeholders_and_web_forms_are_reasons_and_a_replaced_address_is_not_usable() {
        let reading = read(domain(&json!([entity(&["registrant"], "REDACTED FOR PRIVACY")])).to_string().as_bytes(), &base());
        assert_eq!((reading.contacts.len(), reading.reasons), (0, vec!["redacted".to_owned()]));
        let form =
            json!([{"roles": ["registrant"], "vcardArray": ["vcard", [["contact-uri", {}, "uri", "https://example.net/"]]]}]);
        assert_eq!(read(domain(&form).to_string().as_bytes(), &base()).reasons, ["web-form"]);
        let mut replaced = domain(&json!([entity(&["registrant"], "relay@example.net")]));
        replaced["redacted"] = json!([{"name": {"description": "Registrant Email"}, "method": "replacementValue"}]);
        assert!(!read(replaced.to_string().as_bytes(), &base()).contacts[0].usable);
        for (role, name) in [
            ("administrative", "Admin Email"),
            ("technical", "Tech E-mail"),
            ("administrative", "Administrative Contact Email"),
            ("administrative", "Email"),
        ] {
            let mut answer = domain(&json!([entity(&[role], "relay@example.net")]));
            answer["redacted"] = json!([{"name": {"type": name}, "method": "replacementValue"}]);
            assert!(!read(answer.to_string().as_bytes(), &base()).contacts[0].usable, "{name}");
        }
        let mut other = domain(&json!([entity(&["administrative"], "a@example.com")]));
        other["redacted"] = json!([{"name": {"description": "Registrant Email"}, "method": "replacementValue"}]);
        assert!(read(other.to_string().as_bytes(), &base()).contacts[0].usable, "another role's");
        let mut removed = domain(&json!([]));
        removed["redacted"] = json!([{"name": {"description": "Registrant Email"}, "method": "removal"}]);
        assert_eq!(read(removed.to_string().as_bytes(), &base()).reasons, ["redacted"]);
    }

    #[test]
    fn the_bootstrap_names_the_service_and_https_comes_first() {
        let bootstrap = br#"{"services": [[["net", "COM"], ["http://a.example/", "https://a.example/v1"]], [["old"], ["http://o.example"]]]}"#;
        assert_eq!(service(bootstrap, "com", false), Ok(Some("https://a.example/v1/".to_owned())));
        assert_eq!(service(bootstrap, "old", false), Ok(None));
        assert_eq!(service(bootstrap, "old", true), Ok(Some("http://o.example/".to_owned())));
        assert_eq!(service(bootstrap, "jp", true), Ok(None));
        assert_eq!(service(b"{}", "com", true), Err("bad-bootstrap"));
        assert_eq!(question("https://a.example/v1/", &base()), "https://a.example/v1/domain/example.com");
    }

    #[test]
    fn a_media_type_is_rdaps_or_jsons_in_any_case_and_with_any_parameters() {
        for good in ["application/rdap+json", "Application/RDAP+JSON ; charset=utf-8", "application/json;charset=UTF-8"] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in [
            "",
            "text/html; charset=utf-8",
            "text/plain",
            "application/problem+json",
            "application/jsonp",
            "application/rdap+json, text/html",
        ] {
            assert!(!is_media_type(bad), "{bad}");
        }
    }

    #[test]
    fn depth_is_counted_outside_text() {
        assert!(is_too_deep("[".repeat(17).as_bytes()));
        assert!(!is_too_deep(b"[\"[[[[[[[[[[[[[[[[[[[[[[[[[\"]"));
        let reading = read("[".repeat(40).as_bytes(), &base());
        assert_eq!((reading.status, reading.reasons), (WhoisStatus::Error, vec!["unreadable-answer".to_owned()]));
    }

    proptest! {
        #[test]
        fn no_answer_panics(raw: Vec<u8>, text in "[\\[\\]{}\",:a-z]{0,80}") {
            let _ = read(&raw, &base());
            let _ = read(text.as_bytes(), &base());
            let _ = is_too_deep(text.as_bytes());
        }
    }
}
