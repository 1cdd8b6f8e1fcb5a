-- Fails a statement that touched other rows than it must. Statements are sent together with the commit,
-- so nobody can look at their answers before it.
CREATE FUNCTION fluxus_agree(touched bigint, expected bigint, of_table text, first_key text)
    RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF touched <> expected THEN
        RAISE EXCEPTION '% of % rows were changed meanwhile', expected - touched, expected
              USING ERRCODE = 'serialization_failure', TABLE = of_table, DETAIL = first_key;
    END IF;
END
$$;
