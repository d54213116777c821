"""Notices keep what their text tells of, where no match says it; what was given up and not released wants attention; nobody is their own guardian.

An invitation has no match, so a text message and another language had nothing to say it again from.
"""

from alembic import op

revision = "0027_what_notices_say"
down_revision = "0026_vault_in_place"
branch_labels = None
depends_on = None

_STUCK = "c.state IN ('agreed', 'telling')"
# After its slot a match is nobody's to release any more.
_STUCK_OR_GIVEN_UP = "(c.state IN ('agreed', 'telling') OR c.state = 'failed' AND (extract(epoch FROM c.slot_end::timestamptz) * 1000000)::bigint > now_us)"


def _attention(before: str, after: str) -> str:
    """The function as it stands, with another condition: it is long, and all else of it stays."""
    return f"""
    DO $do$
    DECLARE body text := pg_get_functiondef('notifying.attention_at(bigint)'::regprocedure);
    BEGIN
        IF position($old${before}$old$ IN body) = 0 THEN
            RAISE EXCEPTION 'notifying.attention_at is not as migration 0025 made it';
        END IF;
        EXECUTE replace(body, $old${before}$old$, $new${after}$new$);
    END $do$
    """


def upgrade() -> None:
    """A column, a condition, and a rule for what is written from now on."""
    op.execute("ALTER TABLE notifying.notices ADD COLUMN about text")
    op.execute(_attention(_STUCK, _STUCK_OR_GIVEN_UP))
    op.execute("ALTER TABLE vault.consents ADD CONSTRAINT another_ones_guardian CHECK (guardian_ref <> minor_ref) NOT VALID")


def downgrade() -> None:
    """As it was."""
    op.execute("ALTER TABLE vault.consents DROP CONSTRAINT another_ones_guardian")
    op.execute(_attention(_STUCK_OR_GIVEN_UP, _STUCK))
    op.execute("ALTER TABLE notifying.notices DROP COLUMN about")
