-- Why an order's mails wait, or once waited, for an operator: the policy's entries as JSON; NULL where nothing held it.
ALTER TABLE orders ADD COLUMN held TEXT;
-- When an operator released it; a released order is not held again.
ALTER TABLE orders ADD COLUMN released_at BIGINT;
CREATE INDEX orders_held ON orders (id) WHERE held IS NOT NULL AND released_at IS NULL AND state = 'pending';
