//! What an approval proves: which names, by the scope that the approver chose and the ADN of the mail that was answered.
//!
//! The mailbox's own domain never counts. Spec: BR v2.2.6 section 3.2.2.4.4 ("once the FQDN has been validated using this method, the CA may
//! also issue certificates for other FQDNs that end with all the Domain Labels of the validated FQDN").

use serde::Serialize;

use super::decision::Scope;

/// The names that an approval proves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Proven {
    /// These exactly, wildcards as such.
    pub names: Vec<String>,
    /// This domain and every name below it; `None` where the names alone are proven.
    pub domain: Option<String>,
    /// For the order that asked alone.
    pub this_order_only: bool,
}

/// What an approval of `names` by a mail for `adn` proves, all in A-labels.
///
/// A scope that reaches further than the ADN is cut to it: whoever speaks for a name below does not speak for the one above.
#[must_use]
pub fn proven(scope: Scope, adn: &str, names: &[&str]) -> Proven {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    match scope {
        Scope::Fqdn => Proven { names, domain: None, this_order_only: false },
        Scope::Order => Proven { names, domain: None, this_order_only: true },
        Scope::Subtree | Scope::Base => Proven { names, domain: Some(adn.to_owned()), this_order_only: false },
    }
}

impl Proven {
    /// Whether a name, in A-labels and with `*.` where it is a wildcard, is proven.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let fqdn = name.strip_prefix("*.").unwrap_or(name);
        let is_below =
            |domain: &String| fqdn == domain || fqdn.strip_suffix(domain.as_str()).is_some_and(|labels| labels.ends_with('.'));
        self.names.iter().any(|proven| proven == name) || self.domain.as_ref().is_some_and(is_below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_admin(scope: Scope) -> Proven {
        proven(scope, "example.jp", &["www.example.jp"])
    }

    #[test]
    fn www_approved_by_the_parents_admin() {
        for (scope, shop, other) in
            [(Scope::Fqdn, false, false), (Scope::Order, false, false), (Scope::Subtree, true, false), (Scope::Base, true, false)]
        {
            let proven = by_admin(scope);
            assert!(proven.covers("www.example.jp"), "{scope:?}");
            assert_eq!(proven.covers("shop.example.jp"), shop, "{scope:?}");
            assert_eq!(proven.covers("*.example.jp"), shop, "{scope:?}");
            assert_eq!(proven.covers("badexample.jp"), other, "{scope:?}");
            assert_eq!(proven.covers("*.www.example.jp"), shop, "a wildcard is another name than its FQDN");
        }
    }

    #[test]
    fn who_speaks_for_a_subdomain_does_not_speak_for_what_is_above() {
        for scope in [Scope::Fqdn, Scope::Subtree, Scope::Base, Scope::Order] {
            let proven = proven(scope, "sub.example.jp", &["www.sub.example.jp"]);
            for above in ["example.jp", "www.example.jp", "*.example.jp", "jp"] {
                assert!(!proven.covers(above), "{scope:?} {above}");
            }
        }
        assert!(proven(Scope::Subtree, "sub.example.jp", &["www.sub.example.jp"]).covers("a.b.sub.example.jp"));
    }

    proptest! {
        #[test]
        fn nothing_outside_the_adn_is_ever_proven(at in 0_usize..4, name in "[a-z]{1,5}(\\.[a-z]{1,5}){1,3}") {
            let scope = [Scope::Fqdn, Scope::Subtree, Scope::Base, Scope::Order][at];
            let proven = proven(scope, "sub.example.jp", &["www.sub.example.jp"]);
            prop_assert!(!proven.covers(&name) || name.ends_with("sub.example.jp"));
        }
    }
}
