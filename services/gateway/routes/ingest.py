"""`POST /api/v1/events`: CloudEvents in, in all three modes of the HTTP binding; 202 says that Kafka has them.

The body is read as bytes and never passes through a model of FastAPI's: `schemas/` judges it, as it judges what comes over Kafka.
"""

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response

from schemas import errors
from schemas.codec import Event, mended
from schemas.errors import InvalidEvent
from schemas.lanes import partition_of
from schemas.registry import TOPIC_OF
from schemas.topics import EVENT_MAX_BYTES
from services.gateway.context import Gateway, GatewayOf
from services.gateway.direct import DirectRoute
from services.gateway.door import answers, examples, intake, keys, known
from services.gateway.door.answers import Refused
from services.gateway.door.bulk import Overloaded, Record
from services.gateway.guard import needs
from services.gateway.policy import Act
from services.gateway.roles import Principal
from services.gateway.routes import denials

router = APIRouter(tags=["events"], route_class=DirectRoute)
_TURN: Final = 250  # members of a batch between two turns of the loop

Sender = Annotated[Principal, needs(Act.PUBLISH_EVENTS)]


@router.post(
    "/api/v1/events",
    status_code=202,
    summary="Publish events (CloudEvents over HTTP)",
    responses=examples.INGEST_RESPONSES,
    openapi_extra=examples.INGEST_BODY,
    response_class=Response,
)
async def ingest(request: Request, gateway: GatewayOf, principal: Sender) -> Response:
    """One event (structured or binary mode) or a batch. 202 only once Kafka has acknowledged; the same id again is harmless, the second is dropped.

    A batch is answered 202 where every event is on the topic, else 207 with a result for each, in the order sent. What is refused is not published.
    """
    headers = request.scope["headers"]
    batch = intake.is_batch(headers)
    try:
        body = await _body(request, intake.BATCH_MAX_BYTES if batch else EVENT_MAX_BYTES)
        key_id = keys.key_id_of(request.headers.get("authorization"))
        if batch:
            return await _several(request, gateway, principal, key_id, intake.read_batch(body))
        event = intake.read(headers, body)
        intake.refuse_foreign(principal, event)
        await known.refuse_anothers(gateway.database, principal, event)
        await gateway.door.quotas.take(principal, key_id, 1)
        if not (await gateway.door.bulk.put([_record(event)]))[0]:
            raise Refused("not_acknowledged")
    except Overloaded:
        return answers.refusal(Refused("overloaded"))
    except Refused as fault:
        await denials.note(request, Act.PUBLISH_EVENTS, [fault.code])
        return answers.refusal(fault)
    except InvalidEvent as fault:
        return answers.refusal(fault)
    return answers.answer(202, _taken(event))


async def _several(request: Request, gateway: Gateway, principal: Principal, key_id: str | None, members: list[Any]) -> Response:
    results: list[dict[str, Any]] = []
    taken: list[tuple[int, Event]] = []
    for index, member in enumerate(members):
        try:
            event = intake.read_one(member)
            intake.refuse_foreign(principal, event)
        except InvalidEvent as fault:
            results.append({"index": index, "status": answers.status_of(fault), **answers.body_of(fault)})
        except Refused as fault:
            results.append({"index": index, "status": fault.status, **fault.body})
        else:
            results.append({"index": index, "status": 202, **_taken(event)})
            taken.append((index, event))
        if index % _TURN == _TURN - 1:
            await asyncio.sleep(0)
    if known.is_narrow(principal):
        taken = await _without_anothers(gateway, principal, taken, results)
    await denials.note(request, Act.PUBLISH_EVENTS, {one.get("code", "") for one in results})
    await gateway.door.quotas.take(principal, key_id, len(taken))
    acknowledged = await gateway.door.bulk.put([_record(event) for _, event in taken]) if taken else []
    for (index, _), there in zip(taken, acknowledged, strict=True):
        if not there:
            results[index] = {"index": index, "status": 503, **Refused("not_acknowledged").body}
    accepted = sum(acknowledged)
    body = {"accepted": accepted, "refused": len(results) - accepted, "results": results}
    if taken and not accepted:
        return answers.answer(503, body, retry_after=answers.RETRY_SECONDS)
    return answers.answer(202 if accepted == len(results) else 207, body)


async def _without_anothers(gateway: Gateway, principal: Principal, taken: list[tuple[int, Event]], results: list[dict[str, Any]]) -> list[tuple[int, Event]]:
    """What is left of a batch without what would take the place of something elsewhere, which gets another result."""
    anothers = await known.outside(gateway.database, principal, (event for _, event in taken))
    for index, event in taken:
        if known.named(event) in anothers:
            fault = Refused("out_of_scope", known.named(event)[0])
            results[index] = {"index": index, "status": fault.status, **fault.body}
    return [(index, event) for index, event in taken if known.named(event) not in anothers]


def _taken(event: Event) -> dict[str, Any]:
    return {"source": event.source, "id": event.id}


def _record(event: Event) -> Record:
    area = event.area
    return TOPIC_OF[event.type], partition_of(area), area.encode(), event.raw, mended(event)


async def _body(request: Request, limit: int) -> bytes:
    """The whole body, unless it is longer than `limit` bytes.

    Raises:
        InvalidEvent: it is.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise InvalidEvent(errors.TOO_LARGE)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
