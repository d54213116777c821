"""One-time links, reminders and alarms of visits, late cancellations, and what needs attention."""

from alembic import op

revision = "0013_links"
down_revision = "0010_channels"
branch_labels = None
depends_on = None

LINKS = (
    # A code is kept as its digest alone; `token` are the signed claims. Instants are microseconds since 1970.
    """
    CREATE TABLE links.links (
        jti uuid PRIMARY KEY,
        digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
        key_id text NOT NULL,
        token text NOT NULL,
        area text NOT NULL,
        wish_id text NOT NULL,
        offer_id text NOT NULL,
        match_id text,
        party text NOT NULL CHECK (party IN ('resident', 'volunteer')),
        purpose text NOT NULL CHECK (purpose IN ('answer', 'cancel', 'start', 'finish', 'acknowledge', 'follow')),
        expires_at_us bigint NOT NULL,
        used_at_us bigint,
        used_for text,
        superseded_at_us bigint,
        CHECK ((used_at_us IS NULL) = (used_for IS NULL))
    )
    """,
    "CREATE INDEX links_of_match ON links.links (match_id) WHERE match_id IS NOT NULL",
    "CREATE INDEX links_of_pair ON links.links (wish_id, offer_id)",
    "CREATE INDEX links_by_expiry ON links.links (expires_at_us)",
    # Whoever asks: once is once.
    """
    CREATE FUNCTION links.refuse_reuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF old.used_at_us IS NOT NULL AND (new.used_at_us, new.used_for, new.digest) IS DISTINCT FROM (old.used_at_us, old.used_for, old.digest) THEN
            RAISE EXCEPTION USING ERRCODE = 'LM004', MESSAGE = 'a link is used once';
        END IF;
        RETURN new;
    END
    $$
    """,
    "CREATE TRIGGER used_once BEFORE UPDATE ON links.links FOR EACH ROW EXECUTE FUNCTION links.refuse_reuse()",
)
NOTICES = (
    # What the link in a notice is about, and until when it may be answered.
    "ALTER TABLE notifying.notices ADD COLUMN offer_id text, ADD COLUMN answer_by text",
    # When the helper of a confirmed match called off.
    "ALTER TABLE notifying.confirmations ADD COLUMN called_off_at_us bigint, ADD COLUMN called_off_late boolean",
    "CREATE INDEX confirmations_called_off ON notifying.confirmations (called_off_at_us) WHERE called_off_late",
    # When somebody looks at a visit again, to remind, to ask or to raise the alarm; null: never again. A new one is looked at at once.
    "ALTER TABLE notifying.visits ADD COLUMN watch_at_us bigint, ADD COLUMN watched_us bigint",
    "UPDATE notifying.visits SET watch_at_us = 0 WHERE number = 0 AND due_at_us IS NOT NULL",
    "ALTER TABLE notifying.visits ALTER COLUMN watch_at_us SET DEFAULT 0",
    "CREATE INDEX visits_watched ON notifying.visits (watch_at_us) WHERE watch_at_us IS NOT NULL",
    "CREATE INDEX visits_ended_watched ON notifying.visits (match_id) WHERE number > 0 AND watch_at_us IS NOT NULL",
    # Who looks after a stairway: offers of centre households, and in which stairway wishes are. `place`: community/compound/building/unit.
    """
    CREATE TABLE notifying.households (
        area text NOT NULL,
        offer_id text NOT NULL,
        volunteer_ref text NOT NULL,
        place text NOT NULL,
        open boolean NOT NULL,
        at_us bigint NOT NULL,
        PRIMARY KEY (area, offer_id)
    )
    """,
    "CREATE INDEX households_of_place ON notifying.households (area, place) WHERE open",
    """
    CREATE TABLE notifying.wish_places (
        area text NOT NULL,
        wish_id text NOT NULL,
        place text NOT NULL,
        ends_at_us bigint NOT NULL,
        PRIMARY KEY (area, wish_id)
    )
    """,
    "CREATE INDEX wish_places_by_end ON notifying.wish_places (ends_at_us)",
)
_CHECKS = {
    "party": ("('resident', 'volunteer', 'worker', 'household')", "('resident', 'volunteer', 'worker')"),
    "kind": (
        "('asked', 'invited', 'confirmed', 'released', 'expired', 'widened', 'unmet', 'reminder', 'report', 'feedback', 'not_started', 'not_finished')",
        "('asked', 'invited', 'confirmed', 'released', 'expired', 'widened', 'unmet')",
    ),
}


def _set(number: int) -> None:
    for column, words in _CHECKS.items():
        op.execute(f"ALTER TABLE notifying.notices DROP CONSTRAINT notices_{column}_check")
        op.execute(f"ALTER TABLE notifying.notices ADD CONSTRAINT notices_{column}_check CHECK ({column} IN {words[number]})")


def upgrade() -> None:
    """Make them."""
    for statement in (*LINKS, *NOTICES):
        op.execute(statement)
    _set(0)


def downgrade() -> None:
    """Drop them."""
    op.execute("DELETE FROM notifying.notices WHERE party = 'household' OR kind IN ('reminder', 'report', 'feedback', 'not_started', 'not_finished')")
    _set(1)
    op.execute("ALTER TABLE notifying.confirmations DROP COLUMN called_off_at_us, DROP COLUMN called_off_late")
    op.execute("ALTER TABLE notifying.visits DROP COLUMN watch_at_us, DROP COLUMN watched_us")
    op.execute("DROP TABLE notifying.households")
    op.execute("DROP TABLE notifying.wish_places")
    op.execute("ALTER TABLE notifying.notices DROP COLUMN offer_id, DROP COLUMN answer_by")
    op.execute("DROP TABLE links.links")
    op.execute("DROP FUNCTION links.refuse_reuse")
