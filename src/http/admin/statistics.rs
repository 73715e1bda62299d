//! `GET /admin/statistics`: pictures of a period, with their numbers, and a table by any property of orders.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::frame::Frame;
use super::html;
use crate::app::statistics::{Counts, RENEWAL_WEEKS, Statistics, approval_rate, by_value, count, statistics};
use crate::dcv::mail_cause::MailCause;
use crate::dcv::tally::{Dimension, measure};
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::http::{HttpState, Problem};
use crate::render::{Bars, Chart};

/// Periods to choose from, in days; the first is shown unless another is chosen.
const PERIODS: [u32; 4] = [30, 7, 90, 365];

/// Days up to which each has a column of its own; beyond, weeks have.
const DAILY_MAX: u32 = 92;

/// By what the table may be made, with its name in Japanese and in English.
const TABLES: [(Dimension, &str, &str); 8] = [
    (Dimension::Profile, "プロファイル", "profile"),
    (Dimension::Client, "注文システム", "ordering system"),
    (Dimension::Domain, "ドメイン(月別)", "domain (of one month)"),
    (Dimension::Requester, "申請の窓口(月別)", "requester (of one month)"),
    (Dimension::Class, "ドメインの種類", "class of domain"),
    (Dimension::Method, "確認方法", "method"),
    (Dimension::Source, "宛先の出所", "source of the address"),
    (Dimension::LocalPart, "宛先のローカル部", "local part"),
];

/// `admin/statistics.html`
#[derive(Serialize)]
struct StatisticsPage {
    #[serde(flatten)]
    frame: Frame,
    days: u32,
    periods: [u32; 4],
    total: Vec<Named>,
    rate: Option<i64>,
    median: &'static str,
    ninth: &'static str,
    charts: Vec<Chart>,
    by: &'static str,
    tables: Vec<(&'static str, &'static str)>,
    columns: Vec<&'static str>,
    rows: Vec<Row>,
}

/// A number with its name.
#[derive(Serialize)]
struct Named {
    name: &'static str,
    count: i64,
}

/// A value with its counts.
#[derive(Serialize)]
struct Row {
    value: String,
    counts: Vec<i64>,
    rate: Option<i64>,
}

/// A measure's name in Japanese and in English.
fn words(name: &str) -> (&'static str, &'static str) {
    match name {
        measure::ORDERS => ("注文", "orders"),
        measure::NAMES => ("名前", "names"),
        measure::SENT => ("送信", "mails sent"),
        measure::DELIVERED => ("配達確認", "delivered"),
        measure::BOUNCED => ("不達", "bounced"),
        measure::APPROVED => ("承認", "approved"),
        measure::REUSED => ("再利用", "reused"),
        measure::REJECTED => ("拒否", "rejected"),
        measure::REPORTED => ("心当たりなし", "not recognised"),
        measure::DISPUTED => ("異議", "disputed"),
        measure::EXPIRED => ("期限切れ", "expired"),
        measure::CANCELLED => ("取消", "cancelled"),
        measure::SUPERSEDED => ("宛先変更", "approver changed"),
        _ => ("", ""),
    }
}

pub(super) async fn get(State(state): State<HttpState>, frame: Frame) -> Result<Response, Problem> {
    let asked = frame.given("days").and_then(|text| text.parse().ok());
    let days = asked.filter(|days| PERIODS.contains(days)).unwrap_or(PERIODS[0]);
    let by = frame.given("by").and_then(|text| Dimension::from_text(&text));
    let by = TABLES.iter().map(|(one, ..)| *one).find(|one| Some(*one) == by).unwrap_or(Dimension::Profile);
    let day = Duration::from_secs(DAY_SECS);
    let to = state.app.now().start_of_day_jst() + day;
    let from = to - day * days;
    let told = statistics(&state.app, from, days).await?;
    let rows = by_value(&state.app, by, from, to).await?;
    let ja = frame.lang == "ja";
    let name = |measure: &str| if ja { words(measure).0 } else { words(measure).1 };
    let page = StatisticsPage {
        days,
        periods: PERIODS,
        total: measure::ALL.iter().map(|measure| Named { name: name(measure), count: count(&told.total, measure) }).collect(),
        rate: approval_rate(&told.total),
        median: told.median.map(|span| spans(span, ja)).unwrap_or_default(),
        ninth: told.ninth.map(|span| spans(span, ja)).unwrap_or_default(),
        charts: charts(&told, days, ja),
        by: by.as_str(),
        tables: TABLES.iter().map(|(one, words_ja, words_en)| (one.as_str(), if ja { *words_ja } else { *words_en })).collect(),
        columns: measure::ALL.iter().map(|measure| name(measure)).collect(),
        rows: rows
            .into_iter()
            .take(200)
            .map(|(value, counts)| Row { value, rate: approval_rate(&counts), counts: counts.to_vec() })
            .collect(),
        frame,
    };
    html(&state, "admin/statistics.html", &page)
}

/// A span's name for people.
fn spans(span: &str, ja: bool) -> &'static str {
    match (span, ja) {
        ("10m", true) => "10分以内",
        ("10m", _) => "10 min",
        ("1h", true) => "1時間以内",
        ("1h", _) => "1 h",
        ("4h", true) => "4時間以内",
        ("4h", _) => "4 h",
        ("12h", true) => "12時間以内",
        ("12h", _) => "12 h",
        ("24h", true) => "24時間以内",
        ("24h", _) => "24 h",
        ("3d", true) => "3日以内",
        ("3d", _) => "3 days",
        ("7d", true) => "7日以内",
        ("7d", _) => "7 days",
        ("14d", true) => "14日以内",
        ("14d", _) => "14 days",
        (_, true) => "それ以上",
        _ => "longer",
    }
}

/// "11-22", in Japan.
fn day_of(at: Timestamp) -> String {
    let day = at.to_jst();
    format!("{:02}-{:02}", u8::from(day.month()), day.day())
}

fn charts(told: &Statistics, days: u32, ja: bool) -> Vec<Chart> {
    const OUTCOMES: [&str; 6] =
        [measure::APPROVED, measure::REUSED, measure::REJECTED, measure::REPORTED, measure::EXPIRED, measure::CANCELLED];
    let say = |words_ja: &'static str, words_en: &'static str| if ja { words_ja } else { words_en };
    let name = |measure: &str| say(words(measure).0, words(measure).1).to_owned();
    let span = if days > DAILY_MAX { 7 } else { 1 };
    let outcomes = |days: &[(Timestamp, Counts)]| -> Vec<i64> {
        OUTCOMES.iter().map(|measure| days.iter().map(|(_, counts)| count(counts, measure)).sum()).collect()
    };
    let daily = told.days.chunks(span).map(|days| (day_of(days[0].0), outcomes(days))).collect();
    let one = |rows: Vec<(String, i64)>| rows.into_iter().map(|(label, count)| (label, vec![count])).collect::<Vec<_>>();
    let weekdays = say("月火水木金土日", "MTWTFSS").chars();
    let week = weekdays.zip(told.week).map(|(weekday, hours)| (weekday.to_string(), hours.to_vec())).collect();
    let causes = told.causes.iter().map(|(cause, count)| {
        let known = MailCause::ALL.into_iter().find(|one| one.as_str() == cause);
        let words = known.map_or(say("その他", "other"), |cause| cause_words(cause, ja));
        (words.to_owned(), *count)
    });
    let compared =
        told.profiles.iter().take(12).map(|(profile, counts)| {
            (profile.clone(), OUTCOMES.iter().map(|measure| count(counts, measure)).collect::<Vec<_>>())
        });
    let answers = || vec![say("件数", "count").to_owned()];
    vec![
        Chart::bars(Bars {
            id: "daily",
            title: say("日ごとの結果", "How names ended, by day"),
            description: say(
                "名前ごとの結果を日(長い期間では週)ごとに積み上げたものです。",
                "The names that ended on each day (in longer periods: week), by how.",
            ),
            row_title: say("日", "Day"),
            series: OUTCOMES.iter().map(|measure| name(measure)).collect(),
            rows: daily,
        }),
        Chart::bars(Bars {
            id: "took",
            title: say("承認までの時間", "Time to approve"),
            description: say("受付から承認までの時間の分布です。", "How long it took from the order to the approval."),
            row_title: say("時間", "Time"),
            series: answers(),
            rows: one(told.took.iter().map(|(name, count)| (spans(name, ja).to_owned(), *count)).collect()),
        }),
        Chart::heat(
            "week",
            say("回答の曜日と時刻", "When people answer"),
            say(
                "承認・拒否が押された曜日と時刻(日本時間)です。濃いほど多くなります。",
                "Weekday and hour (Japan time) at which people answered; darker is more.",
            ),
            say("曜日", "Weekday"),
            (0..24).map(|hour: u8| hour.to_string()).collect(),
            week,
        ),
        Chart::bars(Bars {
            id: "deadlines",
            title: say("期限の見通し", "Deadlines ahead"),
            description: say(
                "未回答のリンクの期限を、これから30日間の日ごとに数えたものです。",
                "Open links by the day on which their deadline lies, for the next 30 days.",
            ),
            row_title: say("日", "Day"),
            series: vec![say("期限を迎えるリンク", "links that end").to_owned()],
            rows: one(told.deadlines.iter().map(|(day, count)| (day_of(*day), *count)).collect()),
        }),
        Chart::bars(Bars {
            id: "causes",
            title: say("不達の原因", "Why mail came back"),
            description: say(
                "戻ってきたメールと送信を断念したメールの原因です。",
                "The causes of mail that came back or was given up.",
            ),
            row_title: say("原因", "Cause"),
            series: answers(),
            rows: one(causes.collect()),
        }),
        Chart::bars(Bars {
            id: "profiles",
            title: say("プロファイルの比較", "Profiles compared"),
            description: say("名前の結果をプロファイルごとに積み上げたものです。", "How names ended, by profile."),
            row_title: say("プロファイル", "Profile"),
            series: OUTCOMES.iter().map(|measure| name(measure)).collect(),
            rows: compared.collect(),
        }),
        Chart::bars(Bars {
            id: "reminders",
            title: say("再通知の効果", "What reminders do"),
            description: say(
                "承認された名前を、それまでの再通知の回数ごとに数えたものです。",
                "Approvals by how often their approver had been reminded.",
            ),
            row_title: say("再通知の回数", "Reminders"),
            series: answers(),
            rows: one(told.reminders.clone()),
        }),
        Chart::bars(Bars {
            id: "renewals",
            title: say("更新の波", "Renewals ahead"),
            description: if ja {
                "報告された証明書の有効期限を、これからの週ごとに数えたものです。"
            } else {
                "Reported certificates by the week in which they end."
            },
            row_title: say("週の初日", "Week from"),
            series: vec![say("期限を迎える証明書", "certificates that end").to_owned()],
            rows: one(told.ending.iter().take(RENEWAL_WEEKS as usize).map(|(week, count)| (day_of(*week), *count)).collect()),
        }),
    ]
}

/// A cause in two words.
const fn cause_words(cause: MailCause, ja: bool) -> &'static str {
    match (cause, ja) {
        (MailCause::NoMailbox, true) => "宛先なし",
        (MailCause::NoMailbox, _) => "no mailbox",
        (MailCause::NoHost, true) => "サーバーなし",
        (MailCause::NoHost, _) => "no server",
        (MailCause::MailboxFull, true) => "容量超過",
        (MailCause::MailboxFull, _) => "mailbox full",
        (MailCause::TooLarge, true) => "サイズ超過",
        (MailCause::TooLarge, _) => "too large",
        (MailCause::Policy, true) => "受信拒否",
        (MailCause::Policy, _) => "refused",
        (MailCause::Unreachable, true) => "接続不可",
        (MailCause::Unreachable, _) => "unreachable",
        (MailCause::Loop, true) => "転送ループ",
        (MailCause::Loop, _) => "loop",
    }
}
