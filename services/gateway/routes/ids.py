"""Ids in addresses, and instants. Others choose the ids; the contract takes all but blanks and control characters: a slash, too, so one step is too little."""

from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.convertors import Convertor, register_url_convertor

from schemas.instants import parse_rfc3339

_DEEDS: Final = "withdraw|acknowledge|approval|redispatch|call-back|freeze"


class _WishId(Convertor[str]):
    """The rest of an address, unless it ends with a deed: that is said with POST, and looking at it is no page."""

    regex = rf"(?:(?!/(?:{_DEEDS})$).)+"

    def convert(self, value: str) -> str:
        """As it stands."""
        return value

    def to_string(self, value: str) -> str:
        """The same."""
        return value


register_url_convertor("wish", _WishId())
WISH: Final = "{wish_id:wish}"
"""A wish's id at the end of an address."""


def _as_rfc3339(text: Any) -> Any:
    try:
        parse_rfc3339(text)
    except (TypeError, ValueError):
        raise PydanticCustomError("datetime_text", "not RFC 3339 with an offset") from None
    return text


Moment = Annotated[AwareDatetime, BeforeValidator(_as_rfc3339)]
"""RFC 3339 and nothing else: pydantic alone takes `20261127` for seconds since 1970, and whoever asked for today would be given everything."""
