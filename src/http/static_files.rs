//! The stylesheet, and the script that draws the API's description.

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use super::{Code, Problem};
use crate::render::static_file;

pub(super) async fn serve(Path(file): Path<String>) -> Response {
    let kind = match file.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        _ => return Problem::new(Code::NotFound).into_response(),
    };
    match static_file(&file) {
        Some(bytes) => ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=3600")], bytes).into_response(),
        None => Problem::new(Code::NotFound).into_response(),
    }
}
