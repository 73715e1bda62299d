//! One line for each request: the matched path, never the path itself, which may hold a token.

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::response::Response;
use tokio::time::Instant;

/// A request that is being answered.
pub(super) struct Line {
    method: Method,
    path: Option<MatchedPath>,
    start: Instant,
}

impl Line {
    pub(super) fn begin(request: &Request) -> Self {
        Self { method: request.method().clone(), path: request.extensions().get::<MatchedPath>().cloned(), start: Instant::now() }
    }

    pub(super) fn end(self, response: &Response) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let path = self.path.as_ref().map_or("unmatched", MatchedPath::as_str);
        tracing::info!(method = %self.method, path, status = response.status().as_u16(), duration_ms = millis, "request");
    }
}
