"""`matching.store`: all that one batch changes, in one call; slots that are over, by when they began; invitations and rounds.

A batch of a few events used to take some ten round trips, which is most of what a wish waited for at a moderate rate. The statements are those that a
client would send, in the order that matters (updates make room for inserts); rows come as arrays of the tables' own row types.
"""

from alembic import op

revision = "0003_storing"
down_revision = "0002_notifying"
branch_labels = None
depends_on = None

STORE = """
CREATE FUNCTION matching.store(
    fence matching.lanes[], updated_wishes matching.wishes[], updated_matches matching.matches[],
    updated_offers matching.offers[], capacity_max integer[], new_wishes matching.wishes[], new_offers matching.offers[], new_matches matching.matches[],
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
        UPDATE matching.offers o SET status = u.status, status_at = u.status_at, capacity = u.capacity, live = u.live, data = coalesce(u.data, o.data)
        FROM ROWS FROM (unnest(updated_offers), unnest(capacity_max)) AS u(area, offer_id, status, status_at, capacity, live, data, most)
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
# An area that is loaded asks for the slots of the last week: a volunteer may have said how many a week are enough.
MATCHES_PAST = "CREATE INDEX matches_past ON matching.matches (area, starts_at) WHERE NOT live AND state <> 'released'"


# Who was invited to a wish, and until when: a JSON object, or nothing.
INVITED = "ALTER TABLE matching.wishes ADD COLUMN invited text NOT NULL DEFAULT ''"
# When the area holds its next round, for whoever moves the clock.
ROUND_AT = "ALTER TABLE matching.areas ADD COLUMN round_at bigint"


def upgrade() -> None:
    """Make the function and the index."""
    op.execute(INVITED)
    op.execute(ROUND_AT)
    op.execute(STORE)
    op.execute(MATCHES_PAST)


def downgrade() -> None:
    """Drop the index and the function."""
    op.execute("DROP INDEX matching.matches_past")
    op.execute("DROP FUNCTION matching.store")
    op.execute("ALTER TABLE matching.wishes DROP COLUMN invited")
    op.execute("ALTER TABLE matching.areas DROP COLUMN round_at")
