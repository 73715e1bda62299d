//! One line for each request: the matched path, never the path itself, which may hold a token.

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::response::Response;
use metrics::histogram;
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
        let (took, status) = (self.start.elapsed(), response.status().as_u16());
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let path = self.path.as_ref().map_or("unmatched", MatchedPath::as_str);
        // What a stranger may make up must not become a series of its own.
        let method = match self.method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::HEAD => "HEAD",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        let labels = [("route", path.to_owned()), ("method", method.to_owned()), ("status", status.to_string())];
        histogram!("dcvd_http_request_duration_seconds", &labels).record(took);
        tracing::info!(method = %self.method, path, status, duration_ms = millis, "request");
    }
}
