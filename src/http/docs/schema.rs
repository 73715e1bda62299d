//! What the description says of bodies that handlers read and write by hand. Fields are read in `api/`; a test sends the examples.

#![expect(dead_code, reason = "described, never made")]

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub(in crate::http) use crate::app::list_validations::ApprovalView;
pub(in crate::http) use crate::app::show_evidence::Evidence;
pub(in crate::http) use crate::app::show_order::{EventView, OrderView};

/// An order as it is placed.
#[derive(ToSchema)]
#[schema(example = json!({
    "order_ref": "A-1001", "names": ["www.example.co.jp", "*.example.co.jp"], "approvers": ["admin@example.co.jp"],
    "applicant": {"organization": "株式会社サンプル"}, "product": "OV 1年", "kind": "new", "locale": "ja"
}))]
pub(in crate::http) struct NewOrderBody {
    /// Your own reference, unique among your orders.
    #[schema(min_length = 1, max_length = 128)]
    order_ref: String,
    /// The certificate service's rules; the default profile, unless given.
    profile: Option<String>,
    /// The names of the certificate, wildcards as `*.example.jp`.
    #[schema(min_items = 1, max_items = 250)]
    names: Vec<String>,
    /// Whom to ask: addresses of `GET /v1/approvers`, or objects that say at which ADN and for which names, or "all". An address serves
    /// every name it is allowed for.
    approvers: Option<Approvers>,
    /// Who applies for the certificate.
    applicant: Option<Applicant>,
    /// Who sends the request, as the approver is told.
    #[schema(max_length = 200)]
    requester: Option<String>,
    /// What is ordered, as the approver is told.
    #[schema(max_length = 200)]
    product: Option<String>,
    /// new, renewal, additional or reissue.
    kind: Option<String>,
    /// Which language stands first in mails: ja or en.
    locale: Option<String>,
    /// Who gets notices of what became of the order; never a link.
    #[schema(max_items = 10)]
    notify: Option<Vec<String>>,
    /// Your contract.
    #[schema(max_length = 200)]
    contract_code: Option<String>,
    /// The order that this one follows.
    previous_order_id: Option<String>,
    /// Whatever you want back, 8 KiB at most. `not_after` (RFC 3339) is when the certificate ends, where it is not reported.
    metadata: Option<Map<String, Value>>,
}

/// A domain of the allow-list, as it is written.
#[derive(ToSchema)]
#[schema(example = json!({"approver": "admin@example.ac.jp", "profiles": ["standard"], "note": "情報基盤センター"}))]
pub(in crate::http) struct AllowedBody {
    /// Whom to ask where an order names nobody; must be one who may approve the name then.
    approver: Option<String>,
    /// The profiles it may be ordered under; all, unless given.
    #[schema(max_items = 50)]
    profiles: Option<Vec<String>>,
    /// For people.
    #[schema(max_length = 200)]
    note: Option<String>,
}

/// Whom to ask.
#[derive(ToSchema, Serialize)]
#[serde(untagged)]
pub(in crate::http) enum Approvers {
    /// "all": everybody who may approve.
    All(String),
    /// These.
    These(Vec<ApproverChoice>),
}

/// One approver.
#[derive(ToSchema, Serialize)]
#[serde(untagged)]
pub(in crate::http) enum ApproverChoice {
    /// An address.
    Address(String),
    /// An address for some names.
    Assigned(AssignedApprover),
}

/// An approver for some names.
#[derive(ToSchema, Serialize)]
pub(in crate::http) struct AssignedApprover {
    /// The address.
    email: String,
    /// true: a registration contact that the look-up does not find, under profiles that take one; it is mailed once WHOIS shows it.
    manual: Option<bool>,
    /// With `manual`: who is asked where the address comes to nothing.
    fallback: Option<String>,
    /// At which Authorization Domain Name; the widest it is listed for, unless given.
    adn: Option<String>,
    /// For which of the order's names; all it is allowed for, unless given.
    names: Option<Vec<String>>,
}

/// Who applies for the certificate.
#[derive(ToSchema)]
pub(in crate::http) struct Applicant {
    /// The organization's name. Approvals are reused for the same applicant alone.
    #[schema(max_length = 200)]
    organization: Option<String>,
}

/// Which mail to send once more.
#[derive(ToSchema)]
pub(in crate::http) struct ResendBody {
    /// The mail's id, as the order tells it.
    mail_id: String,
}

/// Whom to ask for which names.
#[derive(ToSchema)]
pub(in crate::http) struct ApproversBody {
    /// Names of the order; all that are open, unless given.
    names: Option<Vec<String>>,
    /// As when an order is placed; left out where the profile's service chooses.
    approvers: Option<Approvers>,
}

/// Why an order is cancelled. The profile says what is required.
#[derive(ToSchema)]
pub(in crate::http) struct CancelBody {
    /// Why.
    #[schema(max_length = 1000)]
    reason: Option<String>,
    /// One of the order's names, so that no other order is cancelled by mistake.
    common_name: Option<String>,
    /// On whose word: applicant, provider or operator.
    by: Option<String>,
}

/// By how much a deadline is moved.
#[derive(ToSchema)]
pub(in crate::http) struct ExtendBody {
    /// Days of 86,400 s.
    #[schema(minimum = 1, maximum = 29)]
    days: u32,
    /// Why.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

/// A certificate that was issued on an order.
#[derive(ToSchema)]
pub(in crate::http) struct CertificateBody {
    /// The serial number in hexadecimal; colons, upper case and leading zeros do not matter.
    #[schema(example = "0a:1b:2c:3d")]
    serial: String,
    /// Its names, each approved in the order.
    #[schema(min_items = 1, max_items = 250)]
    names: Vec<String>,
    /// When it begins to hold.
    #[schema(value_type = String, format = DateTime)]
    not_before: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    not_after: String,
}

/// A certificate as it is known.
#[derive(ToSchema)]
pub(in crate::http) struct CertificateView {
    /// The serial number in its one form.
    serial: String,
    /// Its names.
    names: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    not_before: String,
    #[schema(value_type = String, format = DateTime)]
    not_after: String,
    /// When it was first reported.
    #[schema(value_type = String, format = DateTime)]
    recorded_at: String,
}

/// A page of orders.
#[derive(ToSchema)]
pub(in crate::http) struct OrderPage {
    /// Newest first.
    orders: Vec<OrderView>,
    /// Where the next page begins; null on the last.
    next_cursor: Option<String>,
}

/// An order's timeline.
#[derive(ToSchema)]
pub(in crate::http) struct Timeline {
    /// By `seq`.
    events: Vec<EventView>,
}

/// Live approvals.
#[derive(ToSchema)]
pub(in crate::http) struct ValidationsPage {
    /// The name asked for, in A-labels.
    name: String,
    /// Those that last longest first.
    validations: Vec<ApprovalView>,
}

/// Which events to post once more: one, or those of a time.
#[derive(ToSchema)]
pub(in crate::http) struct ReplayBody {
    /// An event's id, as `webhook-id` tells it.
    event_id: Option<String>,
    /// From this instant on,
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<String>,
    /// and before this one.
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<String>,
}

/// What a replay brought.
#[derive(ToSchema)]
pub(in crate::http) struct ReplayedView {
    /// Posts that wait now.
    replayed: u64,
    /// Events that one call looks at.
    at_most: u32,
    /// Where the next call begins; null where nothing is left.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_from: Option<String>,
}

/// What is wrong with a request (RFC 9457).
#[derive(ToSchema)]
pub(in crate::http) struct ProblemDocument {
    /// A page that says more, on this server.
    r#type: String,
    /// What kind of problem it is.
    title: String,
    /// The HTTP status.
    status: u16,
    /// A stable code: of the problem, or of the first wrong field.
    code: String,
    /// What happened this time.
    detail: Option<String>,
    /// Every wrong field.
    errors: Option<Vec<ProblemField>>,
}

/// A wrong field.
#[derive(ToSchema)]
pub(in crate::http) struct ProblemField {
    /// A JSON pointer into the body, or `/` and the parameter's name.
    pointer: String,
    /// A stable code.
    code: String,
    /// What is wrong.
    detail: String,
}
