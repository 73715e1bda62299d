//! Who asks for a change.

use crate::store::Repeatable;

/// On whose word something changes, and the request it came in, which is remembered in the same transaction where it may be repeated.
#[derive(Debug, Clone)]
pub struct Cause {
    /// `client:<name>`, `operator:<name>`, `approver`, `system`.
    pub actor: String,
    /// The request, where it carried an Idempotency-Key.
    pub request: Option<Repeatable>,
    /// Why, where somebody said so.
    pub reason: Option<String>,
}

impl Cause {
    /// The daemon by itself.
    pub const SYSTEM: &str = "system";

    /// Somebody's word that is not repeated.
    #[must_use]
    pub fn by(actor: &str) -> Self {
        Self { actor: actor.to_owned(), request: None, reason: None }
    }
}
