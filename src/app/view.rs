//! Notes who opened a link's page. A view changes nothing and costs no write of its own: views are counted in memory and written together
//! now and then; what is not written when the daemon is killed is lost, which no decision rests on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::App;
use super::tally::together;
use crate::dcv::id::MailId;
use crate::dcv::tally::{Count, Dimension, hour_of, step};
use crate::dcv::timestamp::Timestamp;
use crate::store::{StoreError, ViewRow};

/// Different views kept until they are written; more are not noted.
const VIEWS_MAX: usize = 10_000;

/// Different views noted of one mail, by agent and address.
pub const VIEWS_OF_MAIL_MAX: u32 = 50;

/// Views written in one transaction.
const WRITTEN_AT_ONCE: usize = 500;

/// Views that wait to be written.
#[derive(Debug, Default)]
pub struct Views(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// By mail, then by address and agent.
    mails: HashMap<MailId, HashMap<(String, String), ViewRow>>,
    count: usize,
}

impl Views {
    /// Notes one view.
    pub fn note(&self, mail: MailId, peer: &str, user_agent: &str, scanner: bool, now: Timestamp) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = waiting.count >= VIEWS_MAX;
        if full && !waiting.mails.contains_key(&mail) {
            return;
        }
        let views = waiting.mails.entry(mail).or_default();
        let key = (peer.to_owned(), user_agent.to_owned());
        if let Some(view) = views.get_mut(&key) {
            view.last_at = now.unix_micros();
            view.times += 1;
            // Whoever came once as a person is one.
            view.scanner &= i64::from(scanner);
            return;
        }
        // A person's first view stands out: statistics tell of it.
        let first = !scanner && views.values().all(|view| view.scanner == 1);
        if !full && (first || views.len() < VIEWS_OF_MAIL_MAX as usize) {
            let row = ViewRow {
                mail_id: mail.as_bytes().to_vec(),
                peer: key.0.clone(),
                user_agent: key.1.clone(),
                scanner: i64::from(scanner),
                first_at: now.unix_micros(),
                last_at: now.unix_micros(),
                times: 1,
            };
            views.insert(key, row);
            waiting.count += 1;
        }
    }

    fn take(&self) -> Vec<ViewRow> {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut rows: Vec<ViewRow> = waiting.mails.into_values().flat_map(HashMap::into_values).collect();
        rows.sort_by(|a, b| (&a.mail_id, &a.peer, &a.user_agent).cmp(&(&b.mail_id, &b.peer, &b.user_agent)));
        rows
    }
}

/// Writes the views that wait; how many there were.
///
/// # Errors
/// [`StoreError`] when the database fails: then those views that were not written yet are lost.
pub async fn write_views(app: &App) -> Result<usize, StoreError> {
    let rows = app.views.take();
    for some in rows.chunks(WRITTEN_AT_ONCE) {
        write_some(app, some.to_vec()).await?;
    }
    Ok(rows.len())
}

async fn write_some(app: &App, rows: Vec<ViewRow>) -> Result<(), StoreError> {
    app.store
        .write("write_views", move |tx| {
            Box::pin(async move {
                let mut counts = Vec::new();
                for row in &rows {
                    if row.scanner == 0
                        && let Some(ordered_at) = tx.first_view_of_order(&row.mail_id).await?
                    {
                        counts.push(Count {
                            at: hour_of(Timestamp::from_unix_micros(ordered_at)),
                            dimension: Dimension::Funnel.as_str(),
                            value: String::new(),
                            measure: step::VIEWED,
                            by: 1,
                        });
                    }
                    tx.note_view(row, i64::from(VIEWS_OF_MAIL_MAX)).await?;
                }
                tx.count_up(&together(counts)).await
            })
        })
        .await
}
