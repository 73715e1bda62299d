//! `GET /admin/returned`: what came back and belongs to no approval mail, and how the canary fares.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::frame::Frame;
use super::order::{ReturnedLine, returned_line};
use super::{html, jst};
use crate::app::canary::{self, Canary};
use crate::dcv::notice::NoticeKind;
use crate::dcv::timestamp::Timestamp;
use crate::http::{HttpState, Problem};

/// Messages on the page.
const LIMIT: u32 = 100;

/// Canaries on the page.
const CANARIES: u32 = 24;

/// `admin/returned.html`
#[derive(Serialize)]
struct ReturnedPage {
    #[serde(flatten)]
    frame: Frame,
    canary: CanaryLine,
    canaries: Vec<FlightLine>,
    returned: Vec<ReturnedLine>,
}

/// How the canary fares, for people.
#[derive(Serialize)]
pub(super) struct CanaryLine {
    /// `off`, `waiting`, `well` or `missed`.
    state: &'static str,
    /// When it came back, or when the missed one was made.
    at: String,
    /// From making it to its return, in seconds.
    round_trip: u64,
}

impl CanaryLine {
    pub(super) fn new(canary: Canary) -> Self {
        match canary {
            Canary::Off => Self { state: "off", at: String::new(), round_trip: 0 },
            Canary::Waiting => Self { state: "waiting", at: String::new(), round_trip: 0 },
            Canary::Well { round_trip, at } => Self { state: "well", at: jst(at), round_trip: round_trip.as_secs() },
            Canary::Missed { since } => Self { state: "missed", at: jst(since), round_trip: 0 },
        }
    }
}

/// One canary.
#[derive(Serialize)]
struct FlightLine {
    made: String,
    delivery: String,
    failure: Option<String>,
    returned: String,
}

pub(super) async fn get(State(state): State<HttpState>, frame: Frame) -> Result<Response, Problem> {
    let at = |micros: i64| jst(Timestamp::from_unix_micros(micros));
    let canaries = state.app.store.latest_notices(NoticeKind::Canary, CANARIES).await?;
    let page = ReturnedPage {
        canary: CanaryLine::new(canary::state(&state.app).await?),
        canaries: canaries
            .into_iter()
            .map(|one| FlightLine {
                made: at(one.created_at),
                delivery: one.delivery,
                failure: one.failure,
                returned: one.returned_at.map(at).unwrap_or_default(),
            })
            .collect(),
        returned: state.app.store.stray_mails(LIMIT).await?.into_iter().map(|row| returned_line(row, &frame)).collect(),
        frame,
    };
    html(&state, "admin/returned.html", &page)
}
