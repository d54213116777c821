"""Dead letters as a worker mends them: listed, turned into an event to edit, and published again once. SQL of the table `dead_letters`, as somebody.

What is sent is kept before it is sent, and sent as it was kept: when the gateway ends in between, the next try repeats the same event under the same id.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import orjson

from schemas.codec import STRUCTURED_TYPE, Event, decode_structured
from schemas.errors import INVALID_FIELD, WRONG_TOPIC, InvalidEvent
from schemas.registry import TOPIC_OF
from services.gateway.board.store import parsed
from services.gateway.context import Gateway
from services.gateway.door import intake
from services.gateway.guard import require
from services.gateway.policy import Act, Thing
from services.gateway.roles import Principal

_LIST: Final = """
    SELECT topic, partition, position, at, reason, origin, area, community, kind, sent_at, count(*) OVER () AS together FROM gateway.dead_letters
    WHERE (sent_at IS NOT NULL) = $1 ORDER BY at DESC, topic, partition, position DESC LIMIT $2
"""
_ONE: Final = "SELECT * FROM gateway.dead_letters WHERE topic = $1 AND partition = $2 AND position = $3"
_KEEP: Final = """
    UPDATE gateway.dead_letters SET mended = $4, mended_id = $5, mended_by = $6, mended_at = clock_timestamp()
    WHERE topic = $1 AND partition = $2 AND position = $3 AND mended IS NULL RETURNING mended
"""
_SENT: Final = "UPDATE gateway.dead_letters SET sent_at = clock_timestamp() WHERE topic = $1 AND partition = $2 AND position = $3 AND sent_at IS NULL"
Place = tuple[str, int, int]


async def letters(connection: Any, *, done: bool, most: int = 200) -> list[dict[str, Any]]:
    """Those that wait, or that were published again; newest first, at most so many; `together`: how many there are."""
    return [dict(row) for row in await connection.fetch(_LIST, done, most)]


async def letter(connection: Any, place: Place) -> dict[str, Any] | None:
    """One, if the principal may see it."""
    row = await connection.fetchrow(_ONE, *place)
    return None if row is None else {**row, "headers": parsed(row["headers"])}


def as_text(found: Mapping[str, Any]) -> str:
    """The letter as a structured CloudEvent to mend, as far as it can be read; what was kept for sending comes first."""
    if found["mended"] is not None:
        return str(found["mended"])
    value = found["value"] or ""
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError:
        return str(value)
    attributes = {name[3:]: said for name, said in found["headers"] if name.startswith("ce_")}
    structured = any(name.lower() == "content-type" and (said or "").startswith(STRUCTURED_TYPE) for name, said in found["headers"])
    if attributes and not structured:
        document = {**attributes, "data": document}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


def mended(text: str, found: Mapping[str, Any]) -> Event:
    """The event that a worker wrote, valid by the contract.

    Raises:
        InvalidEvent: it is not, or its topic, type or area is not the letter's, or it speaks for one of the services.
    """
    event = decode_structured(text.encode())
    if TOPIC_OF[event.type] not in intake.IN or (intake.is_ours(event.source) and event.source != _source_of(found)):
        raise InvalidEvent(INVALID_FIELD, "source", ("服务自己的事件不能手工重发", "what services say themselves is not published by hand"))
    if found["kind"] in TOPIC_OF and event.type != found["kind"]:
        raise InvalidEvent(INVALID_FIELD, "type", ("类型须与死信的一致", "the type must be the letter's own"))
    strayed = found["reason"] == WRONG_TOPIC and event.type == found["kind"]  # it is published on the topic of its type
    if f"{TOPIC_OF[event.type]}-dlq" != found["topic"] and not strayed:
        raise InvalidEvent(INVALID_FIELD, "type", ("类型须属于原来的主题", "the type must belong to the letter's own topic"))
    if found["area"] is not None and event.area != found["area"]:
        raise InvalidEvent(INVALID_FIELD, "data.area", ("片区须与死信的一致", "the area must be the letter's own"))
    return event


def _source_of(found: Mapping[str, Any]) -> str | None:
    """Who said it, as far as that can be read."""
    said = next((value for name, value in found["headers"] if name == "ce_source"), None)
    if said is None:
        with suppress(orjson.JSONDecodeError, TypeError, AttributeError):
            said = orjson.loads(found["value"] or "").get("source")
    return said if isinstance(said, str) else None


async def replay(gateway: Gateway, principal: Principal, found: Mapping[str, Any], text: str) -> bool:
    """Publish a letter again; False where somebody else has sent it already.

    Raises:
        InvalidEvent: as `mended`.
        services.gateway.guard.Denied: where it is about lies beyond the worker's circle, whatever the letter said; what names no place is about the area.
        services.gateway.publisher.Unpublished: Kafka did not take it; trying again sends the same.
    """
    place = (found["topic"], found["partition"], found["position"])
    if found["sent_at"] is not None:
        return False
    event = mended(str(found["mended"] or text), found)
    require(principal, Act.REPLAY_DEAD_LETTER, Thing(event.area, intake.place_of(event)))
    if found["mended"] is None:
        async with gateway.database.acting_for(principal) as connection:
            if await connection.fetchrow(_KEEP, *place, text, event.id, principal.account) is None:
                return False
    await gateway.publisher.say(event.type, event.subject, orjson.loads(event.raw), event_id=event.id, source=event.source)
    async with gateway.database.acting_for(principal) as connection:
        await connection.execute(_SENT, *place)
    return True
