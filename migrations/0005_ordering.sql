-- What ordering systems do besides placing orders: repeat requests safely, reuse approvals, report certificates.

-- Requests that carried an Idempotency-Key and changed something: written with the change itself, the answer right after it.
CREATE TABLE idempotency_keys (
    client      TEXT   NOT NULL,
    key         TEXT   NOT NULL,
    fingerprint BYTEA  NOT NULL,               -- SHA-256 of path and body
    order_id    BYTEA  REFERENCES orders (id), -- what it changed
    status      BIGINT NOT NULL,               -- of the answer
    location    TEXT,                          -- of the answer
    answer      TEXT,                          -- its body; NULL while it is not written, then it is made anew from the order
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (client, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- The ADN an approval was given for, and whether somebody objected to it: what later orders ask before they reuse it.
ALTER TABLE validations ADD COLUMN adn TEXT;
ALTER TABLE validations ADD COLUMN disputed_at BIGINT;
-- The approval that this name rests on, where nobody was asked again.
ALTER TABLE validations ADD COLUMN reused_from TEXT; -- JSON: order_id, order_ref, name
ALTER TABLE validations ADD COLUMN reused_id BYTEA; -- the validation it is
-- While awaiting an approver: when the sources are asked again, and how often they were.
ALTER TABLE validations ADD COLUMN look_again_at BIGINT;
ALTER TABLE validations ADD COLUMN looks BIGINT NOT NULL DEFAULT 0;
UPDATE validations SET adn = (SELECT m.adn FROM mails m WHERE m.id = validations.mail_id) WHERE mail_id IS NOT NULL;
-- Whatever was approved in an order that somebody objected to.
UPDATE validations SET disputed_at = (SELECT MIN(e.at) FROM events e WHERE e.order_id = validations.order_id AND e.kind = 'validation.disputed')
    WHERE state = 'approved';
CREATE INDEX validations_resting ON validations (reused_id) WHERE reused_id IS NOT NULL;
CREATE INDEX validations_live ON validations (adn, reusable_until) WHERE state = 'approved' AND reused_from IS NULL;
CREATE INDEX validations_look_again ON validations (look_again_at) WHERE state = 'awaiting_approver';

-- 1: every address was to be asked, so that whoever is found later is asked without being chosen.
ALTER TABLE orders ADD COLUMN asks_all BIGINT NOT NULL DEFAULT 0;
-- 1: placed by a client under test: its mails go nowhere, its approvals prove nothing.
ALTER TABLE orders ADD COLUMN test BIGINT NOT NULL DEFAULT 0;

-- Certificates that were issued on an order, as the ordering system reports them.
CREATE TABLE certificates (
    order_id   BYTEA  NOT NULL REFERENCES orders (id),
    serial     TEXT   NOT NULL,                -- hexadecimal, lower case, without leading zeros
    names      TEXT   NOT NULL,                -- JSON
    not_before BIGINT NOT NULL,
    not_after  BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (order_id, serial)
);
CREATE INDEX certificates_ending ON certificates (not_after);

-- Ordering systems made by `dcvd client add`; those of the configuration stand there alone.
CREATE TABLE clients (
    name       TEXT   NOT NULL PRIMARY KEY,
    rights     TEXT   NOT NULL,                -- JSON
    created_at BIGINT NOT NULL
);
CREATE TABLE client_tokens (
    token_sha256 BYTEA  NOT NULL PRIMARY KEY,
    client       TEXT   NOT NULL REFERENCES clients (name),
    created_at   BIGINT NOT NULL,
    revoked_at   BIGINT
);

-- Receivers of webhooks that answered 410 Gone.
CREATE TABLE gone_endpoints (
    name    TEXT   NOT NULL PRIMARY KEY,
    address TEXT   NOT NULL,                   -- SHA-256 of its URL: another address under the name is another receiver
    gone_at BIGINT NOT NULL
);
