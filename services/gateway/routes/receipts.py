"""`POST /api/v1/receipts/{channel}`: what a gateway for text messages says afterwards about a notice: delivered, failed, read.

Gateways have no account: each channel has a secret, and its callbacks are signed as the notifier signs what it sends there, HMAC-SHA256 over time and body.
What comes is left in the notifier's table through its one function, and answered after the commit; whether anybody knows the reference is not told.
"""

import hmac
import re
import time
from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Annotated, Any, Final, Literal

import asyncpg
from fastapi import APIRouter, Path, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas import errors, shapes
from schemas.personal import code_of, is_bare_number
from schemas.screening import safe_name
from services.gateway.context import GatewayOf
from services.gateway.door import answers, examples
from services.gateway.door.answers import Refused
from services.gateway.guard import needs
from services.gateway.policy import Act
from services.gateway.roles import Principal
from services.gateway.routes.ids import Moment


class _Signed(APIRoute):
    """A route that asks no guard: no cookie and no key is looked at, so no other site's form can borrow them. The signature decides."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What runs for each request."""

        async def handle(request: Request) -> Response:
            return await leave(request, request.app.state.gateway, None, str(request.path_params["channel"]))

        return handle


router = APIRouter(tags=["receipts"], route_class=_Signed)
SIGNATURE_HEADER: Final = "x-lastmetre-signature"
TIME_HEADER: Final = "x-lastmetre-timestamp"
_BODY_MAX_BYTES: Final = 64 * 1024
_CLOCK_SECONDS: Final = 300
# Beyond it no database and no clock of the other offset can keep it.
_YEAR_MAX: Final = 9000
_FEWER: Final = ("应不超过 64 KiB", "send at most 64 KiB")
_AN_OBJECT: Final = ("应为一个 JSON 对象", "send one JSON object")
_ADD: Final = ("缺少，请补上", "it is missing, add it")
_NO_NUMBER: Final = ("不能是电话或身份证号，请用发送时的键或网关自己的编号", "send its key or your own number, and no phone or identity-card number")
# With a date or a count beside it: the notifier keeps no such name of a message, so nobody would know it, and what nobody knows stays in the table.
_MOBILE_INSIDE: Final = re.compile(r"(?<![0-9A-Za-z])(?:86)?1[3-9][0-9]{9}(?![0-9A-Za-z])")
_LEAVE: Final = "SELECT gateway.leave_receipt($1, $2, $3, $4, $5)"

# For the policy's list of routes; the signature is the proof.
Anybody = Annotated[Principal | None, needs(Act.OPEN_PAGE)]
Channel = Annotated[str, Path(pattern=r"^[a-z0-9_]{1,32}$", description="the channel's name in the notifier's file")]


class Receipt(BaseModel):
    """One thing that a gateway says."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reference: str = Field(min_length=1, max_length=200, pattern=shapes.ID, description="the key it was sent, or its own number")
    status: Literal["delivered", "failed", "read"]
    at: Annotated[Moment, Field(strict=False)]
    fault: str | None = Field(default=None, pattern=shapes.SKILL, description="why it failed, as a code")


def is_signed(secret: bytes, timestamp: str, body: bytes, signature: str, now: float) -> bool:
    """Whether hex HMAC-SHA256 over timestamp + "." + body fits, and the time is of these minutes."""
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12 or abs(now - int(timestamp)) > _CLOCK_SECONDS:
        return False
    wanted = hmac.new(secret, timestamp.encode() + b"." + body, sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), signature.strip().lower().encode())


def read(body: bytes) -> Receipt:
    """The receipt, or Refused with the field and what to send instead."""
    try:
        receipt = Receipt.model_validate_json(body)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_input=False)[0]
        field = ".".join(safe_name(str(step)) for step in first["loc"])
        fix = _ADD if first["type"] == "missing" else errors.complaint_about(field, first).fix if field else _AN_OBJECT
        raise Refused("bad_value", field or "body", fix) from None
    if receipt.at.year > _YEAR_MAX:
        raise Refused("bad_value", "at", shapes.INSTANT_WORDS)
    if is_bare_number(receipt.reference) or _MOBILE_INSIDE.search(receipt.reference):
        raise Refused("bad_value", "reference", _NO_NUMBER)
    return receipt


@router.post(
    "/api/v1/receipts/{channel}",
    status_code=202,
    summary="A gateway's delivery receipt",
    response_class=Response,
    responses=examples.RECEIPT_RESPONSES,
    openapi_extra=examples.receipt_body(Receipt.model_json_schema()),
)
async def leave(request: Request, gateway: GatewayOf, _principal: Anybody, channel: Channel) -> Response:
    """202 once it is kept; the same again is harmless."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _BODY_MAX_BYTES:
            return answers.refusal(Refused("bad_value", "body", _FEWER))
    secret = gateway.settings.receipt_secrets.get(channel)
    headers = request.headers
    signed = secret is not None and is_signed(
        secret.get_secret_value().encode(), headers.get(TIME_HEADER, ""), bytes(body), headers.get(SIGNATURE_HEADER, ""), time.time()
    )
    if not signed:
        return answers.refusal(Refused("bad_signature"))
    try:
        receipt = read(bytes(body))
        async with gateway.database.pool.acquire() as connection:
            await connection.execute(_LEAVE, channel, receipt.reference, receipt.status, receipt.at, code_of(receipt.fault))
    except Refused as fault:
        return answers.refusal(fault)
    except (asyncpg.UndefinedFunctionError, asyncpg.InsufficientPrivilegeError, asyncpg.InvalidSchemaNameError):
        return answers.refusal(Refused("switched_off", "migration 0012_receipts"))
    return answers.answer(202, {"reference": receipt.reference})
