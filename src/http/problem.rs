//! Problem documents (RFC 9457), and the one table of their codes.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::dcv::field::FieldError;
use crate::store::StoreError;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// A problem's stable code.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Code { $($(#[$doc])* $name),* }

        /// Every code with its status and title.
        pub const CODES: &[(&str, u16, &str)] = &[$(($code, $status, $title)),*];

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code as the contract spells it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                self.row().0
            }

            const fn row(self) -> (&'static str, u16, &'static str) {
                match self { $(Self::$name => ($code, $status, $title)),* }
            }
        }
    };
}

codes! {
    /// The JSON cannot be read.
    BrokenJson = "broken-json", 400, "The body is not JSON";
    /// The request cannot be read.
    BadRequest = "bad-request", 400, "The request cannot be read";
    /// No or a wrong bearer token.
    Unauthorized = "unauthorized", 401, "A valid bearer token is needed";
    /// A form came from another site.
    Forbidden = "forbidden", 403, "This is not allowed";
    /// The token is known and does not have the scope.
    InsufficientScope = "insufficient-scope", 403, "The token does not have the scope";
    /// The client may not order under the profile.
    ProfileNotAllowed = "profile-not-allowed", 403, "The client may not order under this profile";
    /// The order's profile does not let this party do it.
    NotAllowed = "not-allowed", 403, "The order's profile does not allow this";
    /// There is no such thing, or not for this caller.
    NotFound = "not-found", 404, "There is no such thing here";
    /// The path has other methods.
    MethodNotAllowed = "method-not-allowed", 405, "This path has other methods";
    /// The client used the reference before.
    DuplicateOrderRef = "duplicate-order-ref", 409, "The order reference was used before";
    /// The profile allows one open order for the same customer and names.
    OpenOrderExists = "open-order-exists", 409, "An order for one of these names is open";
    /// The order is completed or cancelled.
    OrderEnded = "order-ended", 409, "The order has ended";
    /// Another certificate was reported under the serial number.
    CertificateDiffers = "certificate-differs", 409, "Another certificate was reported under this serial number";
    /// A request under the same key is under way.
    IdempotencyInProgress = "idempotency-in-progress", 409, "A request under this Idempotency-Key is under way";
    /// The key was used with another request.
    IdempotencyKeyReused = "idempotency-key-reused", 409, "The Idempotency-Key was used for another request";
    /// A name was decided or has ended, or the order has, or it has no such name.
    NameEnded = "name-ended", 409, "Nothing is open there any more";
    /// Nobody answered in time, and the profile wants a new application.
    MustReapply = "must-reapply", 409, "The deadline passed; the applicant must apply again";
    /// The mail's link has ended: it was answered, or its deadline passed, or its order ended.
    LinkEnded = "link-ended", 409, "The mail's link has ended";
    /// The mail states a deadline that was moved.
    ResendWouldStateOldDeadline = "resend-would-state-old-deadline", 409, "The mail would state a deadline that no longer holds";
    /// The body is longer than the limit.
    BodyTooLarge = "body-too-large", 413, "The body is too large";
    /// The body is not said to be JSON.
    WrongContentType = "wrong-content-type", 415, "The body must be application/json";
    /// A field is wrong; the document's own code is that of the first error.
    Invalid = "invalid-request", 422, "The request cannot be accepted";
    /// The mail was sent a moment ago, or as often as its profile allows.
    ResendTooSoon = "resend-too-soon", 429, "The mail may not be sent again now";
    /// The caller is too fast.
    TooManyRequests = "too-many-requests", 429, "Too many requests";
    /// Our fault.
    Internal = "internal", 500, "Something went wrong here";
    /// The database is not there.
    Unavailable = "unavailable", 503, "The service is not available for now";
    /// A source that was needed did not answer.
    SourceUnavailable = "source-unavailable", 503, "A source did not answer";
}

/// The media type of a problem document.
const PROBLEM_JSON: &str = "application/problem+json";

/// A problem document.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: Option<String>,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    retry_after_secs: Option<u64>,
}

impl Problem {
    /// A problem without more to say.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self { code, detail: None, errors: Vec::new(), members: Map::new(), retry_after_secs: None }
    }

    /// A request whose fields are wrong.
    #[must_use]
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::new(Code::Invalid) }
    }

    /// Whether its code is this.
    pub(super) fn is(&self, code: Code) -> bool {
        self.code == code
    }

    /// Says more, for a person.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a member of its own.
    #[must_use]
    pub fn member(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    /// Says when to try again.
    #[must_use]
    pub const fn retry_after(mut self, secs: u64) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }
}

/// Whether an answer is a problem document.
pub(super) fn is_problem(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == PROBLEM_JSON.as_bytes())
}

/// Makes a problem document of an error that a layer or an extractor answered in its own words.
pub(super) fn dress(response: Response) -> Response {
    let status = response.status();
    let own = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| !kind.as_bytes().starts_with(b"text/plain"));
    if own || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let code = match status {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::WrongContentType,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        status if status.is_client_error() => Code::BadRequest,
        _ => Code::Internal,
    };
    Problem::new(code).into_response()
}

impl From<StoreError> for Problem {
    /// Logs what happened and tells none of it.
    fn from(error: StoreError) -> Self {
        if !matches!(error, StoreError::Repeated) {
            tracing::error!(%error, "the store failed a request");
        }
        match error {
            StoreError::Repeated => Self::new(Code::IdempotencyInProgress).retry_after(1),
            error if error.would_recur() => Self::new(Code::Internal),
            _ => Self::new(Code::Unavailable).retry_after(5),
        }
    }
}

impl Problem {
    /// The status and the document.
    pub(super) fn document(self) -> (StatusCode, Value, Option<u64>) {
        let (own, status, title) = self.code.row();
        let code = self.errors.first().map_or(own, |error| error.code);
        let mut body = self.members;
        body.insert("type".to_owned(), json!(format!("/problems/{own}")));
        body.insert("title".to_owned(), json!(title));
        body.insert("status".to_owned(), json!(status));
        body.insert("code".to_owned(), json!(code));
        if let Some(detail) = self.detail.or_else(|| self.errors.first().map(|error| error.detail.clone())) {
            body.insert("detail".to_owned(), json!(detail));
        }
        if !self.errors.is_empty() {
            body.insert("errors".to_owned(), json!(self.errors));
        }
        (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Value::Object(body), self.retry_after_secs)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, body, retry_after) = self.document();
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body.to_string()).into_response();
        let headers = response.headers_mut();
        if let Some(secs) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
