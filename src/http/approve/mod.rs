//! `/approve/{token}`: what domain owners see.

pub(super) mod answer;
mod pages;
pub(super) mod show;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;

/// The language of a page: as switched to, else as the browser prefers, else as the order was placed.
fn language(switched: Option<&str>, headers: &HeaderMap, order: Option<&str>) -> &'static str {
    let known = |text: &str| match text.trim().get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("ja") => Some("ja"),
        Some("en") => Some("en"),
        _ => None,
    };
    let preferred =
        headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).and_then(|value| value.split(',').find_map(known));
    switched.and_then(known).or(preferred).or_else(|| order.and_then(known)).unwrap_or("ja")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_wins_over_the_browser_and_the_browser_over_the_order() {
        let mut headers = HeaderMap::new();
        assert_eq!(language(None, &headers, None), "ja");
        assert_eq!(language(None, &headers, Some("en")), "en");
        headers.insert(ACCEPT_LANGUAGE, "fr, en-GB;q=0.8, ja;q=0.5".parse().unwrap());
        assert_eq!(language(None, &headers, Some("ja")), "en");
        assert_eq!(language(Some("ja"), &headers, Some("en")), "ja");
        assert_eq!(language(Some("xx"), &headers, Some("ja")), "en");
    }
}
