-- What several daemons together may do only so often: a row for each WHOIS server, say.
CREATE TABLE turns (
    name       TEXT   NOT NULL PRIMARY KEY,
    full_until BIGINT NOT NULL                 -- when all that was let through would have gone at the rate alone
);
