-- What operators put to an order besides its timeline: whose it is, and since when its reminders rest.
ALTER TABLE orders ADD COLUMN assignee TEXT;
ALTER TABLE orders ADD COLUMN paused_at BIGINT;
-- The domain below which everything is one registration: what operators search by. NULL in rows older than this column, until the
-- daemon has filled them.
ALTER TABLE validations ADD COLUMN base_domain TEXT;
CREATE INDEX validations_by_base ON validations (base_domain, order_id);
CREATE INDEX validations_without_base ON validations (id) WHERE base_domain IS NULL;
CREATE INDEX orders_by_ref ON orders (order_ref, id);
CREATE INDEX orders_assigned ON orders (assignee, id) WHERE assignee IS NOT NULL AND state = 'pending';
CREATE INDEX mails_by_recipient ON mails (recipient, order_id);
-- An order's effects, ended ones too: its page and its evidence tell them.
DROP INDEX effects_line;
CREATE INDEX effects_by_order ON effects (order_id, endpoint, seq);
CREATE INDEX effects_given_up ON effects (order_id) WHERE state = 'dead' AND last_error <> 'link-ended';
CREATE INDEX allowlist_by_domain ON allowlist (domain);
CREATE INDEX mails_undelivered ON mails (order_id) WHERE link IN ('queued', 'sent') AND delivery IN ('bounced', 'failed', 'delayed');

-- When a code was used that shows an order's state once.
ALTER TABLE notices ADD COLUMN used_at BIGINT;

-- Who opened a link's page, by agent and address: counted in memory and written now and then, since a view changes nothing.
CREATE TABLE views (
    mail_id    BYTEA  NOT NULL REFERENCES mails (id),
    peer       TEXT   NOT NULL,
    user_agent TEXT   NOT NULL,
    scanner    BIGINT NOT NULL,                -- 1 where it looks like a program that reads mail before people do
    first_at   BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    times      BIGINT NOT NULL,
    PRIMARY KEY (mail_id, peer, user_agent)
);

-- How often something happened within an hour (a month, where there are many values), by one property of the order: made from the
-- timelines, a little behind them.
CREATE TABLE tallies (
    at        BIGINT NOT NULL,                 -- the hour's beginning; the month's in Japan for dimension 'domain' and 'requester'
    dimension TEXT   NOT NULL,
    value     TEXT   NOT NULL,
    measure   TEXT   NOT NULL,
    count     BIGINT NOT NULL,
    PRIMARY KEY (dimension, at, value, measure)
);
-- How far the timelines have been counted; no row where they have not been yet.
CREATE TABLE tally_marks (
    name  TEXT  NOT NULL PRIMARY KEY,
    event BYTEA NOT NULL                       -- the last event that was counted
);

-- Up to where an older daemon wrote rows that it did not seal; they are sealed at the first start.
INSERT INTO tally_marks (name, event) SELECT 'unsealed-event', id FROM (SELECT id FROM events ORDER BY id DESC LIMIT 1) AS latest;
INSERT INTO tally_marks (name, event) SELECT 'unsealed-answer', id FROM (SELECT id FROM answers ORDER BY id DESC LIMIT 1) AS latest;
INSERT INTO tally_marks (name, event) SELECT 'unsealed-look-up', id FROM (SELECT id FROM lookups ORDER BY id DESC LIMIT 1) AS latest;
INSERT INTO tally_marks (name, event) SELECT 'unsealed-access', id FROM (SELECT id FROM access_log ORDER BY id DESC LIMIT 1) AS latest;
-- What was written and is not sealed yet: one row a transaction, taken by the next seal.
CREATE TABLE unsealed (
    id      BYTEA NOT NULL PRIMARY KEY,
    entries BYTEA NOT NULL                     -- 49 bytes each: what it is, its id, its SHA-256
);
-- The audit log's chain: each seal holds the one before it and the digests of what was written since; rows never change.
CREATE TABLE seals (
    number   BIGINT NOT NULL PRIMARY KEY,      -- 1, 2, 3 …
    at       BIGINT NOT NULL,
    previous BYTEA  NOT NULL,                  -- hash of the seal before; 32 zeros for the first
    entries  BYTEA  NOT NULL,
    hash     BYTEA  NOT NULL CONSTRAINT seals_hash UNIQUE
);
-- Random samples of approvals drawn for the self-audit of the Baseline Requirements, section 8.7; rows never change.
CREATE TABLE audit_samples (
    id       BYTEA  NOT NULL PRIMARY KEY,
    at       BIGINT NOT NULL,
    drawn_by TEXT   NOT NULL,
    from_at  BIGINT NOT NULL,
    to_at    BIGINT NOT NULL,
    percent  BIGINT NOT NULL,
    seed     BYTEA  NOT NULL,                  -- with which the draw can be repeated
    total    BIGINT NOT NULL,                  -- how many it was drawn from
    drawn    TEXT   NOT NULL                   -- the validations, JSON
);

-- Files that operators asked for; made in the background, kept for a week.
CREATE TABLE exports (
    id         BYTEA  NOT NULL PRIMARY KEY,
    operator   TEXT   NOT NULL,
    made_of    TEXT   NOT NULL,                -- what is in it and how it is written, JSON
    masked     BIGINT NOT NULL,                -- 1: without personal data
    state      TEXT   NOT NULL CHECK (state IN ('waiting', 'ready', 'failed')),
    created_at BIGINT NOT NULL,
    row_count  BIGINT NOT NULL,
    parts      BIGINT NOT NULL,
    octets     BIGINT NOT NULL,
    cursor     BYTEA,                          -- where the next part begins
    ended_at   BIGINT
);
CREATE INDEX exports_waiting ON exports (id) WHERE state = 'waiting';
CREATE TABLE export_parts (
    export_id BYTEA  NOT NULL REFERENCES exports (id),
    number    BIGINT NOT NULL,
    body      BYTEA  NOT NULL,
    PRIMARY KEY (export_id, number)
);
