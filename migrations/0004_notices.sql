-- The outbox takes notices, some of which belong to no order, and says to whom mail goes; an attempt keeps its dialogue. Both
-- tables are made anew, since SQLite changes no column.
DROP INDEX effects_due;
DROP INDEX effects_line;
DROP INDEX effects_by_subject;
ALTER TABLE attempts RENAME TO attempts_before;
ALTER TABLE effects RENAME TO effects_before;

CREATE TABLE effects (
    id          BYTEA  NOT NULL PRIMARY KEY,
    kind        TEXT   NOT NULL CHECK (kind IN ('mail', 'notice', 'webhook')),
    order_id    BYTEA  REFERENCES orders (id), -- NULL for notices that belong to none
    subject_id  BYTEA  NOT NULL,               -- the mail, the notice or the event
    endpoint    TEXT   NOT NULL,               -- the webhook's name; for mail its ref, so that none waits for another
    seq         BIGINT NOT NULL,               -- an effect waits for those before it with the same order and endpoint
    recipient   TEXT,                          -- to whom mail goes
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
INSERT INTO effects (id, kind, order_id, subject_id, endpoint, seq, recipient, body, state, attempts, tried, created_at,
                     first_tried_at, due_at, lease, ended_at, last_error)
    SELECT e.id, e.kind, e.order_id, e.subject_id, e.endpoint, e.seq, m.recipient, e.body, e.state, e.attempts, e.tried, e.created_at,
           e.first_tried_at, e.due_at, e.lease, e.ended_at, e.last_error
    FROM effects_before e LEFT JOIN mails m ON e.kind = 'mail' AND m.id = e.subject_id;

-- One try of an effect.
CREATE TABLE attempts (
    effect_id  BYTEA  NOT NULL REFERENCES effects (id),
    number     BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    outcome    TEXT   NOT NULL CHECK (outcome IN ('done', 'later', 'dead')),
    detail     TEXT   NOT NULL,                -- the peer's words, or ours
    dialogue   TEXT,                           -- what was said over SMTP, a step a line, without the message
    PRIMARY KEY (effect_id, number)
);
INSERT INTO attempts (effect_id, number, ended_at, outcome, detail)
    SELECT effect_id, number, ended_at, outcome, detail FROM attempts_before;
DROP TABLE attempts_before;
DROP TABLE effects_before;
CREATE INDEX effects_due ON effects (kind, due_at) WHERE state = 'due';
CREATE INDEX effects_line ON effects (order_id, endpoint, seq) WHERE state = 'due';
CREATE INDEX effects_by_subject ON effects (subject_id);
CREATE INDEX effects_dead ON effects (ended_at) WHERE state = 'dead';
-- Approval mails that a recipient was sent lately.
CREATE INDEX effects_to ON effects (recipient, ended_at) WHERE kind = 'mail' AND state = 'done';

-- Mail without a link: what became of an order, what operators should know, and the canary.
CREATE TABLE notices (
    id          BYTEA  NOT NULL PRIMARY KEY,
    order_id    BYTEA  REFERENCES orders (id),
    kind        TEXT   NOT NULL,
    recipient   TEXT   NOT NULL,
    locale      TEXT   NOT NULL CHECK (locale IN ('ja', 'en')),
    data        TEXT   NOT NULL,               -- what it tells besides the order, JSON
    delivery    TEXT   NOT NULL CHECK (delivery IN ('queued', 'sending', 'accepted', 'delayed', 'delivered', 'bounced', 'failed')),
    failure     TEXT,
    created_at  BIGINT NOT NULL,
    sent_at     BIGINT,
    returned_at BIGINT,                        -- when the canary came back
    disputed_at BIGINT                         -- when somebody disputed what a receipt tells
);
CREATE INDEX notices_by_order ON notices (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX notices_by_kind ON notices (kind, created_at);

-- Times a mail was sent once more on somebody's word, and as a reminder; its deadline stays.
ALTER TABLE mails ADD COLUMN resends BIGINT NOT NULL DEFAULT 0;
ALTER TABLE mails ADD COLUMN reminders BIGINT NOT NULL DEFAULT 0;
-- When it was last put into the outbox.
ALTER TABLE mails ADD COLUMN resent_at BIGINT;
-- When its recipient is next reminded; NULL = not any more.
ALTER TABLE mails ADD COLUMN remind_at BIGINT;
-- Whether its recipient's domain takes mail, as DNS told when it was sent: advice.
ALTER TABLE mails ADD COLUMN mail_host TEXT;
CREATE INDEX mails_remind ON mails (remind_at) WHERE remind_at IS NOT NULL;

-- Until when an approval waits for a refusal by somebody else who was asked; the name is pending until then.
ALTER TABLE validations ADD COLUMN veto_ends_at BIGINT;
CREATE INDEX validations_veto ON validations (veto_ends_at) WHERE veto_ends_at IS NOT NULL AND state = 'pending';

-- The notice that a message came back for.
ALTER TABLE returned_mails ADD COLUMN notice_id BYTEA REFERENCES notices (id);
CREATE INDEX returned_mails_by_notice ON returned_mails (notice_id) WHERE notice_id IS NOT NULL;

-- What is done once in a while by one daemon of several: when it was last done.
CREATE TABLE marks (
    name TEXT   NOT NULL PRIMARY KEY,
    at   BIGINT NOT NULL
);
