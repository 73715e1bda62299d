//! `/admin/sign-in` and `/admin/sign-out`, and who may come past them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use axum::Form;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use data_encoding::BASE64;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;

use super::frame::Frame;
use super::{from_same_origin, html, lang, only_from_this_host};
use crate::app::sign_in::{self, From, SignedIn};
use crate::dcv::field::is_one_line;
use crate::dcv::operator::{Need, Role};
use crate::dcv::operator_claims::NotAdmitted;
use crate::http::caller::Peer;
use crate::http::tls::ClientChain;
use crate::http::{Code, HttpState, Problem};

/// The header of what a page's script asks by itself.
const BY_ITSELF: &str = "x-dcvd-by-itself";

/// The cookie's name.
const NAME: &str = "dcvd-session";

/// `admin/sign-in.html`
#[derive(Serialize)]
struct SignInPage {
    #[serde(flatten)]
    frame: Frame,
    /// Why nobody is let in: `wrong`, `wait`, `over`, or empty.
    problem: &'static str,
    name: String,
    passwords: bool,
    /// Certificates are taken.
    certificates: bool,
    /// There is an OpenID Connect provider.
    provider: bool,
}

/// Lets in whoever is signed in and may do what is asked; without sign-in, this host alone.
pub(super) async fn guard(State(state): State<HttpState>, peer: Peer, mut request: Request, next: Next) -> Response {
    let Some(limits) = state.app.settings.sign_in else {
        request.extensions_mut().insert(SignedIn { name: String::new(), role: Role::Admin });
        return only_from_this_host(State(state), request, next).await;
    };
    let cookie = cookie(request.headers());
    // A page that looks again by itself is no operator's doing: it must not keep a sign-in from resting.
    let by_itself = request.uri().path() == "/admin/live" || request.headers().contains_key(BY_ITSELF);
    let found = match &cookie {
        None => Ok(None),
        Some(cookie) => sign_in::signed_in(&state.app, cookie, limits, !by_itself).await,
    };
    let who = match found {
        Err(error) => return Problem::from(error).into_response(),
        Ok(Some(who)) => who,
        // A form that comes too late is not done later.
        Ok(None) if request.method() != Method::GET => return Problem::new(Code::Unauthorized).into_response(),
        Ok(None) => {
            let over = if cookie.is_some() { "?over=1" } else { "" };
            return redirect(&format!("/admin/sign-in{over}"));
        }
    };
    let path = request.uri().path().to_owned();
    let need = match (request.method(), path.as_str()) {
        (&Method::GET | &Method::HEAD, "/admin/access" | "/admin/audit") => Need::ReadAccess,
        (&Method::GET | &Method::HEAD, _) => Need::Look,
        (_, "/admin/exports") => Need::Export,
        (_, path) if path.ends_with("/approvers") => Need::ChooseApprover,
        _ => Need::Act,
    };
    if !who.role.may(need) {
        let detail = format!("the role {} may not do this", who.role.as_str());
        return Problem::new(Code::Forbidden).detail(detail).into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD)
        && let Err(problem) = from_same_origin(request.headers())
    {
        return problem.into_response();
    }
    // What shows personal data is noted as well.
    let personal = ["/admin/orders/", "/admin/exports/", "/admin/approvers"].iter().any(|at| path.starts_with(at));
    let shows = need == Need::Look && personal && who.role.may(Need::SeePersonal);
    let event = if shows { "view" } else { "action" };
    // Whom somebody looked up stands in the address.
    let what = if path == "/admin/approvers" { request.uri().to_string() } else { path };
    let now = state.app.now();
    if need != Need::Look || (shows && state.shown.is_new(&who.name, &what, now)) {
        if let Err(error) = sign_in::note(&state.app, &who, event, &what, &peer.address.to_string()).await {
            return Problem::from(error).into_response();
        }
        if shows {
            state.shown.note(&who.name, &what, now);
        }
    }
    request.extensions_mut().insert(who);
    next.run(request).await
}

/// Who acts, as timelines tell it.
pub(super) fn actor(state: &HttpState, who: &SignedIn) -> String {
    if state.app.settings.sign_in.is_some() { format!("operator:{}", who.name) } else { "operator".to_owned() }
}

pub(super) async fn get(
    State(state): State<HttpState>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Problem> {
    if state.app.settings.sign_in.is_none() {
        return Err(Problem::new(Code::NotFound));
    }
    let why = query.get("why").and_then(|word| NotAdmitted::ALL.into_iter().find(|one| one.as_str() == word));
    let problem = if query.contains_key("over") { "over" } else { why.map_or("", NotAdmitted::as_str) };
    page(&state, StatusCode::OK, lang(&query), problem, "")
}

pub(super) async fn post(
    State(state): State<HttpState>,
    Query(query): Query<HashMap<String, String>>,
    peer: Peer,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Result<Response, Problem> {
    if state.app.settings.sign_in.is_none() {
        return Err(Problem::new(Code::NotFound));
    }
    from_same_origin(&headers)?;
    let given = |name: &str| form.get(name).map(|value| value.trim().to_owned()).unwrap_or_default();
    let (name, lang) = (Some(given("name")).filter(|name| is_one_line(name)).unwrap_or_default(), lang(&query));
    if !state.may_sign_in(peer.limited_as(), &name) {
        return page(&state, StatusCode::TOO_MANY_REQUESTS, lang, "wait", &name);
    }
    let from = from(&peer);
    let before = cookie(&headers);
    let password = form.get("password").map(String::as_str).unwrap_or_default();
    if !state.app.settings.passwords {
        return Err(Problem::new(Code::NotFound));
    }
    let signed = sign_in::sign_in(&state.app, &name, password, &given("code"), before.as_deref(), &from).await?;
    let Some(signed) = signed else { return page(&state, StatusCode::UNPROCESSABLE_ENTITY, lang, "wrong", &name) };
    let mut answer = redirect(&format!("/admin?lang={lang}"));
    answer.headers_mut().insert(SET_COOKIE, set_cookie(&headers, signed.as_str(), ""));
    Ok(answer)
}

/// `POST /admin/sign-in/certificate`: lets in by the certificate that the browser showed when it connected, or says why not.
pub(super) async fn by_certificate(State(state): State<HttpState>, peer: Peer, request: Request) -> Result<Response, Problem> {
    if state.app.settings.sign_in.is_none() || state.app.settings.certificate_rules.is_empty() {
        return Err(Problem::new(Code::NotFound));
    }
    from_same_origin(request.headers())?;
    let lang = if request.uri().query().is_some_and(|query| query.contains("lang=en")) { "en" } else { "ja" };
    // By address alone: what tells certificates from each other is known after looking at them.
    if state.sign_ins.check_key(&peer.limited_as()).is_err() {
        return page(&state, StatusCode::TOO_MANY_REQUESTS, lang, "wait", "");
    }
    let (chain, before) = (chain(&state, &request), cookie(request.headers()));
    match sign_in::sign_in_by_certificate(&state.app, &chain, before.as_deref(), &from(&peer)).await? {
        Ok(cookie) => {
            let mut answer = redirect(&format!("/admin?lang={lang}"));
            answer.headers_mut().insert(SET_COOKIE, set_cookie(request.headers(), cookie.as_str(), ""));
            Ok(answer)
        }
        Err(why) => page(&state, StatusCode::FORBIDDEN, lang, why.as_str(), ""),
    }
}

/// The chain that a client presented: in its own handshake, or as a trusted proxy passes it on.
fn chain(state: &HttpState, request: &Request) -> Vec<Vec<u8>> {
    if let Some(ClientChain(chain)) = request.extensions().get::<ClientChain>() {
        return chain.as_ref().clone();
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    let is_proxy = |peer: IpAddr| state.settings.certificate_proxies.iter().any(|net| net.contains(&peer));
    let Some(header) = state.settings.certificate_header.as_ref().filter(|_| peer.is_some_and(is_proxy)) else {
        return Vec::new();
    };
    // Said twice it is not the proxy's word alone.
    let mut said = request.headers().get_all(header).iter();
    match (said.next().and_then(|value| value.to_str().ok()), said.next()) {
        (Some(text), None) => certificate_of(text).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Reads a certificate as proxies pass it on: a structured field's bytes (RFC 9440), or URL-encoded PEM.
fn certificate_of(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')) {
        return BASE64.decode(inner.as_bytes()).ok();
    }
    // A plus sign stands for itself there.
    let escaped = format!("c={}", text.replace('+', "%2B"));
    let (_, pem) = url::form_urlencoded::parse(escaped.as_bytes()).next()?;
    CertificateDer::from_pem_slice(pem.as_bytes()).ok().map(|der| der.as_ref().to_vec())
}

pub(super) async fn sign_out(State(state): State<HttpState>, peer: Peer, headers: HeaderMap) -> Result<Response, Problem> {
    if state.app.settings.sign_in.is_none() {
        return Err(Problem::new(Code::NotFound));
    }
    from_same_origin(&headers)?;
    if let Some(cookie) = cookie(&headers) {
        sign_in::sign_out(&state.app, &cookie, &from(&peer)).await?;
    }
    let mut answer = redirect("/admin/sign-in");
    answer.headers_mut().insert(SET_COOKIE, set_cookie(&headers, "", "; Max-Age=0"));
    Ok(answer)
}

pub(super) fn from(peer: &Peer) -> From {
    From { peer: peer.address.to_string(), user_agent: peer.user_agent.clone() }
}

fn redirect(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, to.to_owned())]).into_response()
}

pub(super) fn page(
    state: &HttpState,
    status: StatusCode,
    lang: &'static str,
    problem: &'static str,
    name: &str,
) -> Result<Response, Problem> {
    let settings = &state.app.settings;
    let context = SignInPage {
        frame: Frame::outside(lang),
        problem,
        name: name.to_owned(),
        passwords: settings.passwords,
        certificates: !settings.certificate_rules.is_empty(),
        provider: !settings.claim_rules.is_empty(),
    };
    let mut page = html(state, "admin/sign-in.html", &context)?;
    *page.status_mut() = status;
    Ok(page)
}

fn set_cookie(headers: &HeaderMap, value: &str, more: &str) -> HeaderValue {
    // Over plain HTTP, on an address of the page's own that a tunnel or a proxy leads to, a browser would drop a Secure cookie.
    let https = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    session_cookie(https, value, more)
}

/// The cookie of a sign-in.
pub(super) fn session_cookie(https: bool, value: &str, more: &str) -> HeaderValue {
    let secure = if https { "; Secure" } else { "" };
    let text = format!("{NAME}={value}; Path=/admin; HttpOnly; SameSite=Strict{secure}{more}");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// What our cookie holds, where the browser sent one.
pub(super) fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    let ours = all.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == NAME)?;
    Some(ours.1.to_owned()).filter(|value| value.len() == 43)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_header_is_read_in_either_form() {
        assert_eq!(certificate_of(":AQID:"), Some(vec![1, 2, 3]));
        let pem = "-----BEGIN%20CERTIFICATE-----%0AAQID%0A-----END%20CERTIFICATE-----%0A";
        assert_eq!(certificate_of(pem), Some(vec![1, 2, 3]));
        for bad in ["", ":", "::x", ":A:", "AQID", "%00", "-----BEGIN%20CERTIFICATE-----"] {
            assert_eq!(certificate_of(bad).filter(|read| !read.is_empty()), None, "{bad}");
        }
    }
}
