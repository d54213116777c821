"""What a contender did with a stream, in the same form for everyone. No I/O."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Pair:
    """A match that stood: when it was proposed, and when the visit begins (microseconds)."""

    wish: str
    offer: str
    proposed_at: int
    start: int


@dataclass(slots=True)
class Played:
    """`pairs`: what stood in the end. `first`: when anyone was first proposed to a wish or invited to it, in microseconds, by wish.

    `red_waits`: for each red wish that ever had an eligible offer, how long from then until somebody was proposed or invited (microseconds); None: nobody was.
    It is empty where it was not watched.
    """

    contender: str
    pairs: list[Pair] = field(default_factory=list)
    first: dict[str, int] = field(default_factory=dict)
    red_waits: dict[str, int | None] = field(default_factory=dict)
    widened: int = 0
    seconds: float = 0.0
