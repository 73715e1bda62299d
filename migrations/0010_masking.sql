-- Personal data that was taken out of rows which stay; the notes never change, and are sealed with the removal they belong to.
CREATE TABLE masked (
    kind       TEXT  NOT NULL,                 -- one letter
    id         BYTEA NOT NULL,
    was        BYTEA NOT NULL,                 -- SHA-256 of the row's columns as it was sealed
    is_now     BYTEA NOT NULL,                 -- and without personal data
    retirement BYTEA NOT NULL REFERENCES retirements (id),
    PRIMARY KEY (kind, id)
);
CREATE INDEX masked_by ON masked (retirement, kind, id);
-- When an order's personal data was taken out.
ALTER TABLE orders ADD COLUMN masked_at BIGINT;
