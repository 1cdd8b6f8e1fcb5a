-- What is large in the documents of a claim: once, under its SHA-256. In the rows stands a reference
-- in its place, `{"fluxus:payload": "<sha256>", "bytes": N}`. It goes with its claim.
CREATE TABLE payload (
    claim_id  uuid NOT NULL,
    sha256    text COLLATE "C" NOT NULL CHECK (length(sha256) = 64),
    tenant    text NOT NULL,
    -- JSON; text, since it is only carried and was checked when it came in.
    body      text NOT NULL,
    -- Payloads of this claim that the body refers to; null where nothing in it is a reference.
    refers_to text[] CHECK (cardinality(refers_to) > 0),
    PRIMARY KEY (claim_id, sha256)
);
