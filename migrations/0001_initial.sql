-- One text for SQLite and PostgreSQL. Times are microseconds since the Unix epoch, UTC. Ids are 16 bytes, ordered by time.
-- JSON is text. SQLite takes BYTEA for what it is: any bytes.

-- The profiles that orders were placed under, by content; rows never change.
CREATE TABLE profile_versions (
    hash          BYTEA  NOT NULL PRIMARY KEY, -- SHA-256 of body
    id            TEXT   NOT NULL,             -- the profile's name
    body          TEXT   NOT NULL,             -- effective values, JSON
    first_seen_at BIGINT NOT NULL
);

CREATE TABLE orders (
    id           BYTEA  NOT NULL PRIMARY KEY,
    client       TEXT   NOT NULL,              -- the ordering system that placed it
    order_ref    TEXT   NOT NULL,              -- its own reference
    profile_id   TEXT   NOT NULL,
    profile_hash BYTEA  NOT NULL REFERENCES profile_versions (hash),
    state        TEXT   NOT NULL CHECK (state IN ('pending', 'completed', 'cancelled')),
    locale       TEXT   NOT NULL CHECK (locale IN ('ja', 'en')),
    facts        TEXT   NOT NULL,              -- what the caller told besides, JSON; never changes
    created_at   BIGINT NOT NULL,
    ended_at     BIGINT,                       -- when it left 'pending'
    last_seq     BIGINT NOT NULL,              -- seq of its latest event
    CONSTRAINT orders_client_ref UNIQUE (client, order_ref)
);
CREATE INDEX orders_by_client ON orders (client, id);
CREATE INDEX orders_pending ON orders (id) WHERE state = 'pending';

-- One name within an order.
CREATE TABLE validations (
    id                BYTEA  NOT NULL PRIMARY KEY,
    order_id          BYTEA  NOT NULL REFERENCES orders (id),
    position          BIGINT NOT NULL,         -- its place in the order, from 0
    name              TEXT   NOT NULL,         -- A-labels, with "*." where it is a wildcard
    state             TEXT   NOT NULL CHECK (state IN ('awaiting_approver', 'pending', 'approved', 'rejected', 'expired', 'cancelled')),
    selection_ends_at BIGINT,                  -- while awaiting an approver: until when
    mail_id           BYTEA,                   -- the mail whose answer decided it
    answer            TEXT,                    -- approve, reject or report
    method            TEXT,                    -- section of the Baseline Requirements
    scope             TEXT,
    signer            TEXT,                    -- as typed, not verified
    reason            TEXT,                    -- as typed
    ended_at          BIGINT,
    reusable_until    BIGINT,
    CONSTRAINT validations_position UNIQUE (order_id, position)
);
CREATE INDEX validations_by_name ON validations (name, order_id);
CREATE INDEX validations_awaiting ON validations (selection_ends_at) WHERE state = 'awaiting_approver';

-- One message to one approver for one ADN, with its own Random Value, of which only a hash is kept.
CREATE TABLE mails (
    id            BYTEA  NOT NULL PRIMARY KEY,
    order_id      BYTEA  NOT NULL REFERENCES orders (id),
    recipient     TEXT   NOT NULL,
    adn           TEXT   NOT NULL,
    adn_is_base   BIGINT NOT NULL,             -- 1 where the ADN is its own Base Domain Name
    source        TEXT   NOT NULL,
    role          TEXT,
    lookup_id     BYTEA,                       -- the look-up that yielded the address; none for constructed ones
    looked_up_at  BIGINT NOT NULL,
    valid_until   BIGINT,                      -- until when the look-up may be believed without asking again
    random_hash   BYTEA  NOT NULL CONSTRAINT mails_random_hash UNIQUE,
    ref           TEXT   NOT NULL CONSTRAINT mails_ref UNIQUE, -- in the return path
    message_id    TEXT   NOT NULL,
    content_hash  BYTEA  NOT NULL,             -- SHA-256 of the message as sent
    link          TEXT   NOT NULL CHECK (link IN ('queued', 'sent', 'answered', 'expired', 'superseded', 'cancelled')),
    delivery      TEXT   NOT NULL CHECK (delivery IN ('queued', 'sending', 'accepted', 'delayed', 'delivered', 'bounced', 'failed')),
    failure       TEXT,                        -- why it failed: a stable code, or the relay's words
    created_at    BIGINT NOT NULL,             -- of the Random Value too
    expires_at    BIGINT NOT NULL,             -- the deadline that counts
    sent_at       BIGINT,
    answered_at   BIGINT
);
CREATE INDEX mails_by_order ON mails (order_id);
CREATE INDEX mails_open ON mails (expires_at) WHERE link IN ('queued', 'sent');

CREATE TABLE mail_validations (
    mail_id       BYTEA NOT NULL REFERENCES mails (id),
    validation_id BYTEA NOT NULL REFERENCES validations (id),
    PRIMARY KEY (mail_id, validation_id)
);
CREATE INDEX mail_validations_by_validation ON mail_validations (validation_id);

-- What people pressed, whether or not it changed anything.
CREATE TABLE answers (
    id         BYTEA  NOT NULL PRIMARY KEY,
    mail_id    BYTEA  NOT NULL REFERENCES mails (id),
    at         BIGINT NOT NULL,
    answer     TEXT   NOT NULL,
    scope      TEXT,
    signer     TEXT,
    reason     TEXT,
    peer       TEXT   NOT NULL,                -- the caller's address
    user_agent TEXT   NOT NULL,
    won        BIGINT NOT NULL                 -- 1 where this answer decided
);
CREATE INDEX answers_by_mail ON answers (mail_id);

-- An order's timeline; rows never change.
CREATE TABLE events (
    id       BYTEA  NOT NULL PRIMARY KEY,      -- the webhook-id
    order_id BYTEA  NOT NULL REFERENCES orders (id),
    seq      BIGINT NOT NULL,                  -- 1, 2, 3 … within the order
    kind     TEXT   NOT NULL,
    at       BIGINT NOT NULL,
    actor    TEXT   NOT NULL,
    data     TEXT   NOT NULL,                  -- JSON, as the webhook carries it
    CONSTRAINT events_order_seq UNIQUE (order_id, seq)
);

-- The outbox: effects that wait, and those that were done or given up.
CREATE TABLE effects (
    id          BYTEA  NOT NULL PRIMARY KEY,
    kind        TEXT   NOT NULL CHECK (kind IN ('mail', 'webhook')),
    order_id    BYTEA  NOT NULL REFERENCES orders (id),
    subject_id  BYTEA  NOT NULL,               -- the mail or the event
    endpoint    TEXT   NOT NULL,               -- the webhook's name; for mails the mail's ref, so that none waits for another
    seq         BIGINT NOT NULL,               -- an effect waits for those before it with the same order and endpoint
    body        BYTEA,                         -- a mail's final bytes; blanked when the link ends, since they hold the Random Value
    state       TEXT   NOT NULL CHECK (state IN ('due', 'done', 'dead')),
    attempts    BIGINT NOT NULL,               -- counted before each is made
    tried       BIGINT NOT NULL,               -- attempts of the schedule under way; a replay begins a new one
    created_at  BIGINT NOT NULL,
    first_tried_at BIGINT,                     -- giving up counts from here: a daemon that was down owes its effects a full schedule
    due_at      BIGINT NOT NULL,               -- when it may be taken: the next attempt, or the end of a lease
    lease       BYTEA,                         -- who holds it; a finish with another token is refused
    ended_at    BIGINT,
    last_error  TEXT
);
CREATE INDEX effects_due ON effects (kind, due_at) WHERE state = 'due';
CREATE INDEX effects_line ON effects (order_id, endpoint, seq) WHERE state = 'due';
CREATE INDEX effects_by_subject ON effects (subject_id);

-- One try of an effect.
CREATE TABLE attempts (
    effect_id  BYTEA  NOT NULL REFERENCES effects (id),
    number     BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    outcome    TEXT   NOT NULL CHECK (outcome IN ('done', 'later', 'dead')),
    detail     TEXT   NOT NULL,                -- the peer's words, or ours
    PRIMARY KEY (effect_id, number)
);

-- One source asked for one ADN, with the evidence; rows never change.
CREATE TABLE lookups (
    id          BYTEA  NOT NULL PRIMARY KEY,
    source      TEXT   NOT NULL,
    adn         TEXT   NOT NULL,
    status      TEXT   NOT NULL,
    server      TEXT,
    dnssec      TEXT,
    at          BIGINT NOT NULL,
    valid_until BIGINT,
    perspective TEXT   NOT NULL,
    findings    TEXT   NOT NULL                -- contacts, reasons and exchanges, JSON
);
CREATE INDEX lookups_latest ON lookups (adn, source, at);

-- The look-ups an order rests on.
CREATE TABLE order_lookups (
    order_id  BYTEA NOT NULL REFERENCES orders (id),
    lookup_id BYTEA NOT NULL REFERENCES lookups (id),
    PRIMARY KEY (order_id, lookup_id)
);

-- Keys made at first start where none is configured.
CREATE TABLE secrets (
    name       TEXT   NOT NULL PRIMARY KEY,
    value      BYTEA  NOT NULL,
    created_at BIGINT NOT NULL
);
