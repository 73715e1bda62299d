-- Who may use the status page.
CREATE TABLE operators (
    name        TEXT   NOT NULL PRIMARY KEY,
    role        TEXT   NOT NULL CHECK (role IN ('viewer', 'operator', 'approver-admin', 'auditor', 'admin')),
    password    TEXT   NOT NULL,               -- argon2id, as a PHC string
    nonce       BYTEA  NOT NULL,               -- what the one-time passwords' secret is made of, with a link key
    last_step   BIGINT NOT NULL,               -- the latest one-time password that was used; none is taken twice
    created_at  BIGINT NOT NULL,
    disabled_at BIGINT
);

-- Sign-ins to the status page; each has its end on record.
CREATE TABLE sessions (
    id         BYTEA  NOT NULL PRIMARY KEY,    -- SHA-256 of what the cookie holds
    operator   TEXT   NOT NULL REFERENCES operators (name),
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,                -- at most a minute old while it is used
    peer       TEXT   NOT NULL,
    user_agent TEXT   NOT NULL,
    ended_at   BIGINT,
    end_reason TEXT CHECK (end_reason IN ('logout', 'timeout', 'revoked', 'replaced'))
);
CREATE INDEX sessions_open ON sessions (seen_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_by_operator ON sessions (operator) WHERE ended_at IS NULL;

-- Who came, who was refused, who left, and what was done; rows never change.
CREATE TABLE access_log (
    id       BYTEA  NOT NULL PRIMARY KEY,      -- ordered by time
    at       BIGINT NOT NULL,
    operator TEXT   NOT NULL,                  -- as given, where a sign-in was refused
    event    TEXT   NOT NULL,                  -- session.begin, session.refused, session.end, action
    detail   TEXT   NOT NULL,                  -- JSON
    peer     TEXT   NOT NULL
);
