//! `GET /admin/live`: tells an open page that something has changed, so that it looks again. What it shows is not in here.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tokio::time::{Instant, sleep};

use crate::http::{Code, HttpState, Problem};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long one stream lasts; the browser asks for the next by itself. A sign-in that ended meanwhile is told then.
const LASTS: Duration = Duration::from_secs(60);

/// Streams at once.
const STREAMS_MAX: usize = 64;

static STREAMS: AtomicUsize = AtomicUsize::new(0);

/// A place among the streams.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let place = Self;
        if STREAMS.fetch_add(1, Ordering::Relaxed) < STREAMS_MAX { Some(place) } else { None }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        STREAMS.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) async fn get(State(state): State<HttpState>) -> Result<Response, Problem> {
    let place = Place::take().ok_or_else(|| Problem::new(Code::TooManyRequests).retry_after(60))?;
    let last = state.app.store.latest_change().await?;
    let ends = Instant::now() + LASTS;
    let changes = stream::unfold((state, place, last), move |(state, place, last)| async move {
        loop {
            tokio::select! {
                () = state.settings.stopping.cancelled() => return None,
                () = sleep(LOOK_EVERY) => {}
            }
            if Instant::now() >= ends {
                return None;
            }
            // Where the database fails the page stays as it is.
            let now = state.app.store.latest_change().await.unwrap_or_else(|_| last.clone());
            if now != last {
                let event = Event::default().event("changed").data("1").retry(LOOK_EVERY);
                return Some((Ok::<_, Infallible>(event), (state, place, now)));
            }
        }
    });
    Ok(Sse::new(changes).keep_alive(KeepAlive::default()).into_response())
}
