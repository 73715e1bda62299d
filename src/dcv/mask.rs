//! Takes what is about people out of what is kept for evidence. Who was asked at which address, when, and what they answered stays: that is
//! the evidence. From where they answered, and what they and the ordering system wrote of people, goes.

use serde_json::Value;

/// Members that are about people, wherever they stand.
const PERSONAL: [&str; 4] = ["signer", "peer", "user_agent", "requester"];

/// What stands where a person's address, program or words stood.
pub const MASKED: &str = "[masked]";

/// An entry of a timeline without what is about people; `None` where it holds nothing of that, or is no JSON.
///
/// What a person wrote as their reason stands in the entries of validations; in others it is a word of this program or of an operator.
#[must_use]
pub fn event_data(kind: &str, data: &str) -> Option<String> {
    let mut data: Value = serde_json::from_str(data).ok()?;
    mask(&mut data, kind.starts_with("validation.")).then(|| data.to_string())
}

/// What a caller told of an order, without what is about people: who requested it, who is told, and what we cannot read.
#[must_use]
pub fn facts(facts: &str) -> Option<String> {
    let mut facts: Value = serde_json::from_str(facts).ok()?;
    let all = facts.as_object_mut()?;
    let mut changed = false;
    for (name, empty) in
        [("requester", Value::Null), ("notify", Value::Array(Vec::new())), ("metadata", Value::Object(serde_json::Map::new()))]
    {
        if let Some(value) = all.get_mut(name)
            && *value != empty
        {
            *value = empty;
            changed = true;
        }
    }
    changed.then(|| facts.to_string())
}

fn mask(value: &mut Value, reasons: bool) -> bool {
    match value {
        Value::Object(members) => members.iter_mut().fold(false, |changed, (name, value)| {
            let personal = PERSONAL.contains(&name.as_str()) || (reasons && name == "reason");
            if personal && value.as_str().is_some_and(|text| text != MASKED) {
                *value = MASKED.into();
                true
            } else {
                mask(value, reasons) || changed
            }
        }),
        Value::Array(values) => values.iter_mut().filter_map(|value| mask(value, reasons).then_some(())).count() > 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn people_go_and_the_evidence_stays() {
        let told = json!({
            "name": "www.example.jp", "approver": "admin@example.jp", "signer": "山田", "reason": "no", "peer": "192.0.2.7",
            "more": [{"user_agent": "Mozilla", "reason": null}],
        });
        let without = json!({
            "name": "www.example.jp", "approver": "admin@example.jp", "signer": MASKED, "reason": MASKED, "peer": MASKED,
            "more": [{"user_agent": MASKED, "reason": null}],
        });
        let masked = event_data("validation.rejected", &told.to_string()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&masked).unwrap(), without);
        assert_eq!(event_data("validation.rejected", &masked), None, "once is enough");
        assert_eq!(event_data("order.released", "{\"reason\":\"checked\"}"), None, "an operator's word stays");
    }

    #[test]
    fn what_a_caller_told_of_people_goes() {
        let told = json!({"organization": "ACME", "requester": "Sato", "notify": ["a@example.jp"], "metadata": {"x": 1}});
        let without = json!({"organization": "ACME", "requester": null, "notify": [], "metadata": {}});
        let masked = facts(&told.to_string()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&masked).unwrap(), without);
        assert_eq!(facts(&masked), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(kind: String, text: String) {
            let _ = event_data(&kind, &text);
            let _ = facts(&text);
        }
    }
}
