-- The request that an effect goes back to, as the log names it.
ALTER TABLE effects ADD COLUMN request_id TEXT;
CREATE INDEX renewals_by ON renewals (renewed_by) WHERE renewed_by IS NOT NULL;
