"""`/api/v1/webhooks`: subscriptions to what the services decide."""

import json
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from schemas import errors
from schemas.errors import InvalidEvent
from schemas.registry import TOPIC_OF
from services.gateway.context import Gateway, GatewayOf
from services.gateway.door import addresses, answers, examples, keys, positions, subscriptions
from services.gateway.door.answers import Refused, answer, refusal
from services.gateway.door.delivery import Sender
from services.gateway.door.subscriptions import Webhook
from services.gateway.guard import needs
from services.gateway.policy import Act, Thing, may
from services.gateway.roles import Principal
from services.gateway.routes import denials
from services.gateway.routes.ids import Moment

router = APIRouter(tags=["webhooks"])
Owner = Annotated[Principal, needs(Act.MANAGE_WEBHOOKS)]
TYPES: Final = tuple(sorted(kind for kind, topic in TOPIC_OF.items() if topic in positions.OUT))
_SAMPLE: Final = "match.confirmed.v1"


class NewWebhook(BaseModel):
    """What a subscription is made of."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"url": "https://app.example/lastmetre", "types": ["lastmetre.match.confirmed.v1"]}]}
    )

    url: str = Field(max_length=addresses.URL_MAX, description="https on the public internet")
    types: list[str] = Field(default_factory=lambda: list(TYPES), min_length=1, max_length=32, description="event types that services write; all without it")
    since: Moment | None = Field(default=None, description="RFC 3339: begin with what was published then; from now on without it")


class Replay(BaseModel):
    """From where to deliver again."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"since": "2026-11-24T00:00:00+08:00"}]})

    since: Moment | None = Field(default=None, description="RFC 3339: everything published since then")
    topic: str | None = Field(default=None, max_length=40, description="with `after`")
    after: str | None = Field(default=None, max_length=200, description="a `next` of GET /api/v1/events of that topic")


def _shown(webhook: Webhook, secret: str | None = None) -> dict[str, Any]:
    found = {
        "webhook_id": webhook.webhook_id,
        "area": webhook.area,
        "url": webhook.url,
        "types": webhook.types,
        "state": webhook.state,
        "reason": webhook.reason,
        "created_at": webhook.created_at,
        "failing_since": webhook.failing_since,
        "attempts": webhook.attempts,
        "last_status": webhook.last_status,
        "last_at": webhook.last_at,
    }
    return found | ({} if secret is None else {"secret": secret})


def _sender(gateway: Gateway) -> Sender:
    if gateway.door.sender is None:
        raise Refused("switched_off", "LASTMETRE_DOOR_SECRET")
    return gateway.door.sender


async def _start(gateway: Gateway, area: str, types: list[str] | tuple[str, ...], since: datetime | None) -> dict[str, int]:
    milliseconds = None if since is None else max(0, int(since.timestamp() * 1000))
    return {topic: await gateway.door.positions.at(topic, area, milliseconds) for topic in sorted({TOPIC_OF[kind] for kind in types})}


def _key_id(request: Request) -> str | None:
    return keys.key_id_of(request.headers.get("authorization"))


def _see_that_they_read(principal: Principal) -> None:
    """Events go to nobody who was not let read them: a key may be made for webhooks alone.

    Raises:
        Refused: `out_of_scope`.
    """
    if not may(principal, Act.READ_EVENTS):
        raise Refused("out_of_scope", "read_events")


async def _resumed(connection: subscriptions.Connection, request: Request, principal: Principal, webhook: Webhook) -> Webhook:
    """Deliver it again. Its owner's own word puts it under the key that they say it with, as the one before may be gone."""
    if webhook.account_id == principal.account:
        _see_that_they_read(principal)
        await subscriptions.bind(connection, webhook.webhook_id, await keys.family_of(connection, _key_id(request)))
    await subscriptions.resume(connection, webhook.webhook_id)
    return await _found(connection, webhook.webhook_id)


async def _found(connection: subscriptions.Connection, webhook_id: str) -> Webhook:
    webhook = await subscriptions.one(connection, webhook_id)
    if webhook is None:
        raise Refused("not_found")
    return webhook


@router.post("/api/v1/webhooks", status_code=201, summary="Subscribe", response_class=Response, responses=examples.WEBHOOK_RESPONSES)
async def subscribe(request: Request, gateway: GatewayOf, principal: Owner, wanted: NewWebhook) -> Response:
    """Deliver the events of the key's area to a URL, for as long as the key or one that it was rotated into holds.

    The answer has the secret for the signatures, which is shown this once.
    """
    area = principal.scope.area
    try:
        sender = _sender(gateway)
        _see_that_they_read(principal)
        if not may(principal, Act.READ_EVENTS, Thing(area)):
            raise Refused("out_of_scope", "scope")
        addresses.see_url(wanted.url, private=sender.terms.private)
        if not set(wanted.types) <= set(TYPES):
            raise Refused("bad_value", "types", answers.one_of(TYPES))
        offsets = await _start(gateway, area, wanted.types, wanted.since)
        async with gateway.database.acting_for(principal) as connection:
            if await subscriptions.number_of(connection, principal.account) >= subscriptions.MAX_OF_ACCOUNT:
                raise Refused("too_many", str(subscriptions.MAX_OF_ACCOUNT))
            family = await keys.family_of(connection, _key_id(request))
            webhook = await subscriptions.add(
                connection, subscriptions.new_id(), principal.account, area, wanted.url, sorted(set(wanted.types)), datetime.now(UTC), key_family=family
            )
            await subscriptions.move(connection, webhook.webhook_id, offsets)
    except Refused as fault:
        await denials.note(request, Act.MANAGE_WEBHOOKS, [fault.code])
        return refusal(fault)
    return answer(201, _shown(webhook, sender.secret(webhook)))


@router.get("/api/v1/webhooks", summary="My subscriptions", response_class=Response, responses=examples.WEBHOOKS_RESPONSES)
async def listed(gateway: GatewayOf, principal: Owner) -> Response:
    """All of them with their state: `failing_since` while a delivery does not go through, `disabled` with the reason after it was given up."""
    async with gateway.database.acting_for(principal) as connection:
        return answer(200, {"webhooks": [_shown(one) for one in await subscriptions.all_seen(connection)]})


@router.delete("/api/v1/webhooks/{webhook_id}", status_code=204, summary="Unsubscribe", response_class=Response, responses=examples.NOT_FOUND)
async def unsubscribe(gateway: GatewayOf, principal: Owner, webhook_id: str) -> Response:
    """Deliver no more, and forget it."""
    async with gateway.database.acting_for(principal) as connection:
        gone = await subscriptions.remove(connection, webhook_id)
    return Response(status_code=204) if gone else refusal(Refused("not_found"))


@router.post("/api/v1/webhooks/{webhook_id}/resume", summary="Deliver again", response_class=Response, responses=examples.NOT_FOUND)
async def resume(request: Request, gateway: GatewayOf, principal: Owner, webhook_id: str) -> Response:
    """Try at once what is due, also after it was disabled; nothing in between is left out. From now on it holds as long as the key that says so."""
    try:
        async with gateway.database.acting_for(principal) as connection:
            return answer(200, _shown(await _resumed(connection, request, principal, await _found(connection, webhook_id))))
    except Refused as fault:
        await denials.note(request, Act.MANAGE_WEBHOOKS, [fault.code])
        return refusal(fault)


@router.post("/api/v1/webhooks/{webhook_id}/secret", summary="A new secret", response_class=Response, responses=examples.SECRET_RESPONSES)
async def rotate(request: Request, gateway: GatewayOf, principal: Owner, webhook_id: str) -> Response:
    """Deliveries are signed with the new and with the one before, so that a receiver may change over in its own time; the one before that ends."""
    try:
        sender = _sender(gateway)
        async with gateway.database.acting_for(principal) as connection:
            # The secret proves to its owner that we speak: an admin may end a webhook, and not sign for it.
            if (await _found(connection, webhook_id)).account_id != principal.account:
                raise Refused("not_own")
            await subscriptions.rotate(connection, webhook_id)
            webhook = await _found(connection, webhook_id)
    except Refused as fault:
        await denials.note(request, Act.MANAGE_WEBHOOKS, [fault.code])
        return refusal(fault)
    return answer(200, _shown(webhook, sender.secret(webhook)))


@router.post("/api/v1/webhooks/{webhook_id}/replay", summary="Deliver from a position again", response_class=Response, responses=examples.NOT_FOUND)
async def replay(request: Request, gateway: GatewayOf, principal: Owner, webhook_id: str, where: Replay) -> Response:
    """Deliver everything since a time, or after a position of one topic, again, with the ids that it had."""
    try:
        async with gateway.database.acting_for(principal) as connection:
            webhook = await _found(connection, webhook_id)
        topics = {TOPIC_OF[kind] for kind in webhook.types}
        if where.after is not None:
            if where.topic not in topics:
                raise Refused("bad_value", "topic", answers.one_of(topics))
            offsets = {where.topic: positions.offset_of(where.after, where.topic, webhook.area)}
        elif where.since is not None:
            offsets = await _start(gateway, webhook.area, webhook.types, where.since)
        else:
            raise InvalidEvent(errors.MISSING_FIELD, "since" if where.topic is None else "after")
        async with gateway.database.acting_for(principal) as connection:
            await subscriptions.move(connection, webhook_id, offsets)
            return answer(200, _shown(await _resumed(connection, request, principal, webhook)))
    except InvalidEvent as fault:
        return refusal(fault)
    except Refused as fault:
        await denials.note(request, Act.MANAGE_WEBHOOKS, [fault.code])
        return refusal(fault)


@router.post("/api/v1/webhooks/{webhook_id}/test", summary="Send me a sample", response_class=Response, responses=examples.TEST_RESPONSES)
async def test(gateway: GatewayOf, principal: Owner, webhook_id: str) -> Response:
    """Deliver one invented event now, once, signed as all are; its id begins with `sample-`. Says what it was answered with, and nothing of the body."""
    try:
        sender = _sender(gateway)
        async with gateway.database.acting_for(principal) as connection:
            webhook = await _found(connection, webhook_id)
    except Refused as fault:
        return refusal(fault)
    sample = examples.structured(_SAMPLE)
    sample |= {"id": f"sample-{int(time.time())}", "partitionkey": webhook.area, "data": {**sample["data"], "area": webhook.area}}
    status = await sender.attempt(webhook, sample["id"], json.dumps(sample, ensure_ascii=False).encode())
    return answer(200, {"delivered": status is not None and 200 <= status < 300, "status": status, "id": sample["id"]})
