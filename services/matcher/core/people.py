"""What an area remembers of its people: what they do and did, whether they say yes, and whom they know.

What is live or lies less than a week back is counted from the matches; everything older only as numbers, which are stored
(`matching.people`, `matching.met`) and change seldom: when somebody answers, and when a visit is over. So a match costs nothing to remember.
Instants are microseconds.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from services.matcher.core.state import Offer

# Before anything is known of somebody, they are thought to say yes as often as this: as if they had been asked five times and said yes four.
_PRIOR_ASKED: Final = 5
_PRIOR_YES: Final = 4
SURELY: Final = 1000
"""The chance of somebody who need not be asked, in thousandths."""


class Volunteer:
    """One person in this area, over all of their offers.

    `slots`: the live ones. `starts`: when those begin, and when those began that are over, for a week at least. Both are sorted. Older ones may or may not
    be among them: no slot that is still to come lies within a week of them.

    What is stored: `asked`: how many proposals and invitations were answered, or left without an answer until their time was over; `agreed`: to how many
    they said yes. `visits`: how many slots are over that were not taken back, ever; `last_at`: until when the last of them went on, 0 where there is none.
    `met`: how many of them were with each resident.
    """

    __slots__ = ("agreed", "asked", "last_at", "met", "offers", "ref", "slots", "starts", "visits")

    def __init__(self, ref: str) -> None:
        self.ref = ref
        self.slots: list[tuple[int, int]] = []
        self.starts: list[int] = []
        self.offers: dict[str, Offer] = {}
        self.asked = 0
        self.agreed = 0
        self.visits = 0
        self.last_at = 0
        self.met: dict[str, int] = {}

    @property
    def tasks(self) -> int:
        """How many matches they had that were not released, ever; the live ones count."""
        return self.visits + len(self.slots)

    @property
    def chance(self) -> int:
        """How likely they say yes when they are asked, in thousandths."""
        return SURELY * (self.agreed + _PRIOR_YES) // (self.asked + _PRIOR_ASKED)

    @property
    def is_idle(self) -> bool:
        """Whether nothing of theirs is open; what is stored of them can be forgotten then."""
        return not self.offers and not self.starts
