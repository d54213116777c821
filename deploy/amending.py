"""For migrations: a function of the database as it stands, with other words in its body; where it is long, and all else of it stays."""


def amended(function: str, before: str, after: str) -> str:
    """The statement that puts `after` where `before` stands in the body of `function`, which is named with its arguments' types.

    Run, it raises where `before` is not there: then the function is not as the migrations before have made it.
    """
    return f"""
    DO $do$
    DECLARE body text := pg_get_functiondef('{function}'::regprocedure);
    BEGIN
        IF position($old${before}$old$ IN body) = 0 THEN
            RAISE EXCEPTION '{function} is not as the migrations before this one made it';
        END IF;
        EXECUTE replace(body, $old${before}$old$, $new${after}$new$);
    END $do$
    """
