//! `/admin/exports`: rows taken away as files, made in the background.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Serialize;

use super::frame::Frame;
use super::press::Pressed;
use super::{html, jst, sign_in};
use crate::app::export::{Format, MadeOf, Rows, export_part, file_name, order_export};
use crate::app::sign_in::note;
use crate::dcv::id::EventId;
use crate::dcv::operator::Need;
use crate::dcv::timestamp::Timestamp;
use crate::http::caller::Peer;
use crate::http::{Code, HttpState, Problem};
use crate::store::ExportRow;

/// Files shown.
const SHOWN: u32 = 50;

/// The list's parameters that a file may be made with.
pub const FILTERS: [&str; 21] = [
    "role",
    "suffix",
    "has",
    "decided_from",
    "decided_to",
    "method",
    "requester",
    "client",
    "mine",
    "name",
    "order_ref",
    "q",
    "state",
    "is",
    "profile",
    "source",
    "kind",
    "from",
    "to",
    "days",
    "by",
];

/// `admin/exports.html`
#[derive(Serialize)]
struct ExportsPage {
    #[serde(flatten)]
    frame: Frame,
    rows: Vec<(&'static str, &'static str, &'static str)>,
    formats: Vec<(&'static str, &'static str)>,
    /// The filter that the form carries on.
    filter: Vec<(String, String)>,
    chosen: String,
    files: Vec<FileLine>,
    /// Something is being made: the page looks again by itself.
    waiting: bool,
}

#[derive(Serialize)]
struct FileLine {
    id: String,
    rows: (&'static str, &'static str, &'static str),
    format: &'static str,
    filter: String,
    operator: String,
    masked: bool,
    state: String,
    created: String,
    count: i64,
}

pub(super) async fn get(State(state): State<HttpState>, frame: Frame) -> Result<Response, Problem> {
    let actor = sign_in::actor(&state, &frame.signed);
    let own = (!frame.may(Need::ReadAccess)).then_some(actor.as_str());
    let files = state.app.store.exports(own, SHOWN).await?;
    let may_log = frame.may(Need::ReadAccess);
    let page = ExportsPage {
        rows: Rows::ALL.into_iter().filter(|rows| *rows != Rows::AccessLog || may_log).map(Rows::in_words).collect(),
        formats: Format::ALL.into_iter().map(Format::in_words).collect(),
        filter: FILTERS.iter().filter_map(|name| Some(((*name).to_owned(), frame.given(name)?))).collect(),
        chosen: frame.given("rows").unwrap_or_default(),
        waiting: files.iter().any(|one| one.state == "waiting"),
        files: files.into_iter().filter_map(line).collect(),
        frame,
    };
    html(&state, "admin/exports.html", &page)
}

fn line(row: ExportRow) -> Option<FileLine> {
    let made: MadeOf = serde_json::from_str(&row.made_of).ok()?;
    let filter = made.filter.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
    Some(FileLine {
        id: EventId::from_bytes(row.id.try_into().ok()?).to_string(),
        rows: made.rows.in_words(),
        format: made.format.in_words().1,
        filter,
        operator: row.operator,
        masked: row.masked == 1,
        state: row.state,
        created: jst(Timestamp::from_unix_micros(row.created_at)),
        count: row.row_count,
    })
}

/// `POST /admin/exports`
pub(super) async fn post(State(state): State<HttpState>, peer: Peer, pressed: Pressed) -> Result<Response, Problem> {
    let bad = |what: &str| Problem::new(Code::BadRequest).detail(format!("{what}: choose one of those listed"));
    let rows = pressed.given("rows").and_then(Rows::from_text).ok_or_else(|| bad("rows"))?;
    let format = pressed.given("format").and_then(Format::from_text).ok_or_else(|| bad("format"))?;
    if rows == Rows::AccessLog && !pressed.may(Need::ReadAccess) {
        return Err(Problem::new(Code::Forbidden).detail("the access log is for auditors"));
    }
    let mut filter = BTreeMap::new();
    for name in FILTERS {
        if let Some(value) = pressed.line(name)? {
            filter.insert(name.to_owned(), value);
        }
    }
    let made = MadeOf { rows, format, for_spreadsheets: pressed.given("for_programs").is_none(), filter };
    let masked = !pressed.may(Need::SeePersonal);
    let told = format!("/admin/exports rows={} format={} {:?}", rows.in_words().0, format.in_words().0, made.filter);
    if state.app.settings.sign_in.is_some() {
        note(&state.app, pressed.who(), "export", &told, &peer.address.to_string()).await?;
    }
    let outcome = order_export(&state.app, &made, masked, pressed.cause()).await;
    match outcome {
        Ok(None) => {
            return Err(Problem::new(Code::TooManyRequests)
                .detail("files of yours are still being made, or there are too many files already: they go after seven days")
                .retry_after(10));
        }
        // A small file is there at once; where that fails, a worker makes it.
        Ok(Some(_)) => {
            if let Err(error) = export_part(&state.app).await {
                tracing::warn!(%error, "a file's first part is left to a worker");
            }
        }
        Err(_) => {}
    }
    pressed.done(outcome.map(|_| ()).map_err(Problem::from), "/admin/exports")
}

/// `GET /admin/exports/{id}`: the file.
pub(super) async fn file(State(state): State<HttpState>, Path(id): Path<String>, frame: Frame) -> Result<Response, Problem> {
    let id = EventId::parse(&id).map_err(|_| Problem::new(Code::NotFound))?;
    let row = state.app.store.export(&id.as_bytes()[..]).await?.ok_or_else(|| Problem::new(Code::NotFound))?;
    let own = row.operator == sign_in::actor(&state, &frame.signed);
    // What was made without masks is not for whoever may see no addresses now.
    let made: MadeOf = serde_json::from_str(&row.made_of).map_err(|_| Problem::new(Code::Internal))?;
    let own = own && made.rows != Rows::AccessLog;
    if !(own || frame.may(Need::ReadAccess)) || (row.masked == 0 && !frame.may(Need::SeePersonal)) || row.state != "ready" {
        return Err(Problem::new(Code::NotFound));
    }
    let name = format!("attachment; filename=\"{}\"", file_name(&row, &made));
    // A part at a time, so that no file has to fit into memory.
    let parts = stream::unfold((state, row.id.clone(), 0_i64, row.parts), |(state, id, number, parts)| async move {
        if number >= parts {
            return None;
        }
        let part = match state.app.store.export_part(&id, number).await {
            Ok(part) => part.ok_or_else(|| std::io::Error::other("a part is gone")),
            Err(error) => Err(std::io::Error::other(error)),
        };
        Some((part, (state, id, number + 1, parts)))
    });
    let headers = [(CONTENT_TYPE, made.format.media().0.to_owned()), (CONTENT_DISPOSITION, name)];
    Ok((headers, Body::from_stream(parts)).into_response())
}
