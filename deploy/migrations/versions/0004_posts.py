"""What an offer says lies apart from how much of it is taken: each match changes the second, and rewrote the first with it.

A row of some sixty bytes instead of a kilobyte is written a match, and with very many offers the rows that change lie on few pages.
"""

from importlib import import_module

from alembic import op

revision = "0004_posts"
down_revision = "0003_storing"
branch_labels = None
depends_on = None

POSTS = (
    """
    CREATE TABLE matching.posts (
        area text NOT NULL,
        offer_id text NOT NULL,
        data bytea NOT NULL,
        PRIMARY KEY (area, offer_id)
    )
    """,
    "INSERT INTO matching.posts SELECT area, offer_id, data FROM matching.offers",
    "ALTER TABLE matching.offers DROP COLUMN data",
    "DROP FUNCTION matching.store",
    # Loading asks for the open wishes and, through their matches, for the rest: an index that also has the held ones is written for nobody.
    "DROP INDEX matching.wishes_under_way",
    "CREATE INDEX wishes_open ON matching.wishes (area) WHERE status = 'open'",
)
STORE = """
CREATE FUNCTION matching.store(
    fence matching.lanes[], updated_wishes matching.wishes[], updated_matches matching.matches[],
    updated_offers matching.offers[], capacity_max integer[], new_wishes matching.wishes[], new_offers matching.offers[], new_matches matching.matches[],
    posted matching.posts[],
    new_journal matching.journal[], new_outbox matching.outbox[], saved_early matching.early[], dropped_early matching.early[], clocks matching.areas[]
) RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE
    lost integer[];
    changed bigint;
BEGIN
    -- A lane that another worker has taken over, or that is not there, is lost; nothing is written then.
    PERFORM l.lane FROM matching.lanes l JOIN unnest(fence) f USING (lane) ORDER BY l.lane FOR UPDATE OF l;
    SELECT array_agg(f.lane) INTO lost FROM unnest(fence) f LEFT JOIN matching.lanes l USING (lane) WHERE l.epoch IS DISTINCT FROM f.epoch;
    IF lost IS NOT NULL THEN
        RETURN lost;
    END IF;
    IF updated_wishes IS NOT NULL THEN
        UPDATE matching.wishes w SET status = u.status, match_count = u.match_count, barred = u.barred, invited = u.invited
        FROM unnest(updated_wishes) u WHERE w.area = u.area AND w.wish_id = u.wish_id;
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed <> cardinality(updated_wishes) THEN
            RAISE EXCEPTION USING ERRCODE = 'LM001', MESSAGE = format('wishes: %s rows were to change, but %s did', cardinality(updated_wishes), changed);
        END IF;
    END IF;
    IF updated_matches IS NOT NULL THEN
        UPDATE matching.matches m SET answered = u.answered, approved = u.approved, state = u.state, live = u.live, reason = u.reason
        FROM unnest(updated_matches) u WHERE m.area = u.area AND m.wish_id = u.wish_id AND m.number = u.number;
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed <> cardinality(updated_matches) THEN
            RAISE EXCEPTION USING ERRCODE = 'LM001', MESSAGE = format('matches: %s rows were to change, but %s did', cardinality(updated_matches), changed);
        END IF;
    END IF;
    IF updated_offers IS NOT NULL THEN
        -- The guard repeats the promise: one more live match only below the capacity, or below what it was in the course of this batch.
        UPDATE matching.offers o SET status = u.status, status_at = u.status_at, capacity = u.capacity, live = u.live
        FROM ROWS FROM (unnest(updated_offers), unnest(capacity_max)) AS u(area, offer_id, status, status_at, capacity, live, most)
        WHERE o.area = u.area AND o.offer_id = u.offer_id AND (u.live <= o.live OR u.live <= u.most);
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed <> cardinality(updated_offers) THEN
            RAISE EXCEPTION USING ERRCODE = 'LM001', MESSAGE = format('offers: %s rows were to change, but %s did', cardinality(updated_offers), changed);
        END IF;
    END IF;
    IF new_wishes IS NOT NULL THEN
        INSERT INTO matching.wishes SELECT * FROM unnest(new_wishes);
    END IF;
    IF new_offers IS NOT NULL THEN
        INSERT INTO matching.offers SELECT * FROM unnest(new_offers);
    END IF;
    IF posted IS NOT NULL THEN
        INSERT INTO matching.posts SELECT * FROM unnest(posted) ON CONFLICT (area, offer_id) DO UPDATE SET data = excluded.data;
    END IF;
    IF new_matches IS NOT NULL THEN
        INSERT INTO matching.matches SELECT * FROM unnest(new_matches);
    END IF;
    IF new_journal IS NOT NULL THEN
        INSERT INTO matching.journal SELECT * FROM unnest(new_journal);
    END IF;
    IF new_outbox IS NOT NULL THEN
        INSERT INTO matching.outbox SELECT * FROM unnest(new_outbox);
    END IF;
    IF dropped_early IS NOT NULL THEN
        DELETE FROM matching.early e USING unnest(dropped_early) d WHERE e.area = d.area AND e.kind = d.kind AND e.subject = d.subject;
    END IF;
    IF saved_early IS NOT NULL THEN
        INSERT INTO matching.early SELECT * FROM unnest(saved_early)
        ON CONFLICT (area, kind, subject) DO UPDATE SET at = excluded.at, status = excluded.status;
    END IF;
    IF clocks IS NOT NULL THEN
        INSERT INTO matching.areas SELECT * FROM unnest(clocks)
        ON CONFLICT (area) DO UPDATE SET lane = excluded.lane, clock = excluded.clock, round_at = excluded.round_at;
    END IF;
    UPDATE matching.lanes l SET committed_at = now(), seq = f.seq, published = greatest(l.published, f.published), ticked = greatest(l.ticked, f.ticked),
        wishes_next = f.wishes_next, offers_next = f.offers_next, responses_next = f.responses_next, confirmations_next = f.confirmations_next
    FROM unnest(fence) f WHERE l.lane = f.lane;
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    """Move what offers say, and store it there from now on."""
    for statement in POSTS:
        op.execute(statement)
    op.execute(STORE)


def downgrade() -> None:
    """Put it back."""
    op.execute("DROP INDEX matching.wishes_open")
    op.execute("CREATE INDEX wishes_under_way ON matching.wishes (area) WHERE status IN ('open', 'held')")
    op.execute("DROP FUNCTION matching.store")
    op.execute("ALTER TABLE matching.offers ADD COLUMN data bytea")
    op.execute("UPDATE matching.offers o SET data = p.data FROM matching.posts p WHERE p.area = o.area AND p.offer_id = o.offer_id")
    op.execute("ALTER TABLE matching.offers ALTER COLUMN data SET NOT NULL")
    op.execute("DROP TABLE matching.posts")
    op.execute(import_module("deploy.migrations.versions.0003_storing").STORE)
