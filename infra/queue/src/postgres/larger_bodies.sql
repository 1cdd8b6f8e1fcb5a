-- Bodies of up to 6 MiB: what fits into one invocation of a Lambda function. Those that are there
-- already were checked against less, so the table need not be read.
ALTER TABLE fluxus_queue.message
    DROP CONSTRAINT message_body_check,
    ADD CONSTRAINT message_body_check CHECK (octet_length(body) <= 6291456) NOT VALID;
