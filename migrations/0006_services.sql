-- When a mail's fate was last learnt, and the relay's own words where it was given up.
ALTER TABLE mails ADD COLUMN delivery_at BIGINT;
ALTER TABLE mails ADD COLUMN failure_detail TEXT;
CREATE INDEX returned_mails_of_notices ON returned_mails (at) WHERE notice_id IS NOT NULL;
