//! Lets operators in to the status page by an OpenID Connect provider's word: sends them there, and takes the answer they come back with.

use subtle::ConstantTimeEq as _;

use super::App;
use super::sign_in::{self, By, Cookie, From, admit_operator, refused};
use crate::dcv::authorization_request::AuthorizationRequest;
use crate::dcv::operator::Role;
use crate::dcv::operator_claims::{NotAdmitted, admit, called, wanted};
use crate::ports::OpenIdFailure;
use crate::store::StoreError;

/// Where a browser goes, and what it keeps meanwhile.
pub struct Away {
    /// The provider's page.
    pub to: String,
    /// The cookie's content.
    pub cookie: String,
}

/// Sends somebody to the provider. `before` is the cookie of the sign-in that the browser has: it is replaced when they come back.
///
/// # Errors
/// [`NotAdmitted::ProviderUnavailable`].
pub async fn begin(app: &App, english: bool, before: Option<&str>) -> Result<Away, NotAdmitted> {
    let provider = app.ports.open_id.as_ref().ok_or(NotAdmitted::ProviderUnavailable)?;
    let before = before.and_then(|cookie| sign_in::hash(cookie).try_into().ok());
    let request = AuthorizationRequest { begun: app.now(), random: app.random(), english, before };
    let to = provider.authorization_url(&request.secrets(&app.keys), english, request.begun).await.map_err(|error| {
        tracing::warn!(%error, "nobody can sign in by OpenID Connect");
        NotAdmitted::ProviderUnavailable
    })?;
    Ok(Away { to, cookie: request.cookie(&app.keys) })
}

/// What a browser brings back.
#[derive(Clone, Copy, Default)]
pub struct Answer<'a> {
    /// What it kept.
    pub cookie: &'a str,
    /// The provider's code; empty where it let nobody in.
    pub code: &'a str,
    /// What we gave to the provider.
    pub state: &'a str,
    /// The provider that says so, where it tells. Spec: RFC 9207.
    pub issuer: Option<&'a str>,
}

/// Lets in whoever comes back from the provider with a good answer.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn finish(app: &App, answer: Answer<'_>, from: &From) -> Result<Result<Cookie, NotAdmitted>, StoreError> {
    let known = match identify(app, answer).await {
        Ok(known) => known,
        // Any site can send a browser here that began nothing: no durable write for that.
        Err(NotAdmitted::NotBegunHere) => return Ok(Err(NotAdmitted::NotBegunHere)),
        Err(why) => {
            refused(app, "", why.as_str(), from).await?;
            return Ok(Err(why));
        }
    };
    let by = By { way: "openid", called: known.called };
    let cookie = admit_operator(app, &known.name, known.role, by, known.before.map(Vec::from), from).await?;
    Ok(cookie.ok_or(NotAdmitted::Disabled))
}

/// The language of the page on which a sign-in was begun.
#[must_use]
pub fn lang(app: &App, cookie: &str) -> &'static str {
    if AuthorizationRequest::read(&app.keys, cookie).is_some_and(|(request, _)| request.english) { "en" } else { "ja" }
}

/// Who came.
struct Known {
    name: String,
    role: Role,
    called: Option<String>,
    before: Option<[u8; 32]>,
}

async fn identify(app: &App, answer: Answer<'_>) -> Result<Known, NotAdmitted> {
    let provider = app.ports.open_id.as_ref().ok_or(NotAdmitted::ProviderUnavailable)?;
    let (request, secrets) = AuthorizationRequest::read(&app.keys, answer.cookie).ok_or(NotAdmitted::NotBegunHere)?;
    // Whoever lured a browser here with an answer of their own does not know what went out from it.
    if !bool::from(secrets.state.as_bytes().ct_eq(answer.state.as_bytes())) {
        return Err(NotAdmitted::NotBegunHere);
    }
    let now = app.now();
    if request.is_over(now) {
        return Err(NotAdmitted::TookTooLong);
    }
    if answer.code.is_empty() {
        return Err(NotAdmitted::ProviderRefused);
    }
    let settings = &app.settings;
    let wanted = wanted(&settings.claim_rules);
    let identity = provider.identity(answer.code, &secrets, &wanted, now).await.map_err(|error| {
        tracing::warn!(%error, "somebody was not let in by OpenID Connect");
        match error {
            OpenIdFailure::Unavailable(_) => NotAdmitted::ProviderUnavailable,
            OpenIdFailure::Refused(_) => NotAdmitted::ProviderRefused,
            OpenIdFailure::Unverified(_) => NotAdmitted::Unverified,
        }
    })?;
    if answer.issuer.is_some_and(|issuer| issuer != identity.issuer) {
        return Err(NotAdmitted::Unverified);
    }
    let (name, role) = admit(&identity, &settings.claim_rules)?;
    Ok(Known { name, role, called: called(&identity), before: request.before })
}
