//! `GET /admin/access`: who came, who was refused, who left, and what was done.

use std::collections::HashMap;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Serialize;

use super::{html, jst, lang, utc};
use crate::app::sign_in::SignedIn;
use crate::dcv::id::EventId;
use crate::dcv::timestamp::Timestamp;
use crate::http::{HttpState, Problem};

/// Entries on one page.
const LIMIT: u32 = 100;

/// `admin/access.html`
#[derive(Serialize)]
struct AccessPage<'a> {
    lang: &'static str,
    static_base: &'a str,
    who: &'a str,
    entries: Vec<AccessLine>,
    next: Option<String>,
}

#[derive(Serialize)]
struct AccessLine {
    jst: String,
    utc: String,
    operator: String,
    event: String,
    detail: String,
    peer: String,
}

pub(in crate::http) async fn get(
    State(state): State<HttpState>,
    Extension(who): Extension<SignedIn>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Problem> {
    let before = query.get("before").and_then(|text| EventId::parse(text).ok());
    let mut rows = state.app.store.access_log(before.as_ref().map(|id| &id.as_bytes()[..]), LIMIT + 1).await?;
    let more = rows.len() > LIMIT as usize;
    rows.truncate(LIMIT as usize);
    let last = rows.last().and_then(|row| Some(EventId::from_bytes(row.id.clone().try_into().ok()?)));
    let lang = lang(&query);
    let page = AccessPage {
        lang,
        static_base: "",
        who: &who.name,
        next: last.filter(|_| more).map(|id| format!("lang={lang}&before={id}")),
        entries: rows
            .into_iter()
            .map(|row| AccessLine {
                jst: jst(Timestamp::from_unix_micros(row.at)),
                utc: utc(Timestamp::from_unix_micros(row.at)),
                operator: row.operator,
                event: row.event,
                detail: row.detail,
                peer: row.peer,
            })
            .collect(),
    };
    html(&state, "admin/access.html", &page)
}
