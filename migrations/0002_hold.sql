-- Why an order's mails wait for an operator: the policy's entries as JSON; NULL once released, or where nothing held it.
ALTER TABLE orders ADD COLUMN held TEXT;
CREATE INDEX orders_held ON orders (id) WHERE held IS NOT NULL AND state = 'pending';
