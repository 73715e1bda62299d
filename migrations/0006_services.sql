-- When a mail's fate was last learnt, and the relay's own words where it was given up.
ALTER TABLE mails ADD COLUMN delivery_at BIGINT;
ALTER TABLE mails ADD COLUMN failure_detail TEXT;
CREATE INDEX returned_mails_of_notices ON returned_mails (at) WHERE notice_id IS NOT NULL;

-- Which domains an ordering system may order, and whom it wants asked there: the domain itself and all below.
CREATE TABLE allowlist (
    client     TEXT   NOT NULL,
    domain     TEXT   NOT NULL,                -- A-labels
    approver   TEXT,                           -- whom to ask where an order names nobody
    profiles   TEXT   NOT NULL,                -- JSON: the profiles it may be ordered under; [] for all
    note       TEXT   NOT NULL,
    changed_at BIGINT NOT NULL,
    changed_by TEXT   NOT NULL,                -- client:<name>, or the command line
    PRIMARY KEY (client, domain)
);

-- A registration contact that the ordering system told where the look-up found none, while it is held against WHOIS: JSON.
ALTER TABLE validations ADD COLUMN entry TEXT;

-- Certificates that draw near their end: whom to tell, and the order that this service places where its profile says so.
CREATE TABLE renewals (
    order_id   BYTEA  NOT NULL REFERENCES orders (id),
    serial     TEXT   NOT NULL,                -- of the certificate
    done_until BIGINT NOT NULL,                -- what was due until then was done
    next_at    BIGINT,                         -- when there is something to do; NULL = nothing more
    renewed_by BYTEA,                          -- the order that says it renews it; it does once it is approved
    PRIMARY KEY (order_id, serial)
);
CREATE INDEX renewals_due ON renewals (next_at) WHERE next_at IS NOT NULL;

-- 1: somebody else is asked for this name since; an approval by this mail counts towards no quorum any more.
ALTER TABLE mail_validations ADD COLUMN void BIGINT NOT NULL DEFAULT 0;
-- 1: an operator found the address in a WHOIS answer that could not be read.
ALTER TABLE mails ADD COLUMN vouched BIGINT NOT NULL DEFAULT 0;
-- The other roles that the registration names the address in, with commas between.
ALTER TABLE mails ADD COLUMN also_roles TEXT;
