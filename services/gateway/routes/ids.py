"""Ids in addresses. Other systems choose them, and the contract takes all but blanks and control characters: a slash, too, so one step is too little."""

from typing import Final

from starlette.convertors import Convertor, register_url_convertor

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
