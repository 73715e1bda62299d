//! `GET /admin/access`: who came, who was refused, who left, and what was done.

use axum::extract::State;
use axum::response::Response;
use data_encoding::HEXLOWER;
use serde::Serialize;

use super::frame::Frame;
use super::{html, jst, utc};
use crate::dcv::id::EventId;
use crate::dcv::timestamp::Timestamp;
use crate::http::{HttpState, Problem};

/// Seals shown.
const SEALS: u32 = 5;

/// Entries on one page.
const LIMIT: u32 = 100;

/// `admin/access.html`
#[derive(Serialize)]
struct AccessPage {
    #[serde(flatten)]
    frame: Frame,
    entries: Vec<AccessLine>,
    /// The audit log's latest seals: number, time, hash.
    seals: Vec<(i64, String, String)>,
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

pub(super) async fn get(State(state): State<HttpState>, frame: Frame) -> Result<Response, Problem> {
    let before = frame.given("before").and_then(|text| EventId::parse(&text).ok());
    let mut rows = state.app.store.access_log(before.as_ref().map(|id| &id.as_bytes()[..]), LIMIT + 1).await?;
    let more = rows.len() > LIMIT as usize;
    rows.truncate(LIMIT as usize);
    let last = rows.last().and_then(|row| Some(EventId::from_bytes(row.id.clone().try_into().ok()?)));
    let seals = state.app.store.latest_seals(SEALS).await?;
    let page = AccessPage {
        seals: seals
            .into_iter()
            .map(|(number, at, hash)| (number, jst(Timestamp::from_unix_micros(at)), HEXLOWER.encode(&hash)))
            .collect(),
        next: last.filter(|_| more).map(|id| frame.with("before", &id.to_string())),
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
        frame,
    };
    html(&state, "admin/access.html", &page)
}
