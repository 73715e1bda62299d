//! Makes files of rows for operators: in the background, a part at a time, so that a large one takes no request's time and goes on where
//! it was when the daemon is killed.

use std::collections::BTreeMap;
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::App;
use super::show_order::{OrderRecord, filter_by, list_orders};
use super::statistics::{approval_rate, by_value};
use crate::dcv::email::masked_text;
use crate::dcv::id::{EventId, OrderId};
use crate::dcv::tally::{Dimension, measure};
use crate::dcv::timestamp::{DAY_SECS, Timestamp};
use crate::store::{ExportRow, OrderFilter, StoreError};

/// Orders, or other rows, of one part.
const PART: u32 = 500;

/// Orders looked at for one part.
const LOOKED_AT: u32 = 10_000;

/// How long a file is kept.
pub const KEPT: Duration = Duration::from_secs(7 * DAY_SECS);

/// Files that one operator may have made at once.
pub const WAITING_MAX: i64 = 5;

/// Octets of one file, and of all together: they lie beside the orders, which must have room.
const FILE_OCTETS_MAX: i64 = 256 * 1024 * 1024;
/// See `FILE_OCTETS_MAX`.
const OCTETS_MAX: i64 = 1024 * 1024 * 1024;

/// What is in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rows {
    /// An order a row.
    Orders,
    /// A name a row, with its decision.
    Names,
    /// A mail a row, with its delivery.
    Mails,
    /// A domain's entry a row.
    AllowList,
    /// A value a row, with what is counted of it.
    Statistics,
    /// An entry a row.
    AccessLog,
}

impl Rows {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Orders, Self::Names, Self::Mails, Self::AllowList, Self::Statistics, Self::AccessLog];

    /// As it stands in addresses, and in Japanese and in English.
    #[must_use]
    pub const fn in_words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Orders => ("orders", "注文", "orders"),
            Self::Names => ("names", "名前と決定", "names and decisions"),
            Self::Mails => ("mails", "メールと配達", "mails and deliveries"),
            Self::AllowList => ("allow-list", "許可リスト", "allow-list"),
            Self::Statistics => ("statistics", "統計", "statistics"),
            Self::AccessLog => ("access-log", "アクセス記録", "access log"),
        }
    }

    /// Reads what stands in addresses.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.in_words().0 == text)
    }

    /// The columns, which the rows fill in this order. New ones are added at the end.
    const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Orders => &[
                "order_id",
                "order_ref",
                "client",
                "profile",
                "state",
                "kind",
                "organization",
                "requester",
                "product",
                "contract_code",
                "received_at",
                "ended_at",
                "deadline",
                "names",
                "approved",
                "recipients",
                "assignee",
            ],
            Self::Names => &[
                "order_id",
                "order_ref",
                "client",
                "profile",
                "name",
                "base_domain",
                "state",
                "answer",
                "method",
                "scope",
                "adn",
                "signer",
                "reason",
                "ended_at",
                "reusable_until",
                "disputed_at",
                "reused",
            ],
            Self::Mails => &[
                "order_id",
                "order_ref",
                "client",
                "mail_id",
                "to",
                "adn",
                "source",
                "role",
                "link",
                "delivery",
                "cause",
                "failure",
                "created_at",
                "sent_at",
                "delivery_at",
                "answered_at",
                "expires_at",
                "resends",
                "reminders",
                "message_id",
            ],
            Self::AllowList => &["client", "domain", "approver", "profiles", "note", "changed_at", "changed_by"],
            Self::Statistics => &[
                "value",
                "orders",
                "names",
                "sent",
                "delivered",
                "bounced",
                "approved",
                "reused",
                "rejected",
                "reported",
                "disputed",
                "expired",
                "cancelled",
                "superseded",
                "approval_rate",
            ],
            Self::AccessLog => &["at", "operator", "event", "detail", "peer"],
        }
    }
}

/// How a file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Comma-separated, UTF-8 with a byte order mark. Spec: RFC 4180.
    Csv,
    /// Tab-separated, UTF-8.
    Tsv,
    /// Tab-separated, as Japanese spreadsheets wrote it.
    TsvShiftJis,
    /// A JSON object a line.
    JsonLines,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Csv, Self::Tsv, Self::TsvShiftJis, Self::JsonLines];

    /// As it stands in addresses, and for people.
    #[must_use]
    pub const fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::Csv => ("csv", "CSV (UTF-8)"),
            Self::Tsv => ("tsv", "TSV (UTF-8)"),
            Self::TsvShiftJis => ("tsv-shift-jis", "TSV (Shift_JIS)"),
            Self::JsonLines => ("json-lines", "JSON Lines"),
        }
    }

    /// Reads what stands in addresses.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.in_words().0 == text)
    }

    /// The media type, and how the file's name ends.
    #[must_use]
    pub const fn media(self) -> (&'static str, &'static str) {
        match self {
            Self::Csv => ("text/csv; charset=utf-8", "csv"),
            Self::Tsv => ("text/tab-separated-values; charset=utf-8", "tsv"),
            Self::TsvShiftJis => ("text/tab-separated-values; charset=Shift_JIS", "tsv"),
            Self::JsonLines => ("application/x-ndjson", "jsonl"),
        }
    }
}

/// What a file is made of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MadeOf {
    /// What is in it.
    pub rows: Rows,
    /// How it is written.
    pub format: Format,
    /// Cells that a spreadsheet would compute are made text.
    pub for_spreadsheets: bool,
    /// The list's filter, as in its address.
    pub filter: BTreeMap<String, String>,
}

/// Orders a file; its id, or `None` where the operator has too many under way.
///
/// # Errors
/// [`StoreError`] when the database fails, or the same press was taken before.
pub async fn order_export(
    app: &App,
    made_of: &MadeOf,
    masked: bool,
    cause: &super::Cause,
) -> Result<Option<EventId>, StoreError> {
    let now = app.now();
    let id = EventId::new(now, app.random());
    let row = ExportRow {
        id: id.as_bytes().to_vec(),
        operator: cause.actor.clone(),
        made_of: json!(made_of).to_string(),
        masked: i64::from(masked),
        state: "waiting".to_owned(),
        created_at: now.unix_micros(),
        row_count: 0,
        parts: 0,
        octets: 0,
        cursor: None,
        ended_at: None,
    };
    let request = cause.request.clone();
    app.store
        .write("order_export", move |tx| {
            Box::pin(async move {
                tx.remember(request.as_ref(), None, now).await?;
                Ok(tx.insert_export(&row, WAITING_MAX, OCTETS_MAX).await?.then_some(id))
            })
        })
        .await
}

/// Goes on with the oldest file that waits, by one part; `false` where none does.
///
/// # Errors
/// [`StoreError`] when the database fails; then it goes on from there later.
pub async fn export_part(app: &App) -> Result<bool, StoreError> {
    let Some(row) = app.store.waiting_export().await? else { return Ok(false) };
    let made: Result<MadeOf, _> = serde_json::from_str(&row.made_of);
    let Ok(made) = made else {
        end(app, row, "failed").await?;
        return Ok(true);
    };
    if row.octets > FILE_OCTETS_MAX {
        tracing::warn!("a file grows too large; it is not made");
        end(app, row, "failed").await?;
        return Ok(true);
    }
    let part = match gather(app, &row, &made).await {
        Ok(part) => part,
        // The database is away for now.
        Err(error) if error.is_passing() => return Err(error),
        Err(error) => {
            tracing::error!(%error, "an export cannot be made");
            end(app, row, "failed").await?;
            return Ok(true);
        }
    };
    let now = app.now();
    let bytes = written(&made, &part.rows, row.parts == 0);
    let count = i64::try_from(part.rows.len()).unwrap_or(i64::MAX);
    app.store
        .write("export_part", move |tx| {
            Box::pin(async move { tx.add_export_part(&row, &bytes, count, part.next.as_deref(), now).await })
        })
        .await?;
    Ok(true)
}

/// Writes the rows at once, a part at a time, to `write`; how many. For the command line: nothing of it is kept.
///
/// # Errors
/// [`StoreError`] when the database fails; what `write` fails with.
pub async fn export_to<E: From<StoreError>>(
    app: &App,
    made: &MadeOf,
    masked: bool,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<u64, E> {
    let mut row = ExportRow { masked: i64::from(masked), ..ExportRow::default() };
    let mut count = 0;
    loop {
        let part = gather(app, &row, made).await?;
        write(&written(made, &part.rows, row.parts == 0))?;
        count += part.rows.len() as u64;
        row.parts += 1;
        match part.next {
            Some(next) => row.cursor = Some(next),
            None => return Ok(count),
        }
    }
}

async fn end(app: &App, row: ExportRow, state: &'static str) -> Result<(), StoreError> {
    let now = app.now();
    app.store.write("end_export", move |tx| Box::pin(async move { tx.end_export(&row.id, state, now).await })).await
}

/// Rows of one part, and where the next begins.
struct Part {
    rows: Vec<Vec<Value>>,
    next: Option<Vec<u8>>,
}

async fn gather(app: &App, row: &ExportRow, made: &MadeOf) -> Result<Part, StoreError> {
    let shown = |text: &str| if row.masked == 1 { json!(masked_text(text)) } else { json!(text) };
    let hidden = |text: Option<&String>| match text {
        Some(_) if row.masked == 1 => json!("***"),
        text => json!(text),
    };
    let whole = |rows| Part { rows, next: None };
    match made.rows {
        Rows::Orders | Rows::Names | Rows::Mails => {
            let before = row.cursor.as_deref().and_then(|id| <[u8; 16]>::try_from(id).ok()).map(OrderId::from_bytes);
            let given = |name: &str| made.filter.get(name).cloned();
            let operator = row.operator.strip_prefix("operator:").unwrap_or_default();
            let wanted = filter_by(app, &given, operator, row.masked == 0).await?;
            let filter = OrderFilter { before, limit: PART, within: Some(LOOKED_AT), ..wanted };
            let (records, edge) = list_orders(app, &filter).await?;
            let full = records.len() == PART as usize;
            let next = match records.last() {
                Some(last) if full => Some(last.order.id.clone()),
                _ => edge.map(|edge| edge.id.as_bytes().to_vec()),
            };
            let mut rows = Vec::new();
            for record in &records {
                match made.rows {
                    Rows::Orders => rows.push(order_row(record, &shown)?),
                    Rows::Names => rows.extend(name_rows(record, &hidden)?),
                    _ => rows.extend(mail_rows(record, &shown)?),
                }
            }
            Ok(Part { rows, next })
        }
        Rows::AllowList => {
            let cursor = row.cursor.as_deref().map(String::from_utf8_lossy);
            let after = cursor.as_deref().and_then(|cursor| cursor.split_once('\0'));
            let entries = app.store.allowlist(None, after, PART).await?;
            let next = entries.last().filter(|_| entries.len() == PART as usize);
            let next = next.map(|one| format!("{}\0{}", one.client, one.domain).into_bytes());
            let rows = entries.into_iter().map(|one| {
                vec![
                    json!(one.client),
                    json!(one.domain),
                    one.approver.map_or(Value::Null, |address| shown(&address)),
                    json!(one.profiles),
                    json!(one.note),
                    time(Some(one.changed_at)),
                    json!(one.changed_by),
                ]
            });
            Ok(Part { rows: rows.collect(), next })
        }
        Rows::Statistics => {
            let given = |name: &str| made.filter.get(name);
            let days = given("days").and_then(|text| text.parse().ok()).filter(|days| (1..=366).contains(days)).unwrap_or(30);
            let by = given("by").and_then(|text| Dimension::from_text(text)).unwrap_or(Dimension::Profile);
            let day = Duration::from_secs(DAY_SECS);
            let to = app.now().start_of_day_jst() + day;
            let values = by_value(app, by, to - day * days, to).await?;
            let rows = values.into_iter().map(|(value, counts)| {
                let mut cells = vec![json!(value)];
                cells.extend(measure::ALL.iter().zip(counts).map(|(_, count)| json!(count)));
                cells.push(json!(approval_rate(&counts)));
                cells
            });
            Ok(whole(rows.collect()))
        }
        Rows::AccessLog => {
            let entries = app.store.access_log(row.cursor.as_deref(), PART).await?;
            let next = entries.last().filter(|_| entries.len() == PART as usize).map(|one| one.id.clone());
            let rows = entries
                .into_iter()
                .map(|one| vec![time(Some(one.at)), json!(one.operator), json!(one.event), json!(one.detail), json!(one.peer)]);
            Ok(Part { rows: rows.collect(), next })
        }
    }
}

fn time(at: Option<i64>) -> Value {
    at.map_or(Value::Null, |at| json!(Timestamp::from_unix_micros(at)))
}

fn order_row(record: &OrderRecord, shown: &dyn Fn(&str) -> Value) -> Result<Vec<Value>, StoreError> {
    let view = record.view()?;
    let names: Vec<&str> = record.validations.iter().map(|one| one.name.as_str()).collect();
    let recipients: Vec<&str> = record.mails.iter().map(|one| one.recipient.as_str()).collect();
    Ok(vec![
        json!(view.id),
        json!(view.order_ref),
        json!(record.order.client),
        json!(view.profile),
        json!(view.state),
        json!(view.facts.kind),
        json!(view.facts.organization),
        json!(view.facts.requester),
        json!(view.facts.product),
        json!(view.facts.contract_code),
        json!(view.created_at),
        json!(view.ended_at),
        json!(view.expires_at),
        json!(names.join(" ")),
        json!(record.validations.iter().filter(|one| one.state == "approved").count()),
        shown(&recipients.join(" ")),
        json!(record.order.assignee),
    ])
}

fn name_rows(record: &OrderRecord, hidden: &dyn Fn(Option<&String>) -> Value) -> Result<Vec<Vec<Value>>, StoreError> {
    let id = record.order.id()?;
    let row = |one: &crate::store::ValidationRow| {
        vec![
            json!(id),
            json!(record.order.order_ref),
            json!(record.order.client),
            json!(record.order.profile_id),
            json!(one.name),
            json!(one.base_domain),
            json!(one.state),
            json!(one.answer),
            json!(one.method),
            json!(one.scope),
            json!(one.adn),
            hidden(one.signer.as_ref()),
            hidden(one.reason.as_ref()),
            time(one.ended_at),
            time(one.reusable_until),
            time(one.disputed_at),
            json!(one.reused_from.is_some()),
        ]
    };
    Ok(record.validations.iter().map(row).collect())
}

fn mail_rows(record: &OrderRecord, shown: &dyn Fn(&str) -> Value) -> Result<Vec<Vec<Value>>, StoreError> {
    let id = record.order.id()?;
    let row = |one: &crate::store::MailRow| {
        let said = one.failure_detail.as_deref().or(one.failure.as_deref());
        Ok(vec![
            json!(id),
            json!(record.order.order_ref),
            json!(record.order.client),
            json!(one.id()?),
            shown(&one.recipient),
            json!(one.adn),
            json!(one.source),
            json!(one.role),
            json!(one.link),
            json!(one.delivery),
            json!(super::show_order::cause(one).map(crate::dcv::mail_cause::MailCause::as_str)),
            said.map_or(Value::Null, shown),
            time(Some(one.created_at)),
            time(one.sent_at),
            time(one.delivery_at),
            time(one.answered_at),
            time(Some(one.expires_at)),
            json!(one.resends),
            json!(one.reminders),
            json!(one.message_id),
        ])
    };
    record.mails.iter().map(row).collect()
}

/// Writes rows as the file has them; the first part begins with the columns' names.
fn written(made: &MadeOf, rows: &[Vec<Value>], first: bool) -> Vec<u8> {
    let columns = made.rows.columns();
    if made.format == Format::JsonLines {
        let line = |row: &Vec<Value>| {
            let object: Map<String, Value> = columns.iter().map(|name| (*name).to_owned()).zip(row.iter().cloned()).collect();
            Value::Object(object).to_string() + "\n"
        };
        return rows.iter().map(line).collect::<String>().into_bytes();
    }
    let separator = if made.format == Format::Csv { b',' } else { b'\t' };
    let ends = csv::Terminator::CRLF;
    let mut writer = csv::WriterBuilder::new().delimiter(separator).terminator(ends).from_writer(Vec::new());
    let heading = first.then(|| columns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    for row in heading.into_iter().chain(rows.iter().map(|row| row.iter().map(|value| cell(value, made)).collect())) {
        // Writing to memory does not fail.
        let _ = writer.write_record(&row);
    }
    let text = String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default();
    match made.format {
        Format::TsvShiftJis => encoding_rs::SHIFT_JIS.encode(&text).0.into_owned(),
        Format::Csv if first => ["\u{feff}".as_bytes(), text.as_bytes()].concat(),
        _ => text.into_bytes(),
    }
}

/// A value as a cell. What a spreadsheet would take for a formula is made text, unless a program reads it.
fn cell(value: &Value, made: &MadeOf) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    // A tab or a line's end within a cell would be another cell to some who read tab-separated values.
    let text = if made.format == Format::Csv { text } else { text.replace(['\t', '\r', '\n'], " ") };
    let is_number = matches!(value, Value::Number(_));
    if made.for_spreadsheets && !is_number && text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        return format!("'{text}");
    }
    text
}

/// Forgets files that were kept long enough; how many.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn forget_exports(app: &App) -> Result<u64, StoreError> {
    let before = app.now() - KEPT;
    if !app.store.any_export_before(before).await? {
        return Ok(0);
    }
    app.store.write("forget_exports", move |tx| Box::pin(async move { tx.forget_exports(before).await })).await
}

/// A file's name.
#[must_use]
pub fn file_name(row: &ExportRow, made: &MadeOf) -> String {
    let id = HEXLOWER.encode(row.id.get(..6).unwrap_or_default());
    format!("dcvd-{}-{id}.{}", made.rows.in_words().0, made.format.media().1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(format: Format, for_spreadsheets: bool) -> MadeOf {
        MadeOf { rows: Rows::AccessLog, format, for_spreadsheets, filter: BTreeMap::new() }
    }

    fn rows() -> Vec<Vec<Value>> {
        vec![vec![json!("=1+1"), json!("a,\"b\"\n\tc"), Value::Null, json!(-5), json!("山田 ①")]]
    }

    #[test]
    fn cells_are_text_to_spreadsheets_and_what_they_are_to_programs() {
        let text = |made: &MadeOf| String::from_utf8(written(made, &rows(), true)).unwrap();
        assert_eq!(
            text(&made(Format::Csv, true)),
            "\u{feff}at,operator,event,detail,peer\r\n'=1+1,\"a,\"\"b\"\"\n\tc\",,-5,山田 ①\r\n"
        );
        assert_eq!(
            text(&made(Format::Tsv, false)),
            "at\toperator\tevent\tdetail\tpeer\r\n=1+1\t\"a,\"\"b\"\"  c\"\t\t-5\t山田 ①\r\n"
        );
        assert_eq!(
            text(&made(Format::JsonLines, true)),
            "{\"at\":\"=1+1\",\"detail\":-5,\"event\":null,\"operator\":\"a,\\\"b\\\"\\n\\tc\",\"peer\":\"山田 ①\"}\n"
        );
        let later = written(&made(Format::Csv, true), &rows(), false);
        assert!(later.starts_with(b"'=1+1"), "the mark and the names stand once");
    }

    #[test]
    fn shift_jis_is_written_as_it_was() {
        let bytes = written(&made(Format::TsvShiftJis, true), &rows(), false);
        let (text, wrong) = encoding_rs::SHIFT_JIS.decode_without_bom_handling(&bytes);
        assert!(!wrong && text.contains("山田 ①"), "{text}");
    }

    #[test]
    fn every_row_has_its_columns() {
        assert!(Rows::ALL.into_iter().all(|rows| Rows::from_text(rows.in_words().0) == Some(rows) && rows.columns().len() > 4));
        assert!(Format::ALL.into_iter().all(|format| Format::from_text(format.in_words().0) == Some(format)));
        assert_eq!(Rows::Statistics.columns().len(), measure::ALL.len() + 2);
    }
}
