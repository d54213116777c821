"""Where a webhook may go: the public internet over TLS, so that nobody has the gateway knock at doors of the network it stands in.

The name is looked at when the webhook is made, and every address that it resolves to each time a connection is opened: a name may point elsewhere later.
"""

import ipaddress
import socket
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from services.gateway.door.answers import Refused

URL_MAX: Final = 2_000


class NotPublic(OSError):
    """The name leads to an address that is not on the public internet."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and found in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if found.is_site_local:  # given up as a kind of address, and taken for public by the library; networks have them still
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


def see_url(url: str, *, private: bool) -> None:
    """Refuse a URL that a webhook may not have; `private`: also http, and addresses of any network.

    Raises:
        Refused: with the field `url`.
    """
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise Refused("bad_address", "url") from None
    if not host or len(url) > URL_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise Refused("bad_address", "url")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Refused("bad_address", "url")
    if private and parts.scheme in {"http", "https"}:
        return
    literal = ":" in host or host.rpartition(".")[2].isdigit() or host.rpartition(".")[2].startswith("0x")
    if (
        parts.scheme != "https"
        or (literal and not is_public(host))
        or (not literal and "." not in host)
        or host.endswith((".localhost", ".local", ".internal"))
    ):
        raise Refused("bad_address", "url")


class PublicResolver(AbstractResolver):
    """Resolves a name, and refuses it where any of its addresses is not public."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """The addresses.

        Raises:
            NotPublic: one of them is of an inner network.
        """
        found = await self._inner.resolve(host, port, family)
        if not found or not all(is_public(one["host"]) for one in found):
            raise NotPublic("not a public address")
        return found

    async def close(self) -> None:
        """Nothing is open."""
        await self._inner.close()


def connector_settings(*, private: bool) -> dict[str, Any]:
    """What aiohttp's connector is given."""
    return {} if private else {"resolver": PublicResolver(), "use_dns_cache": False}
