-- What came back for our mails, and lately to their return paths without being theirs; rows never change.
CREATE TABLE returned_mails (
    id        BYTEA  NOT NULL PRIMARY KEY,
    mail_id   BYTEA  REFERENCES mails (id),    -- by the authenticated reference in the return path; NULL where there is none
    at        BIGINT NOT NULL,
    kind      TEXT   NOT NULL CHECK (kind IN ('bounce', 'delay', 'auto-reply', 'reply', 'complaint', 'other')),
    findings  TEXT   NOT NULL,                 -- what was read of it, JSON
    raw       BYTEA  NOT NULL,                 -- the message, cut at 64 KiB, at 4 KiB where it is nobody's
    digest    BYTEA  NOT NULL CONSTRAINT returned_mails_digest UNIQUE -- SHA-256 of the message and its mail's id: what arrives twice for a mail counts once
);
CREATE INDEX returned_mails_by_mail ON returned_mails (mail_id);
CREATE INDEX returned_mails_stray ON returned_mails (at) WHERE mail_id IS NULL;
