"""When everyone taps the same wish in the same second: the first is asked about, the others wait for that answer.

A wish with one place that was just granted can only be refused to the next (`held_for_another` comes before every reason that hangs on the offer), so nobody
needs to be asked again. Where the first is not granted, all who waited ask for themselves at once. The matcher decides in either case; another gateway's
members come to it as before.

What was granted is remembered until the board shows it: whoever's answer was lost on the way taps again, and the matcher could only say that the wish is
taken, which is by themselves.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from services.gateway.board.hub import Answer, Claimed, Rejected

Wish = tuple[str, str]
"""Area and wish id."""
Theirs = tuple[str, str, str]
"""Area, wish id and volunteer."""
_KEPT_SECONDS: Final = 900.0
_KEPT_MAX: Final = 10_000


class Granted:
    """What was granted a while ago, to whom. `now` is in seconds of a clock that only goes on."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Theirs, tuple[float, Claimed]] = OrderedDict()

    def note(self, theirs: Theirs, answer: Claimed, now: float) -> None:
        """Keep an answer."""
        self._kept[theirs] = (now, answer)
        self._kept.move_to_end(theirs)
        if len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)

    def of(self, theirs: Theirs, now: float) -> Claimed | None:
        """The answer that was given, while it is kept."""
        at, answer = self._kept.get(theirs, (0.0, None))
        return answer if answer is not None and now - at < _KEPT_SECONDS else None


class Turnstile:
    """Who is being asked about, by wish."""

    def __init__(self) -> None:
        self._asking: dict[Wish, tuple[str, asyncio.Future[Answer | None]]] = {}

    async def pass_through(self, wish: Wish, offer_id: str, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer for this offer: the matcher's, or what follows from the one just given. A second tap of the same member has the answer of the first."""
        first = self._asking.get(wish)
        if first is not None:
            answer = await asyncio.shield(first[1])
            if isinstance(answer, Claimed):
                return answer if first[0] == offer_id else Rejected("held_for_another")
            return await ask()
        told: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._asking[wish] = (offer_id, told)
        answer = None
        try:
            answer = await ask()
            return answer
        finally:
            del self._asking[wish]
            told.set_result(answer)  # none where asking failed: then everyone tries for themselves
