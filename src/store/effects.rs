//! Tables `effects` and `attempts`: the outbox.

use std::time::Duration;

use data_encoding::HEXLOWER;
use sqlx::FromRow;

use super::{Counted, Store, StoreError, Tx, exec, id_bytes, in_tx, later, on_pool};
use crate::dcv::id::{EffectId, MailId, OrderId};
use crate::dcv::timestamp::Timestamp;

/// A kind of effect.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EffectKind {
    /// An approval mail to hand to the relay.
    Mail,
    /// A mail without a link to hand to the relay.
    Notice,
    /// A webhook to post.
    Webhook,
}

impl EffectKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Mail, Self::Notice, Self::Webhook];

    /// The kind as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Notice => "notice",
            Self::Webhook => "webhook",
        }
    }
}

/// An effect to be done after the commit.
#[derive(Clone)]
pub struct NewEffect {
    /// Its id.
    pub id: EffectId,
    /// What it is.
    pub kind: EffectKind,
    /// The order it belongs to, if any.
    pub order: Option<OrderId>,
    /// The mail, the notice or the event.
    pub subject: [u8; 16],
    /// The webhook's name; for mail its reference.
    pub endpoint: String,
    /// Its place among those of the same order and endpoint.
    pub seq: i64,
    /// To whom mail goes.
    pub recipient: Option<String>,
    /// A mail's final bytes.
    pub body: Option<Vec<u8>>,
    /// When it was made and is due.
    pub at: Timestamp,
    /// Not due before its order is released.
    pub held: bool,
}

/// The due time of an effect that waits for its order's release: never.
const NEVER: i64 = i64::MAX;

/// The due time of an effect whose order an operator must release first.
pub const ON_RELEASE: Timestamp = Timestamp::from_unix_micros(NEVER);

/// An effect that a worker holds a lease on.
#[derive(Clone, FromRow)]
pub struct ClaimedEffect {
    /// Its id.
    pub id: Vec<u8>,
    /// The order it belongs to, if any.
    pub order_id: Option<Vec<u8>>,
    /// The mail, the notice or the event.
    pub subject_id: Vec<u8>,
    /// The webhook's name; for mail its reference.
    pub endpoint: String,
    /// Its place among those of the same order and endpoint.
    pub seq: i64,
    /// A mail's final bytes.
    pub body: Option<Vec<u8>>,
    /// Attempts so far, this one included.
    pub attempts: i64,
    /// Attempts of the schedule under way, this one included.
    pub tried: i64,
    /// Unix microseconds of that schedule's first attempt.
    pub first_tried_at: i64,
    /// `mail`, `notice` or `webhook`.
    pub kind: String,
    /// The request that it goes back to, where there was one.
    pub request_id: Option<String>,
    /// A webhook's event: its type, Unix microseconds, and JSON as the webhook carries it.
    pub event_kind: Option<String>,
    /// See `event_kind`.
    pub event_at: Option<i64>,
    /// See `event_kind`.
    pub event_data: Option<String>,
}

impl std::fmt::Debug for ClaimedEffect {
    /// Without the body, which holds a Random Value, and the endpoint, which for mail is what vouches for returned messages.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClaimedEffect")
            .field("id", &HEXLOWER.encode(&self.id))
            .field("kind", &self.kind)
            .field("seq", &self.seq)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It worked.
    Done,
    /// To be tried again.
    Later(Timestamp),
    /// No attempt was made, since it is not this effect's turn; it does not count as one.
    Postponed(Timestamp),
    /// Given up; can be replayed.
    Dead,
}

impl Outcome {
    /// In a word, as it is stored and told.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Later(_) => "later",
            Self::Postponed(_) => "postponed",
            Self::Dead => "dead",
        }
    }
}

/// One try of an effect, as stored.
#[derive(Clone, Debug, FromRow)]
pub struct AttemptRow {
    /// `mail` or `webhook`.
    pub kind: String,
    /// The mail or the event.
    pub subject_id: Vec<u8>,
    /// The webhook's name, or the mail's reference.
    pub endpoint: String,
    /// Its number, from 1.
    pub number: i64,
    /// Unix microseconds.
    pub ended_at: i64,
    /// `done`, `later` or `dead`.
    pub outcome: String,
    /// The peer's words, or ours.
    pub detail: String,
    /// What was said over SMTP, a step a line.
    pub dialogue: Option<String>,
}

/// A webhook with its event.
#[derive(Clone, Debug, FromRow)]
pub struct WebhookRow {
    /// The effect.
    pub id: Vec<u8>,
    /// The order.
    pub order_id: Vec<u8>,
    /// The receiver's name.
    pub endpoint: String,
    /// `due`, `done` or `dead`.
    pub state: String,
    /// How often it was posted.
    pub attempts: i64,
    /// Unix microseconds; when it is next posted, while it is due.
    pub due_at: i64,
    /// Unix microseconds.
    pub ended_at: Option<i64>,
    /// What was last answered.
    pub last_error: Option<String>,
    /// The event, whose id is the webhook's.
    pub event_id: Vec<u8>,
    /// The event's type.
    pub event: String,
}

/// What was said in an attempt.
#[derive(Clone, Debug, Default)]
pub struct Said<'s> {
    /// The peer's words in a line, or ours.
    pub detail: &'s str,
    /// The SMTP dialogue.
    pub dialogue: &'s [String],
}

/// An effect that was given up.
#[derive(Clone, Debug, FromRow)]
pub struct DeadEffect {
    /// Its id.
    pub id: Vec<u8>,
    /// `mail` or `webhook`.
    pub kind: String,
    /// The order it belongs to.
    pub order_id: Vec<u8>,
    /// The webhook's name, or the mail's reference.
    pub endpoint: String,
    /// Attempts made.
    pub attempts: i64,
    /// Unix microseconds.
    pub ended_at: Option<i64>,
    /// Why.
    pub last_error: Option<String>,
}

/// Added to the lease from the sixth attempt on: an effect that kills its worker each time must not be taken every few seconds.
const SLOW_LEASE: Duration = Duration::from_secs(300);

/// Longest detail kept of an attempt, in characters.
const DETAIL_MAX_CHARS: usize = 500;

/// A detail as it is kept: in one line, and not for ever.
pub(super) fn short(detail: &str) -> String {
    detail.chars().filter(|c| !c.is_control()).take(DETAIL_MAX_CHARS).collect()
}

impl Tx<'_> {
    /// Puts an effect into the outbox. Behind one that waits for its next attempt it waits as long.
    pub async fn enqueue(&mut self, effect: &NewEffect) -> Result<(), StoreError> {
        const SQL: &str =
            "INSERT INTO effects (id, kind, order_id, subject_id, endpoint, seq, body, state, attempts, tried, created_at, due_at, recipient, request_id)
            VALUES ($1, $2, $3, $4, $5, $6, $7, 'due', 0, 0, $8, $9, $10, $11)";
        // The condition on the state stands where no planner can take it for an index of all that is due, which is long when it matters.
        const BEHIND: &str =
            "INSERT INTO effects (id, kind, order_id, subject_id, endpoint, seq, body, state, attempts, tried, created_at, due_at, recipient, request_id)
            VALUES ($1, $2, $3, $4, $5, $6, $7, 'due', 0, 0, $8, COALESCE(
                (SELECT MAX(CASE WHEN state = 'due' AND lease IS NULL THEN due_at END) FROM effects
                WHERE order_id = $3 AND endpoint = $5 AND seq < $6), $9), $10, $11)";
        later!(
            self,
            if effect.seq <= 1 { SQL } else { BEHIND },
            &effect.id.as_bytes()[..],
            effect.kind.as_str(),
            effect.order.as_ref().map(|order| &order.as_bytes()[..]),
            &effect.subject[..],
            &effect.endpoint,
            effect.seq,
            &effect.body,
            effect.at.unix_micros(),
            if effect.held { NEVER } else { effect.at.unix_micros() },
            &effect.recipient,
            self.request.clone()
        );
        self.counted.push(Counted::Due(effect.kind));
        Ok(())
    }

    /// Leases up to `limit` effects that are due and first in their line, and counts the attempt before it is made.
    ///
    /// Until `leased_until` nobody else takes them; a worker that dies simply lets its lease end.
    pub async fn claim(
        &mut self,
        kind: EffectKind,
        now: Timestamp,
        leased_until: Timestamp,
        lease: [u8; 16],
        limit: u32,
    ) -> Result<Vec<ClaimedEffect>, StoreError> {
        // PostgreSQL is left no choice by what it believes of the table: an array is made once, where a subselect may be made anew for
        // each row, and the lines are looked at row by row, in the order that is asked for.
        macro_rules! claim {
            ($one_of:literal, $locked:literal) => {
                concat!(
                    "UPDATE effects SET lease = $1, due_at = CASE WHEN tried < 5 THEN $2 ELSE $6 END, attempts = attempts + 1, tried = tried + 1,
                        first_tried_at = COALESCE(first_tried_at, $4) WHERE state = 'due' AND id ",
                    $one_of,
                    "SELECT e.id FROM effects e WHERE e.state = 'due' AND e.kind = $3 AND e.due_at <= $4 AND CASE WHEN EXISTS (
                            SELECT 1 FROM effects p WHERE p.state = 'due' AND p.order_id = e.order_id AND p.endpoint = e.endpoint AND p.seq < e.seq)
                            THEN FALSE ELSE TRUE END
                        ORDER BY e.due_at LIMIT $5",
                    $locked,
                    " RETURNING id, kind, order_id, subject_id, endpoint, seq, body, attempts, tried, first_tried_at, request_id,
                    (SELECT v.kind FROM events v WHERE v.id = subject_id) AS event_kind,
                    (SELECT v.at FROM events v WHERE v.id = subject_id) AS event_at,
                    (SELECT v.data FROM events v WHERE v.id = subject_id) AS event_data"
                )
            };
        }
        let sql = if self.is_postgres() { claim!("= ANY(ARRAY(", " FOR UPDATE OF e SKIP LOCKED))") } else { claim!("IN (", ")") };
        Ok(in_tx!(self, |db| sqlx::query_as(sql)
            .bind(&lease[..])
            .bind(leased_until.unix_micros())
            .bind(kind.as_str())
            .bind(now.unix_micros())
            .bind(i64::from(limit))
            .bind((leased_until + SLOW_LEASE).unix_micros())
            .fetch_all(db)
            .await?))
    }

    /// Prolongs a lease; `false` when it was lost.
    pub async fn renew_lease(&mut self, id: &[u8], lease: [u8; 16], leased_until: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE effects SET due_at = $3 WHERE id = $1 AND lease = $2 AND state = 'due'";
        let rows = exec!(self, sqlx::query(SQL).bind(id).bind(&lease[..]).bind(leased_until.unix_micros()));
        Ok(rows == 1)
    }

    /// Records how an attempt ended; `false`, and nothing is written, when the lease is held by another by now.
    ///
    /// A later attempt makes the effects that wait behind it wait as long, so that they are not looked at in vain.
    pub async fn finish(
        &mut self,
        effect: &ClaimedEffect,
        lease: [u8; 16],
        outcome: &Outcome,
        said: &Said<'_>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE effects SET state = $3, due_at = $4, ended_at = $5, last_error = $6, lease = NULL, attempts = attempts - $7, tried = tried - $7,
            first_tried_at = CASE WHEN $7 = 1 AND tried = 1 THEN NULL ELSE first_tried_at END WHERE id = $1 AND lease = $2 AND state = 'due'";
        const BEHIND: &str =
            "UPDATE effects SET due_at = $4 WHERE state = 'due' AND order_id = $1 AND endpoint = $2 AND seq > $3 AND due_at < $4";
        const ATTEMPT: &str =
            "INSERT INTO attempts (effect_id, number, ended_at, outcome, detail, dialogue) VALUES ($1, $2, $3, $4, $5, $6)";
        let detail = short(said.detail);
        let (state, due, ended) = match outcome {
            Outcome::Done => ("done", now, Some(now)),
            Outcome::Later(due) | Outcome::Postponed(due) => ("due", *due, None),
            Outcome::Dead => ("dead", now, Some(now)),
        };
        let error = (*outcome != Outcome::Done).then_some(&detail);
        let rows = exec!(
            self,
            sqlx::query(SQL)
                .bind(&effect.id)
                .bind(&lease[..])
                .bind(state)
                .bind(due.unix_micros())
                .bind(ended.map(Timestamp::unix_micros))
                .bind(error)
                .bind(i64::from(matches!(outcome, Outcome::Postponed(_))))
        );
        if rows != 1 {
            return Ok(false);
        }
        if let Outcome::Later(due) | Outcome::Postponed(due) = outcome {
            later!(self, BEHIND, &effect.order_id, &effect.endpoint, effect.seq, due.unix_micros());
        }
        if matches!(outcome, Outcome::Postponed(_)) {
            return Ok(true);
        }
        self.counted.push(Counted::Attempt(effect.kind.clone(), outcome.as_str()));
        let dialogue = (!said.dialogue.is_empty()).then(|| said.dialogue.join("\n"));
        later!(self, ATTEMPT, &effect.id, effect.attempts, now.unix_micros(), outcome.as_str(), &detail, dialogue);
        Ok(true)
    }

    /// Blanks a mail's bytes, since its link has ended, and drops it from the outbox where it still waits. One that a worker
    /// holds is left to it, so that what the relay said is recorded.
    pub(super) async fn blank_mail(&mut self, mail: &[u8], at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE effects SET body = NULL,
            state = CASE WHEN state = 'due' AND lease IS NULL THEN 'dead' ELSE state END,
            ended_at = CASE WHEN state = 'due' AND lease IS NULL THEN $2 ELSE ended_at END,
            last_error = CASE WHEN state = 'due' AND lease IS NULL THEN 'link-ended' ELSE last_error END
            WHERE subject_id = $1 AND kind = 'mail'";
        later!(self, SQL, mail, at.unix_micros());
        Ok(())
    }

    /// Makes an order's mails wait for its release; those that a worker holds are left to it.
    pub async fn hold_mails(&mut self, order: OrderId) -> Result<(), StoreError> {
        const SQL: &str =
            "UPDATE effects SET due_at = $2 WHERE order_id = $1 AND kind = 'mail' AND state = 'due' AND lease IS NULL";
        later!(self, SQL, &order.as_bytes()[..], NEVER);
        Ok(())
    }

    /// Makes an order's held mails due.
    pub async fn release_mails(&mut self, order: OrderId, now: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE effects SET due_at = $2, tried = 0, first_tried_at = NULL
            WHERE order_id = $1 AND kind = 'mail' AND state = 'due' AND due_at = $3 AND lease IS NULL";
        later!(self, SQL, &order.as_bytes()[..], now.unix_micros(), NEVER);
        self.counted.push(Counted::Due(EffectKind::Mail));
        Ok(())
    }

    /// Puts events' posts that were taken or given up back into the outbox; how many.
    pub async fn replay_webhooks(&mut self, events: &[Vec<u8>], now: Timestamp) -> Result<u64, StoreError> {
        self.counted.push(Counted::Due(EffectKind::Webhook));
        Ok(in_tx!(self, |db| {
            let mut query = sqlx::QueryBuilder::new("UPDATE effects SET state = 'due', due_at = ");
            query.push_bind(now.unix_micros());
            query.push(", tried = 0, first_tried_at = NULL, ended_at = NULL, lease = NULL WHERE kind = 'webhook' AND state IN ('done', 'dead') AND subject_id IN (");
            let mut list = query.separated(", ");
            for event in events {
                list.push_bind(event);
            }
            query.push(")").build().execute(db).await?.rows_affected()
        }))
    }

    /// Puts an effect that was given up back into the outbox and returns its kind and subject; `None` when it was not given up, its
    /// bytes are gone, or its mail was sent once more since.
    pub async fn replay(&mut self, id: EffectId, now: Timestamp) -> Result<Option<(String, Vec<u8>)>, StoreError> {
        const SQL: &str =
            "UPDATE effects SET state = 'due', due_at = $2, tried = 0, first_tried_at = NULL, ended_at = NULL, lease = NULL
            WHERE id = $1 AND state = 'dead' AND (kind <> 'mail' OR (body IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM effects o WHERE o.subject_id = effects.subject_id AND o.kind = 'mail' AND o.id <> effects.id
                AND (o.state = 'due' OR o.seq > effects.seq))))
            RETURNING kind, subject_id";
        self.counted.extend(EffectKind::ALL.map(Counted::Due));
        Ok(in_tx!(self, |db| sqlx::query_as(SQL).bind(&id.as_bytes()[..]).bind(now.unix_micros()).fetch_optional(db).await?))
    }
}

impl Store {
    /// Since when the oldest effect that could go has waited.
    pub async fn oldest_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        const SQL: &str = "SELECT MIN(due_at) FROM effects WHERE kind = $1 AND state = 'due' AND due_at <= $2";
        let mut oldest: Option<i64> = None;
        for kind in EffectKind::ALL {
            let found: Option<i64> =
                on_pool!(self, |db| sqlx::query_scalar(SQL).bind(kind.as_str()).bind(now.unix_micros()).fetch_one(db).await?);
            oldest = [oldest, found].into_iter().flatten().min();
        }
        Ok(oldest.map(Timestamp::from_unix_micros))
    }

    /// Whether an effect of a kind is due.
    pub async fn any_due(&self, kind: EffectKind, now: Timestamp) -> Result<bool, StoreError> {
        const SQL: &str = "SELECT 1 FROM effects WHERE state = 'due' AND kind = $1 AND due_at <= $2 LIMIT 1";
        let found: Option<i32> =
            on_pool!(self, |db| sqlx::query_scalar(SQL).bind(kind.as_str()).bind(now.unix_micros()).fetch_optional(db).await?);
        Ok(found.is_some())
    }

    /// When the approval mails were handed over that a recipient was sent since `since`, latest first, `limit` at most.
    pub async fn handed_to(&self, recipient: &str, since: Timestamp, limit: u32) -> Result<Vec<i64>, StoreError> {
        const SQL: &str =
            "SELECT ended_at FROM effects WHERE recipient = $1 AND kind = 'mail' AND state = 'done' AND ended_at > $2
            ORDER BY ended_at DESC LIMIT $3";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL)
            .bind(recipient.to_lowercase())
            .bind(since.unix_micros())
            .bind(i64::from(limit))
            .fetch_all(db)
            .await?))
    }

    /// How many effects of a kind wait for a worker; those of held orders do not.
    pub async fn effects_due(&self, kind: EffectKind) -> Result<i64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM effects WHERE state = 'due' AND kind = $1 AND due_at < $2";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).bind(kind.as_str()).bind(NEVER).fetch_one(db).await?))
    }

    /// How many effects were given up since an instant, other than for a link that ended.
    pub async fn given_up_since(&self, since: Timestamp) -> Result<i64, StoreError> {
        const SQL: &str = "SELECT COUNT(*) FROM effects WHERE state = 'dead' AND ended_at > $1 AND last_error <> 'link-ended'";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).bind(since.unix_micros()).fetch_one(db).await?))
    }

    /// The order that an effect belongs to; `None` where there is no such effect or it belongs to none.
    pub async fn order_of_effect(&self, id: EffectId) -> Result<Option<OrderId>, StoreError> {
        const SQL: &str = "SELECT order_id FROM effects WHERE id = $1 AND order_id IS NOT NULL";
        let order: Option<Vec<u8>> =
            on_pool!(self, |db| sqlx::query_scalar(SQL).bind(&id.as_bytes()[..]).fetch_optional(db).await?);
        order.map(|order| id_bytes(&order, "effects", "order_id").map(OrderId::from_bytes)).transpose()
    }

    /// The effects of an order that were given up.
    pub async fn dead_effects(&self, order: OrderId) -> Result<Vec<DeadEffect>, StoreError> {
        const SQL: &str = "SELECT id, kind, order_id, endpoint, attempts, ended_at, last_error FROM effects
            WHERE order_id = $1 AND state = 'dead' AND last_error <> 'link-ended' ORDER BY id";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }

    /// The tries of an order's effects, oldest first.
    pub async fn attempts(&self, order: OrderId) -> Result<Vec<AttemptRow>, StoreError> {
        const SQL: &str =
            "SELECT e.kind, e.subject_id, e.endpoint, a.number, a.ended_at, a.outcome, a.detail, a.dialogue FROM attempts a
            JOIN effects e ON e.id = a.effect_id WHERE e.order_id = $1 ORDER BY a.ended_at, a.number";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }

    /// The webhooks of the latest events, the latest first.
    pub async fn latest_webhooks(&self, limit: u32) -> Result<Vec<WebhookRow>, StoreError> {
        const SQL: &str = "SELECT f.id, f.order_id, f.endpoint, f.state, f.attempts, f.due_at, f.ended_at, f.last_error, e.id AS event_id, e.kind AS event
            FROM (SELECT id, kind FROM events ORDER BY id DESC LIMIT $1) AS e JOIN effects f ON f.subject_id = e.id AND f.kind = 'webhook' ORDER BY e.id DESC, f.endpoint";
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(i64::from(limit)).fetch_all(db).await?))
    }

    /// The webhooks that wait, those first that have waited longest; or those that were given up, the latest first.
    pub async fn troubled_webhooks(&self, given_up: bool, limit: u32) -> Result<Vec<WebhookRow>, StoreError> {
        const WAITING: &str = "SELECT f.id, f.order_id, f.endpoint, f.state, f.attempts, f.due_at, f.ended_at, f.last_error, e.id AS event_id, e.kind AS event
            FROM effects f JOIN events e ON e.id = f.subject_id WHERE f.kind = 'webhook' AND f.state = 'due' AND f.attempts > 0 ORDER BY f.due_at LIMIT $1";
        const GIVEN_UP: &str = "SELECT f.id, f.order_id, f.endpoint, f.state, f.attempts, f.due_at, f.ended_at, f.last_error, e.id AS event_id, e.kind AS event
            FROM effects f JOIN events e ON e.id = f.subject_id WHERE f.kind = 'webhook' AND f.state = 'dead' ORDER BY f.ended_at DESC LIMIT $1";
        let sql = if given_up { GIVEN_UP } else { WAITING };
        Ok(on_pool!(self, |db| sqlx::query_as(sql).bind(i64::from(limit)).fetch_all(db).await?))
    }

    /// The bytes of a mail that has not ended, as they were committed with its Random Value.
    pub async fn mail_body(&self, mail: MailId) -> Result<Option<Vec<u8>>, StoreError> {
        const SQL: &str = "SELECT body FROM effects WHERE subject_id = $1 AND kind = 'mail' ORDER BY seq LIMIT 1";
        let body: Option<Option<Vec<u8>>> =
            on_pool!(self, |db| sqlx::query_scalar(SQL).bind(&mail.as_bytes()[..]).fetch_optional(db).await?);
        Ok(body.flatten())
    }
}
