"""The guard at each route: who asks, and may they? A route names its act with `needs`; what it is done to is asked with `require`."""

import json
from typing import Any

from fastapi import Depends, HTTPException, Request

from services.gateway.policy import Act, Thing, may
from services.gateway.roles import Principal, Role, Scope


def _principal(request: Request) -> Principal | None:
    """Nobody yet, unless the settings allow to say who one is for a demonstration."""
    gateway = request.app.state.gateway
    said = request.headers.get("x-demo-principal")
    if said is None or not gateway.settings.demo_principals:
        return None
    found = json.loads(said)
    return Principal(
        account=found["account"],
        roles=frozenset(Role(role) for role in found["roles"]),
        scope=Scope(**found["scope"]),
        volunteer_ref=found.get("volunteer_ref"),
        resident_refs=frozenset(found.get("resident_refs", ())),
    )


def needs(act: Act) -> Any:
    """The dependency of a route: the principal, once they may do this to anything at all.

    Raises:
        HTTPException: 401 where nobody is signed in, 403 where they may not.
    """

    async def check(request: Request) -> Principal | None:
        request.state.principal = principal = _principal(request)
        if not may(principal, act):
            raise HTTPException(401 if principal is None else 403)
        return principal

    return Depends(check)


def require(principal: Principal | None, act: Act, thing: Thing) -> None:
    """Whether they may do it to this.

    Raises:
        HTTPException: 403.
    """
    if not may(principal, act, thing):
        raise HTTPException(403)
