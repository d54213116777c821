"""What the door refuses because it is not theirs, written into the audit log as the guard's own denials are: once a request."""

from collections.abc import Iterable

from fastapi import Request

from services.gateway.door.answers import DENIED
from services.gateway.guard import record
from services.gateway.policy import Act


async def note(request: Request, act: Act, codes: Iterable[str]) -> None:
    """A row, where one of these refusals is a denial; `things` has what the path names and the codes."""
    denied = sorted(DENIED.intersection(codes))
    if denied:
        named = [f"{name}={value}" for name, value in request.path_params.items()]
        await record(request, act, "denied", things=[*named, *(f"code={code}" for code in denied)])
