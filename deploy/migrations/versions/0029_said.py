"""What was said of a visit, as a view: by the rule by which its end is judged (decision 0043), so that what is watched cannot differ from it.

A word from before there was a match, or about another match of the pair, kept a visit to which nobody came from being noticed.
"""

from alembic import op

from deploy.amending import amended

revision = "0029_said"
down_revision = "0028_told_at"
branch_labels = None
depends_on = None

_MINUTE = 60_000_000
# `services.notifier.visits` has the same rule for what it has read already; a test holds the two together.
_VIEW = f"""
    CREATE VIEW notifying.said AS
        SELECT v.match_id, r.source, r.event_id, r.kind, r.at_us, r.said_by, r.outcome
        FROM notifying.visits v JOIN notifying.reports r USING (area, wish_id, offer_id)
        WHERE CASE
            WHEN r.match_id IS NOT NULL THEN r.match_id = v.match_id
            WHEN EXISTS (SELECT FROM notifying.confirmations o WHERE (o.area, o.wish_id, o.offer_id) = (v.area, v.wish_id, v.offer_id)
                AND o.match_id <> v.match_id AND o.state = 'released') THEN r.at_us >= v.starts_at_us
            WHEN v.told_at_us IS NULL THEN true
            ELSE r.at_us >= least(v.starts_at_us, v.told_at_us - v.told_at_us % {_MINUTE})
        END
"""  # noqa: S608 - of our own constant
_OF_PAIR = "SELECT FROM notifying.reports r WHERE r.area = v.area AND r.wish_id = v.wish_id AND r.offer_id = v.offer_id"
_OF_VISIT = "SELECT FROM notifying.said r WHERE r.match_id = v.match_id"


def _no_shows(said: str) -> str:
    return f"""
    CREATE OR REPLACE VIEW notifying.no_shows AS
        SELECT v.match_id, v.wish_id, v.offer_id, v.area, v.volunteer_ref, v.organisation, v.starts_at_us, v.closed_at_us, v.closed_by
        FROM notifying.visits v WHERE v.outcome = 'not_done' AND NOT EXISTS ({said} AND r.kind IN ('started', 'finished'))
    """  # noqa: S608 - of our own constants


def upgrade() -> None:
    """The view, and what looks through it."""
    op.execute(_VIEW)
    op.execute(amended("notifying.attention_at(bigint)", _OF_PAIR, _OF_VISIT))
    op.execute(_no_shows(_OF_VISIT))


def downgrade() -> None:
    """As it was."""
    op.execute(_no_shows(_OF_PAIR))
    op.execute(amended("notifying.attention_at(bigint)", _OF_VISIT, _OF_PAIR))
    op.execute("DROP VIEW notifying.said")
