-- Recipes, their immutable versions, and the claim types they fulfil.
CREATE TABLE recipe (
    tenant       text NOT NULL,
    name         text NOT NULL,
    -- 0 only within the transaction that puts the first version.
    live_version integer NOT NULL CHECK (live_version >= 0),
    PRIMARY KEY (tenant, name)
);

CREATE TABLE recipe_version (
    tenant     text NOT NULL,
    name       text NOT NULL,
    version    integer NOT NULL CHECK (version >= 1),
    definition json NOT NULL CHECK (json_typeof(definition) = 'object'),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, name, version),
    FOREIGN KEY (tenant, name) REFERENCES recipe (tenant, name)
);

CREATE TABLE claim_type (
    tenant     text NOT NULL,
    claim_type text NOT NULL,
    -- JSON Schema that bodies must satisfy.
    schema     json,
    recipe     text,
    PRIMARY KEY (tenant, claim_type),
    FOREIGN KEY (tenant, recipe) REFERENCES recipe (tenant, name)
);

CREATE INDEX claim_type_by_recipe ON claim_type (tenant, recipe) WHERE recipe IS NOT NULL;
