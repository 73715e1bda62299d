//! `GET /admin`: what needs a person, how things run, and how the last thirty days went.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::frame::Frame;
use super::html;
use super::list::OrderLine;
use super::returned::CanaryLine;
use crate::app::canary;
use crate::app::overview::{Funnel, Overview, overview};
use crate::app::show_order::list_orders;
use crate::dcv::timestamp::Timestamp;
use crate::http::{HttpState, Problem};
use crate::store::{OrderFilter, OrderIs};

/// Orders shown of each list.
const SHOWN: u32 = 10;

/// `admin/overview.html`
#[derive(Serialize)]
struct OverviewPage {
    #[serde(flatten)]
    frame: Frame,
    counts: Overview,
    canary: CanaryLine,
    /// The days on which the rules change next, and how many days are left.
    rule_days: Vec<RuleDay>,
    funnel: Vec<FunnelStep>,
    trouble: Vec<OrderLine>,
    latest: Vec<OrderLine>,
}

#[derive(Serialize)]
struct RuleDay {
    day: &'static str,
    left: i64,
    ja: &'static str,
    en: &'static str,
}

#[derive(Serialize)]
struct FunnelStep {
    ja: &'static str,
    en: &'static str,
    count: i64,
    /// Of the first step, in percent.
    percent: i64,
}

/// What the Baseline Requirements change, and when.
const RULE_DAYS: [(&str, i64, &str, &str); 3] = [
    (
        "2027-03-15",
        1_805_068_800,
        "確認結果を再利用できる期間が 200 日から 100 日に短くなります",
        "approvals may be reused for 100 days instead of 200",
    ),
    (
        "2028-03-15",
        1_836_691_200,
        "メールによる確認方法(3.2.2.4.4、.13、.14)は使えなくなります",
        "validation by e-mail (3.2.2.4.4, .13, .14) ends",
    ),
    ("2029-03-15", 1_868_227_200, "確認結果を再利用できる期間が 10 日に短くなります", "approvals may be reused for 10 days"),
];

pub(super) async fn get(State(state): State<HttpState>, frame: Frame) -> Result<Response, Problem> {
    let app = &state.app;
    let list = async |filter: OrderFilter| -> Result<Vec<OrderLine>, Problem> {
        let (records, _) = list_orders(app, &filter).await?;
        Ok(records.iter().map(|record| OrderLine::new(record, &frame)).collect::<Result<_, _>>()?)
    };
    let trouble = list(OrderFilter { is: Some(OrderIs::InTrouble), limit: SHOWN, ..OrderFilter::default() }).await?;
    let latest = list(OrderFilter { limit: SHOWN, ..OrderFilter::default() }).await?;
    let now = app.now();
    let left = |secs: i64| (secs - now.unix_secs()).div_euclid(86_400);
    let (counts, funnel) = overview(app).await?;
    let page = OverviewPage {
        counts,
        canary: CanaryLine::new(canary::state(app).await?),
        rule_days: RULE_DAYS
            .into_iter()
            .filter(|(_, secs, ..)| Timestamp::from_unix_secs(*secs) > now)
            .map(|(day, secs, ja, en)| RuleDay { day, left: left(secs), ja, en })
            .collect(),
        funnel: steps(&funnel),
        trouble,
        latest,
        frame,
    };
    html(&state, "admin/overview.html", &page)
}

fn steps(funnel: &Funnel) -> Vec<FunnelStep> {
    let words: [(&str, &str, i64); 8] = [
        ("受付", "received", funnel.created),
        ("宛先あり", "an address was found", funnel.addressed),
        ("リレーが受領", "the relay took a mail", funnel.accepted),
        ("不達なし", "no mail came back", funnel.kept),
        ("人が開いた", "opened by a person", funnel.viewed),
        ("回答", "answered", funnel.decided),
        ("注文システムへ通知", "the ordering system knows", funnel.told),
        ("発行の報告", "a certificate was reported", funnel.issued),
    ];
    let whole = funnel.created.max(1);
    words.into_iter().map(|(ja, en, count)| FunnelStep { ja, en, count, percent: count * 100 / whole }).collect()
}
