//! The system's random numbers.

use crate::ports::Entropy;

/// Draws from the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// # Panics
    /// When the operating system gives no random numbers: without them no Random Value may be made.
    #[expect(clippy::disallowed_methods, reason = "the one place that draws random numbers")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives random numbers");
    }
}
