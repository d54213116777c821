"""What somebody may no longer do ends everywhere: webhooks whose owner lost the right to them, and accounts that the operator shut.

`gateway.webhooks_entitled`: which webhooks are to be served, for the role that delivers, which sees no account and no key.
`gateway.lie_outside`: which of the offers and wishes that somebody sends are known elsewhere, for the door, which may see neither.
`webhooks.key_family`: the key with which it was made, as all keys of one rotation; null where a person made it, and for those from before.
`accounts.disabled_by`: the admin's account; null where it was the operator, or nobody knows. Only the operator lets those in again.
"""

from alembic import op

revision = "0021_webhook_owner"
down_revision = "0020_before_claim"
branch_labels = None
depends_on = None

# The rule by which somebody may subscribe (policy.py: manage_webhooks and read_events, on the whole area), asked of the account as it is now.
ENTITLED = """
CREATE FUNCTION gateway.webhooks_entitled(demo_too boolean, only_one text DEFAULT NULL) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT w.webhook_id FROM gateway.webhooks w JOIN gateway.accounts a ON a.account_id = w.account_id
    WHERE (only_one IS NULL OR w.webhook_id = only_one)
        AND a.disabled_at IS NULL AND NOT a.must_change AND (demo_too OR NOT a.demo)
        AND a.scope = ARRAY[w.area]
        AND ('integrator' = ANY (a.roles) OR a.roles @> ARRAY['admin', 'auditor'])
        AND (w.key_family IS NULL OR EXISTS (
            SELECT FROM gateway.api_keys k LEFT JOIN gateway.key_quotas q ON q.key_id = k.key_id
            WHERE k.account_id = w.account_id AND coalesce(q.family, k.key_id) = w.key_family
                AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())))
$$
"""

# Of the offers and wishes that are named the ones whose known place does not lie in this circle; nothing else of them is told.
LIE_OUTSIDE = """
CREATE FUNCTION gateway.lie_outside(steps text[], offer_ids text[], wish_ids text[]) RETURNS TABLE (field text, id text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'data.offer_id', o.offer_id FROM gateway.offers o
    WHERE o.area = steps[1] AND o.offer_id = ANY (offer_ids) AND o.community IS NOT NULL
        AND (ARRAY[o.area, o.community, o.compound, o.building, o.unit])[1:cardinality(steps)] <> steps
    UNION ALL
    SELECT 'data.wish_id', w.wish_id FROM gateway.wishes w
    WHERE w.area = steps[1] AND w.wish_id = ANY (wish_ids) AND w.community IS NOT NULL
        AND (ARRAY[w.area, w.community, w.compound, w.building, w.unit])[1:cardinality(steps)] <> steps
$$
"""

KEEP_RIGHTS = """
CREATE OR REPLACE FUNCTION gateway.keep_rights() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'lastmetre_gateway'
        AND (OLD.account_id, OLD.login, OLD.roles, OLD.scope, OLD.centre, OLD.volunteer_ref, OLD.resident_refs, OLD.totp, OLD.demo, OLD.created_at)
            IS DISTINCT FROM
            (NEW.account_id, NEW.login, NEW.roles, NEW.scope, NEW.centre, NEW.volunteer_ref, NEW.resident_refs, NEW.totp, NEW.demo, NEW.created_at)
    THEN
        RAISE EXCEPTION USING ERRCODE = 'LM004', MESSAGE = 'the rights of an account are not changed from here';
    END IF;%s
    RETURN NEW;
END
$$
"""
SHUT = """
    IF current_user = 'lastmetre_gateway' AND OLD.disabled_at IS NOT NULL AND OLD.disabled_by IS NULL
        AND (NEW.disabled_at, NEW.disabled_by) IS DISTINCT FROM (OLD.disabled_at, OLD.disabled_by)
    THEN
        RAISE EXCEPTION USING ERRCODE = 'LM005', MESSAGE = 'whom the operator disabled the operator lets in again';
    END IF;"""


def upgrade() -> None:
    """Make the columns, the function for the role that delivers alone, and the trigger's new condition."""
    op.execute("ALTER TABLE gateway.webhooks ADD COLUMN key_family text")
    op.execute("ALTER TABLE gateway.accounts ADD COLUMN disabled_by text")
    op.execute(ENTITLED)
    op.execute("REVOKE ALL ON FUNCTION gateway.webhooks_entitled(boolean, text) FROM PUBLIC, lastmetre_gateway")
    op.execute("GRANT EXECUTE ON FUNCTION gateway.webhooks_entitled(boolean, text) TO lastmetre_board")
    op.execute(LIE_OUTSIDE)
    op.execute("REVOKE ALL ON FUNCTION gateway.lie_outside(text[], text[], text[]) FROM PUBLIC, lastmetre_board")
    op.execute("GRANT EXECUTE ON FUNCTION gateway.lie_outside(text[], text[], text[]) TO lastmetre_gateway")
    op.execute(KEEP_RIGHTS % SHUT)


def downgrade() -> None:
    """Undo it: it is forgotten who disabled whom, and with which key a webhook was made."""
    op.execute(KEEP_RIGHTS % "")
    op.execute("DROP FUNCTION gateway.lie_outside(text[], text[], text[])")
    op.execute("DROP FUNCTION gateway.webhooks_entitled(boolean, text)")
    op.execute("ALTER TABLE gateway.accounts DROP COLUMN disabled_by")
    op.execute("ALTER TABLE gateway.webhooks DROP COLUMN key_family")
