//! What the description says of webhooks: for each type its data, with an example.

use serde_json::{Map, Value, json};

use crate::dcv::event::{EXTERNAL_MPIC, EventType};

/// A member of an event's data: its name, its schema, and an example.
type Member = (&'static str, Value, Value);

fn text() -> Value {
    json!({"type": "string"})
}

fn maybe() -> Value {
    json!({"type": ["string", "null"]})
}

fn instant() -> Value {
    json!({"type": ["string", "null"], "format": "date-time"})
}

fn names() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

/// What the data of a type holds besides `order_id`, `order_ref`, `seq` and `test`.
fn members(kind: EventType) -> Vec<Member> {
    let state = |state: &str| ("state", text(), json!(state));
    let mail = || -> Vec<Member> {
        vec![
            ("mail_id", text(), json!("mail_06h06my8crxvn9y5773r6kw6fr")),
            ("to", text(), json!("admin@example.co.jp")),
            ("adn", text(), json!("example.co.jp")),
            ("source", text(), json!("constructed")),
            ("expires_at", instant(), json!("2026-12-18T09:00:00Z")),
        ]
    };
    let answered = |ended: &str| -> Vec<Member> {
        vec![
            ("name", text(), json!("www.example.co.jp")),
            state(ended),
            ("adn", text(), json!("example.co.jp")),
            ("approver", text(), json!("admin@example.co.jp")),
            ("source", text(), json!("constructed")),
            ("method", text(), json!("3.2.2.4.4")),
            ("br_version", text(), json!("2.2.6")),
            ("scope", maybe(), json!("base")),
            ("signer", maybe(), json!("山田 太郎")),
            ("reason", maybe(), Value::Null),
            ("initiated_at", instant(), json!("2026-11-22T09:00:00Z")),
            ("decided_at", instant(), json!("2026-11-23T01:30:00Z")),
            ("approved_at", instant(), json!("2026-11-23T01:30:00Z")),
            ("reusable_until", instant(), json!("2027-03-15T00:00:00Z")),
            ("compliance", text(), json!("record")),
            ("rule", json!({"type": "object"}), json!({"status": "should-not", "since": "2026-03-15", "ends": "2028-03-15"})),
        ]
    };
    match kind {
        EventType::OrderCreated => {
            vec![
                ("names", names(), json!(["www.example.co.jp"])),
                ("profile", text(), json!("standard")),
                state("pending"),
                ("kind", maybe(), json!("renewal")),
                ("previous_order_id", maybe(), json!("ord_06h083cpzmf46ytdf5f50fzp1w")),
            ]
        }
        EventType::ApproverNeeded => vec![
            ("names", names(), json!(["www.example.co.jp"])),
            ("reason", json!({"enum": ["none-found", "found"]}), json!("none-found")),
            (
                "sources",
                json!({"type": "array", "items": {"type": "object"}}),
                json!([{"source": "whois", "status": "empty", "reasons": ["redacted"]}]),
            ),
            ("remedy", text(), json!("Publish a TXT record at _validation-contactemail.example.co.jp …")),
            (
                "remedies",
                json!({"type": "array", "items": {"type": "object", "required": ["code", "ja", "en"]}}),
                json!([{"code": "publish-txt", "record": "_validation-contactemail.example.co.jp. IN TXT \"<address>\"", "ja": "…", "en": "…"}]),
            ),
            ("allowed", json!({"type": "object", "additionalProperties": names()}), json!({})),
            ("selection_ends_at", instant(), json!("2026-12-18T09:00:00Z")),
        ],
        EventType::MailSent => {
            let mut all = mail();
            all.push(("reply", text(), json!("250 2.0.0 Ok: queued as 4XyZ")));
            all
        }
        EventType::MailDelayed | EventType::MailBounced | EventType::MailDelivered => {
            let mut all = mail();
            all.push(("permanent", json!({"type": ["boolean", "null"]}), json!(kind == EventType::MailBounced)));
            all.push(("reason", maybe(), json!("550 5.1.1 no such user")));
            all.push((
                "recipients",
                json!({"type": "array", "items": {"type": "object"}}),
                json!([{"address": "admin@example.co.jp", "action": "failed", "status": "5.1.1", "diagnostic": "550 5.1.1 no such user"}]),
            ));
            all
        }
        EventType::MailFailed => {
            let mut all = mail();
            all.push(("reason", text(), json!("approver-gone")));
            all.push(("detail", text(), json!("the address is no longer published for this name")));
            all
        }
        EventType::ValidationApproved => {
            let mut all = answered("approved");
            all.push((
                "proves",
                json!({"type": "object", "properties": {"names": names(), "domain": maybe(), "this_order_only": {"type": "boolean"}}}),
                json!({"names": ["www.example.co.jp"], "domain": "example.co.jp", "this_order_only": false}),
            ));
            all
        }
        EventType::ValidationRejected | EventType::ValidationReported => answered("rejected"),
        EventType::ValidationDisputed => {
            let mut all = answered("approved");
            all.retain(|(name, ..)| !matches!(*name, "signer" | "reason" | "decided_at" | "reusable_until"));
            all.push(("disputed_at", instant(), json!("2026-11-24T02:00:00Z")));
            all.push(("disputed_by", text(), json!("webmaster@example.co.jp")));
            all
        }
        EventType::ValidationExpired => vec![("name", text(), json!("www.example.co.jp")), state("expired")],
        EventType::OrderCompleted => vec![
            state("completed"),
            (
                "validations",
                json!({"type": "array", "items": {"type": "object", "required": ["name", "state"]}}),
                json!([{"name": "www.example.co.jp", "state": "approved", "answer": "approve", "method": "3.2.2.4.4", "scope": "base",
                        "reusable_until": "2027-03-15T00:00:00Z"}]),
            ),
        ],
        EventType::OrderCancelled => vec![
            state("cancelled"),
            ("reason", maybe(), json!("お客様の都合")),
            ("by", maybe(), json!("applicant")),
            ("common_name", maybe(), Value::Null),
            ("successor", maybe(), Value::Null),
            (
                "validations",
                json!({"type": "array", "items": {"type": "object", "required": ["name", "state"]}}),
                json!([{"name": "www.example.co.jp", "state": "cancelled"}]),
            ),
        ],
        // These stand in the timeline alone.
        _ => Vec::new(),
    }
}

/// What the data of a type holds in some cases alone.
fn sometimes(kind: EventType) -> Vec<(&'static str, Value)> {
    match kind {
        EventType::ValidationApproved
        | EventType::ValidationRejected
        | EventType::ValidationReported
        | EventType::ValidationDisputed => vec![
            (
                "looked_up_at",
                json!({"type": "string", "format": "date-time", "description": "When the address was looked up; not for constructed ones."}),
            ),
            (
                "mpic",
                json!({"const": EXTERNAL_MPIC, "description": "Only where the certificate authority's own perspectives corroborate an address \
                    that DNS names: before issuance each must find `approver`, to the letter, at `asked_name`."}),
            ),
            (
                "asked_name",
                json!({"type": "string", "description": "Beside `mpic`: the name that DNS was asked for the address. For CAA records it may \
                    lie above `adn`, where the climb of RFC 8659 found them."}),
            ),
        ],
        _ => Vec::new(),
    }
}

/// One entry for each type that ordering systems are told.
pub(super) fn webhooks() -> Value {
    let header = |name: &str, about: &str| json!({"name": name, "in": "header", "required": true, "description": about, "schema": {"type": "string"}});
    let mut all = Map::new();
    for kind in EventType::ALL.iter().copied().filter(|kind| kind.is_told()) {
        let fixed: [Member; 3] = [
            ("order_id", text(), json!("ord_06h06my8ctdnp3d12enp5f495r")),
            ("order_ref", text(), json!("A-1001")),
            (
                "seq",
                json!({"type": "integer", "description": "The event's place in the order's timeline; deliveries come in its order."}),
                json!(3),
            ),
        ];
        let (mut properties, mut example, mut required) = (Map::new(), Map::new(), Vec::new());
        for (name, schema, sample) in fixed.into_iter().chain(members(kind)) {
            properties.insert(name.to_owned(), schema);
            example.insert(name.to_owned(), sample);
            required.push(name);
        }
        properties.extend(sometimes(kind).into_iter().map(|(name, schema)| (name.to_owned(), schema)));
        properties.insert("test".to_owned(), json!({"const": true, "description": "Only for clients under test."}));
        all.insert(
            kind.as_str().to_owned(),
            json!({"post": {
                "operationId": format!("on_{}", kind.as_str().replace('.', "_")),
                "tags": ["Webhooks"],
                "security": [],
                "summary": kind.as_str(),
                "parameters": [
                    header("webhook-id", "The event's id; the same in every repeat."),
                    header("webhook-timestamp", "Seconds since 1970 of this attempt."),
                    header("webhook-signature", "`v1,` and the HMAC-SHA-256 of id, timestamp and body in base64; several, while secrets change."),
                ],
                "requestBody": {"content": {"application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["type", "timestamp", "data"],
                        "properties": {
                            "type": {"const": kind.as_str()},
                            "timestamp": {"type": "string", "format": "date-time"},
                            "data": {"type": "object", "required": required, "properties": properties},
                        },
                    },
                    "example": {"type": kind.as_str(), "timestamp": "2026-11-23T01:30:00Z", "data": example},
                }}},
                "responses": {"2XX": {"description": "Taken. Anything else is tried again for three days; 410 ends it."}},
            }}),
        );
    }
    Value::Object(all)
}
