"""One-time links, reminders and alarms of visits, late cancellations, and what needs attention."""

from alembic import op

revision = "0013_links"
down_revision = "0012_receipts"
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
_MINUTE = 60_000_000
_DAY = 24 * 60 * _MINUTE
_SAID = "SELECT FROM notifying.reports r WHERE r.area = v.area AND r.wish_id = v.wish_id AND r.offer_id = v.offer_id"
ATTENTION = (
    "CREATE INDEX visits_not_done ON notifying.visits (closed_at_us) WHERE outcome = 'not_done'",
    "CREATE INDEX notices_unheard ON notifying.notices (match_id) WHERE state = 'dead' AND kind IN ('released', 'not_started', 'not_finished')",
    # What somebody should look at, at a moment in microseconds. `at_us`: the instant that matters; `told`: whom an alarm has reached. Run with the owner's
    # rights, so that a role that may ask sees this and no table: no reference to a person is in it.
    f"""
    CREATE FUNCTION notifying.attention_at(now_us bigint)
    RETURNS TABLE (kind text, area text, wish_id text, match_id text, at_us bigint, told text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        WITH alarms AS (
            SELECT n.match_id, string_agg(DISTINCT n.party, ',' ORDER BY n.party) AS told FROM notifying.notices n
            JOIN notifying.visits v USING (match_id)
            WHERE v.number = 0 AND v.due_at_us IS NOT NULL AND n.kind IN ('not_started', 'not_finished') AND n.state = 'sent' GROUP BY n.match_id
        ), silent AS (
            SELECT v.*, EXISTS ({_SAID} AND r.kind = 'started') AS started
            FROM notifying.visits v JOIN notifying.confirmations c USING (match_id)
            WHERE v.number = 0 AND v.due_at_us IS NOT NULL AND v.starts_at_us <= now_us - {15 * _MINUTE} AND c.state <> 'released'
                AND NOT EXISTS ({_SAID} AND r.kind <> 'started')
        )
        SELECT 'stuck', c.area, c.wish_id, c.match_id, (extract(epoch FROM c.changed_at) * 1000000)::bigint, NULL FROM notifying.confirmations c
            WHERE c.state IN ('agreed', 'telling') AND c.changed_at <= to_timestamp((now_us - {15 * _MINUTE})::float8 / 1000000)
        UNION ALL
        SELECT CASE WHEN s.started THEN 'not_finished' WHEN s.ends_at_us <= now_us - {30 * _MINUTE} THEN 'nothing_said' ELSE 'not_started' END,
            s.area, s.wish_id, s.match_id, CASE WHEN s.started OR s.ends_at_us <= now_us - {30 * _MINUTE} THEN s.ends_at_us ELSE s.starts_at_us END, a.told
            FROM silent s LEFT JOIN alarms a USING (match_id) WHERE NOT s.started OR s.ends_at_us <= now_us - {30 * _MINUTE}
        UNION ALL
        SELECT 'called_off_late', c.area, c.wish_id, c.match_id, v.starts_at_us, NULL
            FROM notifying.confirmations c JOIN notifying.visits v USING (match_id)
            WHERE c.called_off_late AND c.called_off_at_us > now_us - {2 * _DAY} AND v.starts_at_us > now_us - {_DAY}
        UNION ALL
        SELECT 'no_show', v.area, v.wish_id, v.match_id, v.starts_at_us, NULL FROM notifying.no_shows v WHERE v.closed_at_us > now_us - {7 * _DAY}
        UNION ALL
        SELECT DISTINCT 'unheard', n.area, n.wish_id, n.match_id, v.starts_at_us, NULL::text
            FROM notifying.notices n JOIN notifying.visits v USING (match_id)
            WHERE n.state = 'dead' AND n.kind IN ('released', 'not_started', 'not_finished') AND v.ends_at_us > now_us - {_DAY}
    $$
    """,  # noqa: S608 - of our own constants
    """
    CREATE VIEW notifying.attention AS
        SELECT * FROM notifying.attention_at((extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
    """,
)
# A visit that did not help, and of which the helper has said neither that it began nor that it ended. A later word may take it back: it is never stored.
NO_SHOWS = f"""
    CREATE VIEW notifying.no_shows AS
        SELECT v.match_id, v.wish_id, v.offer_id, v.area, v.volunteer_ref, v.organisation, v.starts_at_us, v.closed_at_us, v.closed_by
        FROM notifying.visits v WHERE v.outcome = 'not_done' AND NOT EXISTS ({_SAID} AND r.kind IN ('started', 'finished'))
"""  # noqa: S608 - of our own constants
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
    for statement in (*LINKS, *NOTICES, NO_SHOWS, *ATTENTION):
        op.execute(statement)
    _set(0)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP VIEW notifying.attention")
    op.execute("DROP FUNCTION notifying.attention_at")
    op.execute("DROP VIEW notifying.no_shows")
    op.execute("DROP INDEX notifying.visits_not_done")
    op.execute("DROP INDEX notifying.notices_unheard")
    op.execute("DELETE FROM notifying.notices WHERE party = 'household' OR kind IN ('reminder', 'report', 'feedback', 'not_started', 'not_finished')")
    _set(1)
    op.execute("ALTER TABLE notifying.confirmations DROP COLUMN called_off_at_us, DROP COLUMN called_off_late")
    op.execute("ALTER TABLE notifying.visits DROP COLUMN watch_at_us, DROP COLUMN watched_us")
    op.execute("DROP TABLE notifying.households")
    op.execute("DROP TABLE notifying.wish_places")
    op.execute("ALTER TABLE notifying.notices DROP COLUMN offer_id, DROP COLUMN answer_by")
    op.execute("DROP TABLE links.links")
    op.execute("DROP FUNCTION links.refuse_reuse")
