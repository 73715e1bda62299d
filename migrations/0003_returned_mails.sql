-- What came back for our mails, and what came to their return paths without being theirs; rows never change.
CREATE TABLE returned_mails (
    id        BYTEA  NOT NULL PRIMARY KEY,
    mail_id   BYTEA  REFERENCES mails (id),    -- by the authenticated reference in the return path; NULL where there is none
    at        BIGINT NOT NULL,
    kind      TEXT   NOT NULL CHECK (kind IN ('bounce', 'delay', 'auto-reply', 'reply', 'complaint', 'other')),
    findings  TEXT   NOT NULL,                 -- what was read of it, JSON
    raw       BYTEA  NOT NULL,                 -- the message, cut at 64 KiB
    sha256    BYTEA  NOT NULL CONSTRAINT returned_mails_sha256 UNIQUE -- of the whole message: one that arrives twice counts once
);
CREATE INDEX returned_mails_by_mail ON returned_mails (mail_id);
CREATE INDEX returned_mails_stray ON returned_mails (at) WHERE mail_id IS NULL;
