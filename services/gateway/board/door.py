"""Asking the explanation door on this machine why a wish waits, and why an offer is, or is not, its helper. Without an answer the page goes without."""

import asyncio
from typing import Any, Final

import aiohttp

from services.gateway.settings import Settings

_SECONDS: Final = 8.0


class Silent(Exception):
    """The door is not there, is busy, or knows no such wish or offer; `known` is False for the last."""

    def __init__(self, *, known: bool = True) -> None:
        super().__init__()
        self.known = known


class ExplanationDoor:
    """A client with one connection pool. Without an address nothing is asked."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.explainer_url
        self._secret = "" if settings.explainer_secret is None else settings.explainer_secret.get_secret_value()

    @property
    def is_there(self) -> bool:
        """Whether one was named."""
        return self._url is not None

    async def waits(self, area: str, wish_id: str) -> dict[str, Any]:
        """Why a wish waits: `status`, and `waiting` (None, or offers, fit, excluded, nearest, conclusions)."""
        return await self._ask("/waits", {"area": area, "wish_id": wish_id})

    async def why(self, area: str, wish_id: str, offer_id: str) -> dict[str, Any]:
        """Why this offer: `code`, `rules` (passed, words) and `conclusions`."""
        return await self._ask("/why", {"area": area, "wish_id": wish_id, "offer_id": offer_id})

    async def _ask(self, path: str, asked: dict[str, str]) -> dict[str, Any]:
        if self._url is None:
            raise Silent
        try:
            async with (
                asyncio.timeout(_SECONDS),
                aiohttp.ClientSession(self._url, headers={"authorization": f"Bearer {self._secret}"}, trust_env=False) as session,
                session.get(path, params=asked, allow_redirects=False) as answer,
            ):
                if answer.status == 200:
                    found: dict[str, Any] = await answer.json()
                    return found
                raise Silent(known=answer.status != 404)
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            raise Silent from fault
