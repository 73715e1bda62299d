-- The request that an effect goes back to, as the log names it.
ALTER TABLE effects ADD COLUMN request_id TEXT;
CREATE INDEX renewals_by ON renewals (renewed_by) WHERE renewed_by IS NOT NULL;
CREATE INDEX validations_reused ON validations (reused_id) WHERE reused_id IS NOT NULL;
CREATE INDEX order_lookups_by_lookup ON order_lookups (lookup_id);
CREATE INDEX mails_by_lookup ON mails (lookup_id) WHERE lookup_id IS NOT NULL;
CREATE INDEX idempotency_keys_by_order ON idempotency_keys (order_id) WHERE order_id IS NOT NULL;

-- What was removed since it need not be kept any more; rows never change, and are sealed as the audit log is.
CREATE TABLE retirements (
    id      BYTEA  NOT NULL PRIMARY KEY,
    at      BIGINT NOT NULL,
    what    TEXT   NOT NULL,                   -- order or access-log
    subject TEXT   NOT NULL,                   -- the order's id, or until when
    rule    TEXT   NOT NULL,                   -- why
    rows    BIGINT NOT NULL,                   -- sealed rows among what was removed
    digest  BYTEA  NOT NULL                    -- SHA-256 of their kinds and ids, in their order
);
-- The sealed rows that were removed.
CREATE TABLE retired (
    kind       TEXT  NOT NULL,                 -- one letter
    id         BYTEA NOT NULL,
    retirement BYTEA NOT NULL REFERENCES retirements (id),
    PRIMARY KEY (kind, id)
);
CREATE INDEX retired_by ON retired (retirement, kind, id);
