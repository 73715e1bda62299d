//! Tables `mails` and `mail_validations`.

use sqlx::FromRow;

use super::{Store, StoreError, Tx, exec, id_bytes, in_tx, later, on_pool};
use crate::dcv::contact::Source;
use crate::dcv::id::{MailId, OrderId};
use crate::dcv::order::{Delivery, LinkState};
use crate::dcv::resend::Sent;
use crate::dcv::timestamp::Timestamp;

/// One mail as stored.
#[derive(Clone, Debug, FromRow)]
pub struct MailRow {
    /// Its id.
    pub id: Vec<u8>,
    /// The order it belongs to.
    pub order_id: Vec<u8>,
    /// To whom it goes.
    pub recipient: String,
    /// The ADN it proves.
    pub adn: String,
    /// 1 where the ADN is its own Base Domain Name.
    pub adn_is_base: i64,
    /// A [`Source`].
    pub source: String,
    /// The contact's role, for registration data.
    pub role: Option<String>,
    /// The look-up that yielded the address.
    pub lookup_id: Option<Vec<u8>>,
    /// Unix microseconds of that look-up.
    pub looked_up_at: i64,
    /// Unix microseconds; until when it may be believed without asking again.
    pub valid_until: Option<i64>,
    /// Hash of the Random Value.
    pub random_hash: Vec<u8>,
    /// What the return path carries.
    #[sqlx(rename = "ref")]
    pub reference: String,
    /// The Message-ID, with its angle brackets.
    pub message_id: String,
    /// SHA-256 of the message as sent.
    pub content_hash: Vec<u8>,
    /// A [`LinkState`].
    pub link: String,
    /// A [`Delivery`].
    pub delivery: String,
    /// Why it failed: a stable code, or a server's words.
    pub failure: Option<String>,
    /// The relay's own words beside the code.
    pub failure_detail: Option<String>,
    /// Unix microseconds; when its fate was last learnt.
    pub delivery_at: Option<i64>,
    /// Unix microseconds.
    pub created_at: i64,
    /// Unix microseconds; the deadline that counts.
    pub expires_at: i64,
    /// Unix microseconds.
    pub sent_at: Option<i64>,
    /// Unix microseconds.
    pub answered_at: Option<i64>,
    /// Times it was sent once more on somebody's word.
    pub resends: i64,
    /// Times it was sent once more as a reminder.
    pub reminders: i64,
    /// Unix microseconds of the latest of them.
    pub resent_at: Option<i64>,
    /// Unix microseconds; when its recipient is next reminded.
    pub remind_at: Option<i64>,
    /// Whether its recipient's domain takes mail, as DNS told when it was sent.
    pub mail_host: Option<String>,
    /// 1 where an operator found the address in a WHOIS answer that could not be read.
    pub vouched: i64,
    /// The other roles that the registration names the address in, with commas between.
    pub also_roles: Option<String>,
}

impl MailRow {
    /// The id, typed.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] when the column does not hold 16 bytes.
    pub fn id(&self) -> Result<MailId, StoreError> {
        id_bytes(&self.id, "mails", "id").map(MailId::from_bytes)
    }

    /// The order's id, typed.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] when the column does not hold 16 bytes.
    pub fn order_id(&self) -> Result<OrderId, StoreError> {
        id_bytes(&self.order_id, "mails", "order_id").map(OrderId::from_bytes)
    }

    /// The source, typed.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] for a source the model does not know.
    pub fn source(&self) -> Result<Source, StoreError> {
        Source::from_text(&self.source).ok_or_else(|| StoreError::inconsistent("mails", "source", &self.id))
    }

    /// The link's state, typed.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] for a state the model does not know.
    pub fn link(&self) -> Result<LinkState, StoreError> {
        LinkState::from_text(&self.link).ok_or_else(|| StoreError::inconsistent("mails", "link", &self.id))
    }

    /// What decides whether it may be sent once more. `stated` is the deadline its text states.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] for a row that does not fit the model.
    pub fn sent(&self, stated: Timestamp) -> Result<Sent, StoreError> {
        let delivery = Delivery::from_text(&self.delivery);
        Ok(Sent {
            link: self.link()?,
            delivery: delivery.ok_or_else(|| StoreError::inconsistent("mails", "delivery", &self.id))?,
            resends: u32::try_from(self.resends).unwrap_or(u32::MAX),
            last_sent_at: Timestamp::from_unix_micros(self.resent_at.max(self.sent_at).unwrap_or(self.created_at)),
            expires_at: Timestamp::from_unix_micros(self.expires_at),
            stated_expires_at: stated,
        })
    }

    /// When the reuse clock started: the earlier of the Random Value's creation and the look-up. Spec: BR v2.2.6 §4.2.1.
    #[must_use]
    pub fn initiated_at(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.created_at.min(self.looked_up_at))
    }
}

/// Every column of a mail, and what follows `FROM mails`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, order_id, recipient, adn, adn_is_base, source, role, lookup_id, looked_up_at, valid_until, random_hash, ref, message_id,
            content_hash, link, delivery, failure, failure_detail, delivery_at, created_at, expires_at, sent_at, answered_at, resends, reminders, resent_at, remind_at, mail_host, vouched, also_roles FROM mails ",
            $rest
        )
    };
}

pub(super) const BY_ORDER: &str = select!("WHERE order_id = $1 ORDER BY id");
pub(super) const PAIRS: &str =
    "SELECT mv.mail_id, mv.validation_id FROM mail_validations mv JOIN mails m ON m.id = mv.mail_id WHERE m.order_id = $1";

pub(super) const BY_RANDOM: &str = select!("WHERE random_hash = $1");

pub(super) const OF_ORDERS: &str = select!("WHERE order_id IN (");
pub(super) const PAIRS_OF_ORDERS: &str =
    "SELECT mv.mail_id, mv.validation_id FROM mail_validations mv JOIN mails m ON m.id = mv.mail_id WHERE m.order_id IN (";

/// Which mail asks for which name: found in a few steps, since an order of many mails and names has tens of thousands of such pairs.
#[derive(Debug, Clone, Default)]
pub struct MailValidations(Vec<(Vec<u8>, Vec<u8>)>);

impl MailValidations {
    /// Whether a mail asks for a name.
    #[must_use]
    pub fn asks(&self, mail: &[u8], validation: &[u8]) -> bool {
        self.0.binary_search_by(|(asking, asked)| (&asking[..], &asked[..]).cmp(&(mail, validation))).is_ok()
    }

    /// The names that a mail asks for.
    pub fn of<'p>(&'p self, mail: &'p [u8]) -> impl Iterator<Item = &'p Vec<u8>> {
        let first = self.0.partition_point(|(asking, _)| &asking[..] < mail);
        self.0.iter().skip(first).take_while(move |(asking, _)| asking == mail).map(|(_, asked)| asked)
    }
}

impl FromIterator<(Vec<u8>, Vec<u8>)> for MailValidations {
    fn from_iter<I: IntoIterator<Item = (Vec<u8>, Vec<u8>)>>(pairs: I) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        pairs.sort_unstable();
        Self(pairs)
    }
}

impl Tx<'_> {
    /// Inserts a mail with the names it asks for.
    pub async fn insert_mail(&mut self, row: &MailRow, validations: &[Vec<u8>]) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO mails (id, order_id, recipient, adn, adn_is_base, source, role, lookup_id, looked_up_at, valid_until, random_hash,
            ref, message_id, content_hash, link, delivery, created_at, expires_at, remind_at, vouched, also_roles)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)";
        const PAIR: &str = "INSERT INTO mail_validations (mail_id, validation_id) VALUES ($1, $2)";
        later!(
            self,
            SQL,
            &row.id,
            &row.order_id,
            &row.recipient,
            &row.adn,
            row.adn_is_base,
            &row.source,
            &row.role,
            &row.lookup_id,
            row.looked_up_at,
            row.valid_until,
            &row.random_hash,
            &row.reference,
            &row.message_id,
            &row.content_hash,
            &row.link,
            &row.delivery,
            row.created_at,
            row.expires_at,
            row.remind_at,
            row.vouched,
            &row.also_roles
        );
        for validation in validations {
            later!(self, PAIR, &row.id, validation);
        }
        Ok(())
    }

    /// Reads the mails of an order within the transaction.
    pub async fn mails(&mut self, order: OrderId) -> Result<Vec<MailRow>, StoreError> {
        Ok(in_tx!(self, |db| sqlx::query_as(BY_ORDER).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }

    /// Reads which mail of an order asks for which name.
    pub async fn mail_validations(&mut self, order: OrderId) -> Result<MailValidations, StoreError> {
        let pairs: Vec<_> = in_tx!(self, |db| sqlx::query_as(PAIRS).bind(&order.as_bytes()[..]).fetch_all(db).await?);
        Ok(pairs.into_iter().collect())
    }

    /// Ends the link of a mail that this transaction read under the order's lock, where it is open. The mail's bytes are blanked with it.
    pub async fn end_link(&mut self, mail: &MailRow, to: LinkState, at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str =
            "UPDATE mails SET link = $2, remind_at = NULL, answered_at = CASE WHEN $2 = 'answered' THEN $3 ELSE answered_at END
            WHERE id = $1 AND link IN ('queued', 'sent')";
        if !mail.link()?.is_open() {
            return Ok(());
        }
        later!(self, SQL, &mail.id, to.as_str(), at.unix_micros());
        self.blank_mail(&mail.id, at).await
    }

    /// Moves an open link's deadline, and its next reminder with it; `false` when it was not open.
    pub async fn set_deadline(
        &mut self,
        id: &[u8],
        expires_at: Timestamp,
        remind_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE mails SET expires_at = $2, remind_at = $3 WHERE id = $1 AND link IN ('queued', 'sent')";
        let rows =
            exec!(self, sqlx::query(SQL).bind(id).bind(expires_at.unix_micros()).bind(remind_at.map(Timestamp::unix_micros)));
        Ok(rows == 1)
    }

    /// Records what became of a mail on its way; `false` where what came back for it meanwhile says more.
    pub async fn set_delivery(
        &mut self,
        id: MailId,
        delivery: Delivery,
        failure: Option<&str>,
        detail: Option<&str>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE mails SET delivery = $2, failure = $3, failure_detail = $4, delivery_at = $5
            WHERE id = $1 AND delivery NOT IN ('delayed', 'delivered', 'bounced')";
        let rows = exec!(
            self,
            sqlx::query(SQL).bind(&id.as_bytes()[..]).bind(delivery.as_str()).bind(failure).bind(detail).bind(at.unix_micros())
        );
        Ok(rows == 1)
    }

    /// Puts an open mail back into the state of one that waits, since it is sent once more; the place of that sending, or `None`
    /// where the link has ended or another sending still waits.
    pub async fn resend(&mut self, id: MailId, reminder: bool, at: Timestamp) -> Result<Option<i64>, StoreError> {
        const SQL: &str = "UPDATE mails SET resends = resends + 1 - $3, reminders = reminders + $3, resent_at = $2, delivery = 'queued', failure = NULL, failure_detail = NULL, delivery_at = $2
            WHERE id = $1 AND link IN ('queued', 'sent') AND NOT EXISTS (SELECT 1 FROM effects WHERE subject_id = $1 AND kind = 'mail' AND state = 'due') RETURNING resends + reminders";
        Ok(in_tx!(self, |db| sqlx::query_scalar(SQL)
            .bind(&id.as_bytes()[..])
            .bind(at.unix_micros())
            .bind(i64::from(reminder))
            .fetch_optional(db)
            .await?))
    }

    /// Records that what was given up waits to be sent again: a mail or a notice, by its effect's kind.
    pub async fn waits_again(&mut self, kind: &str, subject: &[u8]) -> Result<(), StoreError> {
        const MAIL: &str = "UPDATE mails SET delivery = 'queued', failure = NULL, failure_detail = NULL WHERE id = $1";
        const NOTICE: &str = "UPDATE notices SET delivery = 'queued', failure = NULL WHERE id = $1";
        match kind {
            "mail" => exec!(self, sqlx::query(MAIL).bind(subject)),
            "notice" => exec!(self, sqlx::query(NOTICE).bind(subject)),
            _ => 0,
        };
        Ok(())
    }

    /// Moves a mail's next reminder; `false` when it is another than `from` by now.
    pub async fn move_reminder(&mut self, id: MailId, from: i64, to: Option<Timestamp>) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE mails SET remind_at = $3 WHERE id = $1 AND remind_at = $2";
        Ok(exec!(self, sqlx::query(SQL).bind(&id.as_bytes()[..]).bind(from).bind(to.map(Timestamp::unix_micros))) == 1)
    }

    /// Records whether the recipient's domain takes mail.
    pub async fn set_mail_host(&mut self, id: MailId, found: &str) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE mails SET mail_host = $2 WHERE id = $1";
        later!(self, SQL, &id.as_bytes()[..], found);
        Ok(())
    }

    /// Records until when a mail's address may be believed, after it was asked again.
    pub async fn set_valid_until(&mut self, id: MailId, until: Option<Timestamp>) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE mails SET valid_until = $2 WHERE id = $1";
        later!(self, SQL, &id.as_bytes()[..], until.map(Timestamp::unix_micros));
        Ok(())
    }

    /// Records that the relay took a mail; a report may have come back before that was known.
    pub async fn mail_accepted(&mut self, id: MailId, at: Timestamp) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE mails SET sent_at = $2,
            failure = CASE WHEN delivery IN ('delayed', 'delivered', 'bounced') THEN failure ELSE NULL END,
            failure_detail = CASE WHEN delivery IN ('delayed', 'delivered', 'bounced') THEN failure_detail ELSE NULL END,
            delivery_at = CASE WHEN delivery IN ('delayed', 'delivered', 'bounced') THEN delivery_at ELSE $2 END,
            delivery = CASE WHEN delivery IN ('delayed', 'delivered', 'bounced') THEN delivery ELSE 'accepted' END,
            link = CASE WHEN link = 'queued' THEN 'sent' ELSE link END WHERE id = $1";
        later!(self, SQL, &id.as_bytes()[..], at.unix_micros());
        Ok(())
    }
}

impl Store {
    /// The mails that went to an address, the latest order's first.
    pub async fn mails_to(&self, recipient: &str, limit: u32) -> Result<Vec<MailRow>, StoreError> {
        const SQL: &str = select!("WHERE recipient = $1 ORDER BY order_id DESC, id LIMIT $2");
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(recipient).bind(i64::from(limit)).fetch_all(db).await?))
    }

    /// Reads one mail.
    pub async fn mail(&self, id: MailId) -> Result<Option<MailRow>, StoreError> {
        Ok(on_pool!(self, |db| sqlx::query_as(select!("WHERE id = $1")).bind(&id.as_bytes()[..]).fetch_optional(db).await?))
    }

    /// Reads the mails of an order, oldest first.
    pub async fn mails(&self, order: OrderId) -> Result<Vec<MailRow>, StoreError> {
        Ok(on_pool!(self, |db| sqlx::query_as(BY_ORDER).bind(&order.as_bytes()[..]).fetch_all(db).await?))
    }

    /// Mails whose recipient is to be reminded, longest due first.
    pub async fn mails_to_remind(&self, now: Timestamp, limit: u32) -> Result<Vec<MailRow>, StoreError> {
        const SQL: &str = select!("WHERE remind_at IS NOT NULL AND remind_at <= $1 ORDER BY remind_at LIMIT $2");
        Ok(on_pool!(self, |db| sqlx::query_as(SQL).bind(now.unix_micros()).bind(i64::from(limit)).fetch_all(db).await?))
    }

    /// Orders with an open link whose deadline has passed.
    pub async fn orders_past_deadline(&self, now: Timestamp, limit: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        const SQL: &str = "SELECT DISTINCT order_id FROM mails WHERE link IN ('queued', 'sent') AND expires_at <= $1 LIMIT $2";
        Ok(on_pool!(self, |db| sqlx::query_scalar(SQL).bind(now.unix_micros()).bind(i64::from(limit)).fetch_all(db).await?))
    }
}
