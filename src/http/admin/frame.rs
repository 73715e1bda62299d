//! What every page of the status page has around it: who looks, what they may do, and in which language.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use data_encoding::BASE32_NOPAD;
use serde::Serialize;

use crate::app::sign_in::SignedIn;
use crate::dcv::operator::{Need, Role};
use crate::http::{Code, HttpState, Problem};

/// The frame of a page; `admin/layout.html`.
#[derive(Serialize)]
pub(super) struct Frame {
    pub(super) lang: &'static str,
    static_base: &'static str,
    /// Who is signed in; empty where nobody can be.
    who: String,
    /// What they may do.
    may: May,
    /// Which part of the menu this page belongs to.
    here: String,
    /// The address' own parameters but the language, to stand before that one.
    kept: String,
    /// What makes each press of this page's buttons count once.
    once: String,
    #[serde(skip)]
    pub(super) signed: SignedIn,
    #[serde(skip)]
    query: Vec<(String, String)>,
}

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "one for each thing that a template asks about")]
struct May {
    act: bool,
    choose: bool,
    access: bool,
    personal: bool,
    export: bool,
}

impl Frame {
    /// A parameter of the address, without the blanks around it; `None` where it is not there, or empty, or not one line.
    pub(super) fn given(&self, name: &str) -> Option<String> {
        let value = self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim())?;
        (!value.is_empty() && crate::dcv::field::is_one_line(value)).then(|| value.to_owned())
    }

    /// The address' parameters with one replaced, for a link to another page of the same list.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
        let mut next = url::form_urlencoded::Serializer::new(String::new());
        for (key, value) in self.query.iter().filter(|(key, value)| key != name && !value.is_empty()) {
            next.append_pair(key, value);
        }
        next.append_pair(name, value).finish()
    }

    /// Whether whoever looks may do something.
    pub(super) const fn may(&self, need: Need) -> bool {
        self.signed.role.may(need)
    }

    /// An address as whoever looks may see it.
    pub(super) fn shown(&self, address: &str) -> String {
        if self.may(Need::SeePersonal) { address.to_owned() } else { crate::dcv::email::masked_text(address) }
    }

    /// The frame of a page that nobody is signed in to.
    pub(super) fn outside(lang: &'static str) -> Self {
        let nobody = SignedIn { name: String::new(), role: Role::Viewer };
        Self::new(lang, nobody, false, "", Vec::new(), String::new())
    }

    fn new(lang: &'static str, signed: SignedIn, signs_in: bool, here: &str, query: Vec<(String, String)>, once: String) -> Self {
        let may = |need| signed.role.may(need);
        let mut kept = url::form_urlencoded::Serializer::new(String::new());
        for (key, value) in query.iter().filter(|(key, _)| key != "lang") {
            kept.append_pair(key, value);
        }
        let mut kept = kept.finish();
        if !kept.is_empty() {
            kept.push('&');
        }
        Self {
            lang,
            static_base: "",
            may: May {
                act: may(Need::Act),
                choose: may(Need::ChooseApprover),
                access: signs_in && may(Need::ReadAccess),
                personal: may(Need::SeePersonal),
                export: may(Need::Export),
            },
            who: signed.name.clone(),
            here: here.to_owned(),
            kept,
            once,
            signed,
            query,
        }
    }
}

impl FromRequestParts<HttpState> for Frame {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let signed = parts.extensions.get::<SignedIn>().cloned().ok_or_else(|| Problem::new(Code::Unauthorized))?;
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map(|query| query.0).unwrap_or_default();
        let lang = if query.iter().any(|(key, value)| key == "lang" && value == "en") { "en" } else { "ja" };
        let here = parts.uri.path().split('/').nth(2).unwrap_or_default().to_owned();
        let once = BASE32_NOPAD.encode(&state.app.random::<16>());
        Ok(Self::new(lang, signed, state.app.settings.sign_in.is_some(), &here, query, once))
    }
}
