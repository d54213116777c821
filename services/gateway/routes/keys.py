"""`/api/v1/keys` and the page `/keys`: make, list, rotate and revoke API keys."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import asyncpg
from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from schemas import shapes
from services.gateway.context import Gateway, GatewayOf
from services.gateway.door import examples, keys, subscriptions
from services.gateway.door.answers import Refused, answer, one_of, refusal
from services.gateway.door.keys import Key
from services.gateway.guard import needs
from services.gateway.identity.model import new_secret
from services.gateway.navigation import flash_of
from services.gateway.policy import Act, may
from services.gateway.roles import Principal
from services.gateway.routes.ids import Moment

router = APIRouter(tags=["keys"])
Owner = Annotated[Principal, needs(Act.MANAGE_KEYS)]
Quota = Annotated[int | None, Field(ge=1, le=100_000_000)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=shapes.PRINTABLE)]


class NewKey(BaseModel):
    """What a key is made for."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "community app", "scopes": ["publish_events"], "per_minute": 6000}]})

    name: Name = Field(description="for yourselves; no personal data")
    scopes: list[str] = Field(
        default_factory=lambda: [str(act) for act in keys.SCOPES], min_length=1, max_length=8, description="publish_events, read_events, manage_webhooks"
    )
    expires_at: Moment | None = Field(default=None, description="RFC 3339; none: until it is revoked")
    per_minute: Quota = Field(default=None, description="events a minute; none: no limit of its own")
    per_day: Quota = Field(default=None, description="events a day (UTC)")


class Rotation(BaseModel):
    """How the old key ends."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 604800}]})

    overlap_seconds: int = Field(
        default=int(keys.OVERLAP_DEFAULT.total_seconds()), ge=0, le=int(keys.OVERLAP_MAX.total_seconds()), description="so long both keys hold"
    )


def _shown(key: Key, now: datetime, secret: str | None = None) -> dict[str, Any]:
    found = {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": key.scopes,
        "state": key.state(now),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "per_minute": key.per_minute,
        "per_day": key.per_day,
        "used_today": key.used_today,
    }
    return found | ({} if secret is None else {"key": secret})


@asynccontextmanager
async def _once(gateway: Gateway, principal: Principal, key_id: str | None) -> AsyncIterator[keys.Connection]:
    """A transaction that makes the key of this id: once, however often it is asked for. What it has done is undone where somebody was faster.

    Raises:
        Refused: `made_already`.
    """
    try:
        async with gateway.database.acting_for(principal) as connection:
            if key_id is not None and await keys.one(connection, key_id) is not None:
                raise Refused("made_already", key_id)
            yield connection
    except asyncpg.UniqueViolationError:
        raise Refused("made_already", key_id or "") from None


async def _make(gateway: Gateway, principal: Principal, wanted: NewKey, now: datetime, key_id: str | None = None) -> tuple[Key, str]:
    _by_people(principal)
    # A key does no more than its account may: one for anything else would be made, and refused wherever it is shown.
    possible = _possible(principal)
    if not set(wanted.scopes) <= set(possible):
        raise Refused("bad_value", "scopes", one_of(possible))
    if wanted.expires_at is not None and wanted.expires_at <= now:
        raise Refused("bad_value", "expires_at", ("应晚于现在", "send a time after now"))
    async with _once(gateway, principal, key_id) as connection:
        await keys.one_after_the_other(connection, principal.account)
        own = [one for one in await keys.listed(connection) if one.account_id == principal.account and one.state(now) in {"active", "ending"}]
        if len({one.counts_as for one in own}) >= keys.KEYS_MAX:
            raise Refused("too_many", str(keys.KEYS_MAX))
        return await keys.add(
            connection,
            principal,
            name=wanted.name,
            scopes=wanted.scopes,
            expires_at=wanted.expires_at,
            per_minute=wanted.per_minute,
            per_day=wanted.per_day,
            now=now,
            key_id=key_id,
        )


def _possible(principal: Principal) -> list[Act]:
    return [act for act in keys.SCOPES if may(principal, act)]


async def _rotate(gateway: Gateway, principal: Principal, key_id: str, overlap: timedelta, now: datetime, made_id: str | None = None) -> tuple[Key, str]:
    _by_people(principal)
    async with _once(gateway, principal, made_id) as connection:
        old = await keys.one(connection, key_id)
        if old is None or old.state(now) not in {"active", "ending"}:
            raise Refused("not_found")
        # Whose it is keeps the secret: an admin may end a key, and not make one for somebody.
        if old.account_id != principal.account:
            raise Refused("not_own")
        made = await keys.rotate(connection, principal, old, overlap, now, key_id=made_id)
    # What was looked up a moment ago is remembered, and those before the last two have ended: at once, as is said.
    gateway.identity.forget_account(principal.account)
    return made


async def _revoke(gateway: Gateway, principal: Principal, key_id: str) -> None:
    async with gateway.database.acting_for(principal) as connection:
        key = await keys.one(connection, key_id)
        if key is None or not await keys.revoke(connection, key_id, datetime.now(UTC)):
            raise Refused("not_found")
        await subscriptions.end_with_key(connection, key_id)
    gateway.identity.forget_account(key.account_id)
    gateway.door.quotas.forget(key_id)


def _by_people(principal: Principal) -> None:
    if principal.via in {"key", "token"}:
        raise Refused("by_people")


# --- the API


@router.get("/api/v1/keys", summary="My keys", response_class=Response, responses=examples.KEYS_RESPONSES)
async def listed(gateway: GatewayOf, principal: Owner) -> Response:
    """All keys with their state, without their secrets."""
    async with gateway.database.acting_for(principal) as connection:
        found = await keys.listed(connection)
    now = datetime.now(UTC)
    return answer(200, {"keys": [_shown(key, now) for key in found]})


@router.post("/api/v1/keys", status_code=201, summary="Make a key", response_class=Response, responses=examples.KEY_RESPONSES)
async def make(gateway: GatewayOf, principal: Owner, wanted: NewKey) -> Response:
    """The answer has the key, which is shown this once and kept nowhere."""
    now = datetime.now(UTC)
    try:
        key, secret = await _make(gateway, principal, wanted, now)
    except Refused as fault:
        return refusal(fault)
    return answer(201, _shown(key, now, secret))


@router.post("/api/v1/keys/{key_id}/rotate", status_code=201, summary="Rotate a key", response_class=Response, responses=examples.ROTATE_RESPONSES)
async def rotate(gateway: GatewayOf, principal: Owner, key_id: str, how: Rotation) -> Response:
    """A new key like the old one, with its end; both hold during the overlap, and count under one quota and as one key. Of one before them that is the end."""
    now = datetime.now(UTC)
    try:
        key, secret = await _rotate(gateway, principal, key_id, timedelta(seconds=how.overlap_seconds), now)
    except Refused as fault:
        return refusal(fault)
    return answer(201, _shown(key, now, secret))


@router.delete("/api/v1/keys/{key_id}", status_code=204, summary="Revoke a key", response_class=Response, responses=examples.NOT_FOUND)
async def revoke(gateway: GatewayOf, principal: Owner, key_id: str) -> Response:
    """It holds no longer, from now on."""
    try:
        await _revoke(gateway, principal, key_id)
    except Refused as fault:
        return refusal(fault)
    return Response(status_code=204)


# --- the page


# What a page puts into its forms. Sent again (a reload, a second tap) it makes nothing: the first key would be lost, and a rotation would end the one before.
_FIXES: Final = {"name": ("请写一个名称", "write a name"), "scopes": ("请至少选一项用途", "choose one use at least")}
_QUOTA_FIX: Final = ("请写 1 至 99999999 的整数，不限就留空", "write a whole number of 1 or more, 99999999 at most, or leave it empty for no limit")
_QUOTA: Final = re.compile("0*[1-9][0-9]{0,7}")
Once = Annotated[str, Form(pattern=r"^[A-Za-z0-9_-]{0,64}$")]


async def _page(
    request: Request, gateway: Gateway, principal: Principal, *, secret: str | None = None, fault: Refused | None = None, **more: Any
) -> HTMLResponse:
    async with gateway.database.acting_for(principal) as connection:
        found = await keys.listed(connection)
    page = gateway.renderer.page(
        request,
        "keys.html",
        status=200 if fault is None else fault.status,
        keys=found,
        now=datetime.now(UTC),
        scopes=[str(act) for act in _possible(principal)],
        secret=secret,
        fault=fault,
        once=new_secret(),
        csrf=getattr(request.state, "csrf", ""),
        **more,
    )
    page.headers["cache-control"] = "no-store"
    return page


@router.get("/keys", response_class=HTMLResponse, summary="Page of keys")
async def page(request: Request, gateway: GatewayOf, principal: Owner) -> HTMLResponse:
    """My keys, and forms to make, rotate and revoke them."""
    return await _page(request, gateway, principal)


@router.post("/keys", response_class=HTMLResponse, summary="Make a key on the page")
async def make_on_page(
    request: Request,
    gateway: GatewayOf,
    principal: Owner,
    name: Annotated[str, Form(max_length=80, pattern=shapes.PRINTABLE)] = "",
    scopes: Annotated[list[str] | None, Form(max_length=8)] = None,
    per_minute: Annotated[str, Form(max_length=40)] = "",
    per_day: Annotated[str, Form(max_length=40)] = "",
    once: Once = "",
) -> HTMLResponse:
    """The page with the new key on it, this once; the same form again makes none."""
    written = {field: text.strip() for field, text in (("per_minute", per_minute), ("per_day", per_day)) if text.strip()}
    # A quota of nothing is none that there is, and must not become a key without any.
    odd = (field for field, text in written.items() if _QUOTA.fullmatch(text) is None)
    wrong = [*(["name"] if not name.strip() else []), *(["scopes"] if not scopes else []), *odd]
    if wrong:
        return await _page(request, gateway, principal, fault=Refused("bad_value", wrong[0], _FIXES.get(wrong[0], _QUOTA_FIX)))
    wanted = NewKey(name=name, scopes=scopes or [], **{field: int(text) for field, text in written.items()})
    try:
        _, secret = await _make(gateway, principal, wanted, datetime.now(UTC), keys.id_of_form(principal.account, "make", once))
    except Refused as fault:
        return await _page(request, gateway, principal, fault=fault)
    return await _page(request, gateway, principal, secret=secret)


@router.post("/keys/{key_id}/rotate", response_class=HTMLResponse, summary="Rotate a key on the page")
async def rotate_on_page(request: Request, gateway: GatewayOf, principal: Owner, key_id: str, once: Once = "") -> HTMLResponse:
    """The page with the new key on it; the old one holds for another week. The same form again rotates nothing."""
    made_id = keys.id_of_form(principal.account, f"rotate {key_id}", once)
    try:
        _, secret = await _rotate(gateway, principal, key_id, keys.OVERLAP_DEFAULT, datetime.now(UTC), made_id)
    except Refused as fault:
        return await _page(request, gateway, principal, fault=fault)
    return await _page(request, gateway, principal, secret=secret)


@router.post("/keys/{key_id}/revoke", response_class=HTMLResponse, summary="Revoke a key on the page")
async def revoke_on_page(request: Request, gateway: GatewayOf, principal: Owner, key_id: str) -> HTMLResponse:
    """The page on which it has ended."""
    try:
        await _revoke(gateway, principal, key_id)
    except Refused as fault:
        return await _page(request, gateway, principal, fault=fault)
    return await _page(request, gateway, principal, flash=flash_of("revoked"))
