//! Lets operators in to the status page, and out; each sign-in has its beginning and its end on record.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::App;
use crate::dcv::id::EventId;
use crate::dcv::link;
use crate::dcv::operator::{EndReason, Role, SessionLimits};
use crate::dcv::operator_certificate::{NotAdmitted, admit};
use crate::dcv::timestamp::Timestamp;
use crate::store::{AccessRow, OperatorRow, SessionRow, StoreError, Tx};

/// How old a sign-in's last use may be on record: a page costs no durable write each time.
const SEEN_EVERY: Duration = Duration::from_secs(60);

/// Sign-ins looked at in one round.
const ROUND_MAX: u32 = 100;

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The operator's name.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// What the cookie holds; the database has its hash.
#[derive(Clone)]
pub struct Cookie(String);

impl Cookie {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

pub(super) fn hash(cookie: &str) -> Vec<u8> {
    Sha256::new_with_prefix(b"dcvd/session/v1\0").chain_update(cookie).finalize().to_vec()
}

/// From where somebody signs in.
#[derive(Debug, Clone)]
pub struct From {
    /// The caller's address.
    pub peer: String,
    /// The caller's User-Agent, cut.
    pub user_agent: String,
}

/// Lets somebody in; `None` where name, password or one-time password is wrong, and nothing says which. `before` is the cookie that the
/// browser had: its sign-in is replaced.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn sign_in(
    app: &App,
    name: &str,
    password: &str,
    code: &str,
    before: Option<&str>,
    from: &From,
) -> Result<Option<Cookie>, StoreError> {
    let now = app.now();
    let named = app.store.operator(name).await?;
    // What else stands there may be a password in the wrong field.
    let told = named.as_ref().map(|one| one.name.clone()).unwrap_or_default();
    let found = named.filter(|one| one.disabled_at.is_none());
    let known = app.ports.credentials.is_password(password, found.as_ref().map(|one| one.password.as_str())).await;
    let step = found.as_ref().and_then(|one| {
        let secrets = link::one_time_secrets(&app.keys, &one.nonce);
        secrets.iter().find_map(|secret| app.ports.credentials.step(secret, code, now))
    });
    let (Some(one), true, Some(step)) = (found, known, step) else {
        refused(app, &told, "wrong", from).await?;
        return Ok(None);
    };
    let cookie = Cookie(BASE64URL_NOPAD.encode(&app.random::<32>()));
    let row = SessionRow {
        id: hash(cookie.as_str()),
        operator: one.name.clone(),
        role: one.role.clone(),
        created_at: now.unix_micros(),
        seen_at: now.unix_micros(),
        peer: from.peer.clone(),
    };
    let (mut ids, from_there, replaced) = (app.id_source(), from.clone(), before.map(hash));
    let began = app
        .store
        .write("sign_in", move |tx| {
            Box::pin(async move {
                if !tx.use_step(&one, step).await? {
                    return Ok(false);
                }
                if let Some(replaced) = replaced {
                    end(tx, &replaced, EndReason::Replaced, &from_there.peer, now, &mut ids).await?;
                }
                tx.insert_session(&row, &from_there.user_agent).await?;
                let detail = json!({"role": row.role, "user_agent": from_there.user_agent});
                tx.insert_access(&entry(&row.operator, "session.begin", &detail, &from_there.peer, now, ids())).await?;
                Ok::<bool, StoreError>(true)
            })
        })
        .await?;
    if !began {
        // The one-time password was used before, or the operator got another password meanwhile.
        refused(app, &told, "used-before", from).await?;
        return Ok(None);
    }
    Ok(Some(cookie))
}

/// Lets in whoever presents a certificate that a rule knows; an operator of that name is made where there is none, without a password.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn sign_in_by_certificate(
    app: &App,
    chain: &[Vec<u8>],
    before: Option<&str>,
    from: &From,
) -> Result<Result<Cookie, NotAdmitted>, StoreError> {
    let admitted = admitted(app, chain);
    let (name, role) = match admitted {
        Ok(admitted) => admitted,
        Err(why) => {
            refused(app, "", why.as_str(), from).await?;
            return Ok(Err(why));
        }
    };
    match admit_operator(app, &name, role, By { way: "certificate", called: None }, before.map(hash), from).await? {
        Some(cookie) => Ok(Ok(cookie)),
        None => Ok(Err(NotAdmitted::NotAuthorised)),
    }
}

/// By which way somebody came without a password.
pub(super) struct By {
    pub(super) way: &'static str,
    /// What they are called elsewhere, for people to read.
    pub(super) called: Option<String>,
}

/// Signs in somebody who has no password here; makes the operator where there is none. `None` where they are disabled, or have a password.
pub(super) async fn admit_operator(
    app: &App,
    name: &str,
    role: Role,
    by: By,
    replaced: Option<Vec<u8>>,
    from: &From,
) -> Result<Option<Cookie>, StoreError> {
    let now = app.now();
    let cookie = Cookie(BASE64URL_NOPAD.encode(&app.random::<32>()));
    let row = SessionRow {
        id: hash(cookie.as_str()),
        operator: name.to_owned(),
        role: role.as_str().to_owned(),
        created_at: now.unix_micros(),
        seen_at: now.unix_micros(),
        peer: from.peer.clone(),
    };
    let operator = OperatorRow {
        name: name.to_owned(),
        role: role.as_str().to_owned(),
        password: String::new(),
        nonce: app.random::<16>().to_vec(),
        last_step: 0,
        created_at: now.unix_micros(),
        disabled_at: None,
    };
    let (mut ids, from_there) = (app.id_source(), from.clone());
    let began = app
        .store
        .write("admit_operator", move |tx| {
            Box::pin(async move {
                if !tx.admit_operator(&operator).await? {
                    return Ok(false);
                }
                if let Some(replaced) = replaced {
                    end(tx, &replaced, EndReason::Replaced, &from_there.peer, now, &mut ids).await?;
                }
                tx.insert_session(&row, &from_there.user_agent).await?;
                let detail = json!({"role": row.role, "by": by.way, "called": by.called, "user_agent": from_there.user_agent});
                tx.insert_access(&entry(&row.operator, "session.begin", &detail, &from_there.peer, now, ids())).await?;
                Ok::<bool, StoreError>(true)
            })
        })
        .await?;
    if began {
        return Ok(Some(cookie));
    }
    refused(app, name, "disabled", from).await?;
    Ok(None)
}

/// Whom a certificate would let in, or why not.
///
/// # Errors
/// [`NotAdmitted`].
pub fn admitted(app: &App, chain: &[Vec<u8>]) -> Result<(String, Role), NotAdmitted> {
    let presented = app.ports.client_certificates.as_ref().and_then(|port| port.look_at(chain, app.now()));
    admit(presented.as_ref(), &app.settings.certificate_rules)
}

pub(super) async fn refused(app: &App, name: &str, why: &'static str, from: &From) -> Result<(), StoreError> {
    let row = entry(name, "session.refused", &json!({"reason": why}), &from.peer, app.now(), app.random());
    app.store.write("sign_in_refused", move |tx| Box::pin(async move { tx.insert_access(&row).await })).await
}

/// Who a cookie lets in; `None` where its sign-in has ended, or there is none. What is no use by a person lets it rest on.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn signed_in(app: &App, cookie: &str, limits: SessionLimits, is_use: bool) -> Result<Option<SignedIn>, StoreError> {
    let (now, id) = (app.now(), hash(cookie));
    let Some(row) = app.store.session(&id).await? else { return Ok(None) };
    let at = Timestamp::from_unix_micros;
    if limits.over(at(row.created_at), at(row.seen_at), now) {
        return Ok(None);
    }
    if is_use && now.since(at(row.seen_at)) >= SEEN_EVERY.min(limits.idle / 2) {
        app.store.write("see_session", move |tx| Box::pin(async move { tx.see_session(&id, now).await })).await?;
    }
    let role =
        Role::from_text(&row.role).ok_or_else(|| StoreError::inconsistent("operators", "role", row.operator.as_bytes()))?;
    Ok(Some(SignedIn { name: row.operator, role }))
}

/// Lets somebody out.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn sign_out(app: &App, cookie: &str, from: &From) -> Result<(), StoreError> {
    let (now, id, mut ids, peer) = (app.now(), hash(cookie), app.id_source(), from.peer.clone());
    // What a stranger sends costs no durable write.
    if app.store.session(&id).await?.is_none() {
        return Ok(());
    }
    app.store
        .write("sign_out", move |tx| Box::pin(async move { end(tx, &id, EndReason::Logout, &peer, now, &mut ids).await }))
        .await
}

/// Ends the sign-ins that are over by time; how many.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn end_resting(app: &App, limits: SessionLimits) -> Result<usize, StoreError> {
    let now = app.now();
    let rows = app.store.sessions_resting(now - limits.idle, now - limits.longest, ROUND_MAX).await?;
    for row in &rows {
        let (row, mut ids) = (row.clone(), app.id_source());
        app.store
            .write("end_resting", move |tx| {
                Box::pin(async move { end(tx, &row.id, EndReason::Timeout, &row.peer, now, &mut ids).await })
            })
            .await?;
    }
    Ok(rows.len())
}

/// Notes what somebody did or saw; part of the request that does it, written before it.
///
/// # Errors
/// [`StoreError`] when it cannot be written: then it must not be done.
pub async fn note(app: &App, who: &SignedIn, event: &str, what: &str, peer: &str) -> Result<(), StoreError> {
    let row = entry(&who.name, event, &json!({"path": what, "role": who.role}), peer, app.now(), app.random());
    app.store.write("note_action", move |tx| Box::pin(async move { tx.insert_access(&row).await })).await
}

/// Adds an operator, or gives a known one a new password, secret and role, which ends their sign-ins; `false` where `new` and the name is
/// taken, or not `new` and there is none.
///
/// # Errors
/// [`StoreError`] when it cannot be written.
pub async fn set_operator(
    app_store: &crate::store::Store,
    row: OperatorRow,
    new: bool,
    now: Timestamp,
) -> Result<bool, StoreError> {
    app_store
        .write("set_operator", move |tx| {
            Box::pin(async move {
                if new {
                    return tx.insert_operator(&row).await;
                }
                // The operator first: a sign-in under way waits for this and then fails, or is over and is ended here.
                let done = tx.reset_operator(&row).await?;
                revoke(tx, &row.name, now).await?;
                Ok(done)
            })
        })
        .await
}

/// Lets an operator in no more and ends their sign-ins; `false` where there is none, or that was so.
///
/// # Errors
/// [`StoreError`] when it cannot be written.
pub async fn disable(store: &crate::store::Store, name: &str, now: Timestamp) -> Result<bool, StoreError> {
    let name = name.to_owned();
    store
        .write("disable_operator", move |tx| {
            Box::pin(async move {
                let done = tx.disable_operator(&name, now).await?;
                revoke(tx, &name, now).await?;
                Ok(done)
            })
        })
        .await
}

async fn revoke(tx: &mut Tx<'_>, name: &str, now: Timestamp) -> Result<(), StoreError> {
    let mut number = 0_u8;
    for id in tx.sessions_of(name).await? {
        // From the sign-in's own id, which is random: the command line has no entropy at hand here.
        let mut ids = || {
            number = number.wrapping_add(1);
            let mut random = [0; 10];
            random.copy_from_slice(&id[..10]);
            random[0] ^= number;
            random
        };
        end(tx, &id, EndReason::Revoked, "", now, &mut ids).await?;
    }
    Ok(())
}

async fn end(
    tx: &mut Tx<'_>,
    id: &[u8],
    why: EndReason,
    peer: &str,
    now: Timestamp,
    ids: &mut (dyn FnMut() -> [u8; 10] + Send),
) -> Result<(), StoreError> {
    if let Some(operator) = tx.end_session(id, why, now).await? {
        tx.insert_access(&entry(&operator, "session.end", &json!({"reason": why.as_str()}), peer, now, ids())).await?;
    }
    Ok(())
}

fn entry(operator: &str, event: &str, detail: &Value, peer: &str, now: Timestamp, random: [u8; 10]) -> AccessRow {
    AccessRow {
        id: EventId::new(now, random).as_bytes().to_vec(),
        at: now.unix_micros(),
        operator: operator.to_owned(),
        event: event.to_owned(),
        detail: detail.to_string(),
        peer: peer.to_owned(),
    }
}
