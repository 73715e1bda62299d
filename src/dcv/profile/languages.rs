//! The languages of mails and pages.

use serde::{Deserialize, Serialize};

use crate::dcv::order::Locale;

/// Languages, each once and at least one; the first stands in for one that is not among them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<Locale>")]
pub struct Languages(Vec<Locale>);

impl Languages {
    /// Whether a language is among them.
    #[must_use]
    pub fn speak(&self, locale: Locale) -> bool {
        self.0.contains(&locale)
    }

    /// The wanted one where it is among them, else the first.
    #[must_use]
    pub fn pick(&self, wanted: Locale) -> Locale {
        self.0.iter().copied().find(|one| *one == wanted).or_else(|| self.0.first().copied()).unwrap_or(wanted)
    }

    /// Whether there is more than one.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }
}

impl Default for Languages {
    fn default() -> Self {
        Self(Locale::ALL.to_vec())
    }
}

impl TryFrom<Vec<Locale>> for Languages {
    type Error = &'static str;

    fn try_from(list: Vec<Locale>) -> Result<Self, Self::Error> {
        if list.is_empty() || list.iter().enumerate().any(|(at, one)| list[..at].contains(one)) {
            return Err("name at least one language, each once: ja, en");
        }
        Ok(Self(list))
    }
}
