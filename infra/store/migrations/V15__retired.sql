-- How many ended claims retention deleted, so that what is counted still adds up with `claim_tally`.
CREATE TABLE claim_retired (
    tenant     text NOT NULL,
    claim_type text NOT NULL,
    status     text NOT NULL,
    retired    bigint NOT NULL CHECK (retired >= 0),
    PRIMARY KEY (tenant, claim_type, status)
);
