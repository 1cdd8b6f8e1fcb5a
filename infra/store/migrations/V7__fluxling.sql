-- The registered fluxlings and how they fare.
CREATE TABLE fluxling (
    tenant             text NOT NULL,
    name               text NOT NULL,
    manifest           json NOT NULL CHECK (json_typeof(manifest) = 'object'),
    enabled            boolean NOT NULL,
    registered_at      timestamptz NOT NULL,
    in_flight          bigint NOT NULL DEFAULT 0 CHECK (in_flight >= 0),
    -- Moving averages over answered tasks.
    latency_ms         double precision NOT NULL DEFAULT 0 CHECK (latency_ms >= 0),
    error_rate         double precision NOT NULL DEFAULT 0 CHECK (error_rate BETWEEN 0 AND 1),
    answered           bigint NOT NULL DEFAULT 0 CHECK (answered >= 0),
    circuit_open_until timestamptz,
    PRIMARY KEY (tenant, name)
) WITH (fillfactor = 30, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
