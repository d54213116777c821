"""What helpers and community workers would say, if they were asked what nobody asked them in the month that was recorded. No I/O.

Recorded words belong to pairs that another policy may never bring together, so words are drawn: with chances estimated from what was recorded, and from
a seed and the pair alone. So a helper says the same to a wish under every policy, and whoever else was asked before.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from math import log
from typing import Final, Protocol

from deploy.whatif.generator import Answer, Stream, digest
from schemas.instants import MINUTE_US

# What is believed of helpers before anything is recorded, as the published generator has it: they say yes, no, nothing.
_PRIOR: Final = (0.88, 0.10, 0.02)
# As many recorded answers weigh as much as that belief; and as many of one helper as much as what all helpers do.
_PRIOR_ANSWERS: Final = 10
_OWN_ANSWERS: Final = 4
_APPROVED: Final = (19, 20)
# How long an answer takes on average where too few were recorded to draw from them, and at most.
_MINUTES: Final = {"red": 3.0, "yellow": 12.0, "blue": 12.0}
_MINUTES_MAX: Final = 45.0
_WORKER_MINUTES: Final = 30.0
_DELAYS_MIN: Final = 20
_STEPS: Final = float(1 << 64)


@dataclass(frozen=True, slots=True)
class Pair:
    """One helper who is asked, or sent, to one wish."""

    area: str
    wish: str
    offer: str
    volunteer: str
    urgency: str


class Answers(Protocol):
    """What people would say."""

    def asked(self, pair: Pair) -> Answer:
        """The helper's word."""
        ...

    def worker(self, pair: Pair) -> Answer:
        """The community worker's word, where the wish asks for it."""
        ...

    def calls_off(self, pair: Pair) -> float | None:
        """After what share of the time until the visit a helper who was to come calls it off; None: they come."""
        ...


@dataclass(slots=True)
class Recorded:
    """What was said in the month. `told`, `called_off`: helpers who were to come, and those of them who then could not; known from a journal only."""

    yes: Counter[tuple[str, str]] = field(default_factory=Counter)
    no: Counter[tuple[str, str]] = field(default_factory=Counter)
    silent: Counter[tuple[str, str]] = field(default_factory=Counter)
    delays: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    approved: int = 0
    refused: int = 0
    told: int = 0
    called_off: int = 0

    def add(self, area: str, volunteer: str, *, yes: bool | None) -> None:
        """One helper's word; None: they let the time pass."""
        counted = self.silent if yes is None else self.yes if yes else self.no
        counted[area, volunteer] += 1

    @property
    def answers(self) -> int:
        """How many words of helpers there are, the silent ones included."""
        return self.yes.total() + self.no.total() + self.silent.total()


@dataclass(frozen=True, slots=True)
class Estimated:
    """Chances of (yes, no) of everyone whose words were recorded, and `usual` of everyone else; the rest says nothing."""

    seed: int
    usual: tuple[float, float]
    own: dict[tuple[str, str], tuple[float, float]]
    delays: dict[str, tuple[int, ...]]
    approved: float
    called_off: float

    @classmethod
    def of(cls, recorded: Recorded, seed: int) -> "Estimated":
        """From what was recorded."""
        counts = (recorded.yes, recorded.no, recorded.silent)
        whole = recorded.answers + _PRIOR_ANSWERS
        yes, no, _ = ((count.total() + _PRIOR_ANSWERS * share) / whole for count, share in zip(counts, _PRIOR, strict=True))
        own = {}
        for who in sorted({*recorded.yes, *recorded.no, *recorded.silent}):
            heard = sum(count[who] for count in counts) + _OWN_ANSWERS
            own[who] = ((recorded.yes[who] + _OWN_ANSWERS * yes) / heard, (recorded.no[who] + _OWN_ANSWERS * no) / heard)
        words = recorded.approved + recorded.refused
        return cls(
            seed=seed,
            usual=(yes, no),
            own=own,
            delays={urgency: tuple(sorted(found)) for urgency, found in recorded.delays.items() if len(found) >= _DELAYS_MIN},
            approved=(recorded.approved + _APPROVED[0]) / (words + _APPROVED[1]),
            called_off=recorded.called_off / recorded.told if recorded.told else 0.0,
        )

    def asked(self, pair: Pair) -> Answer:
        """The helper's word."""
        yes, no = self.own.get((pair.area, pair.volunteer), self.usual)
        chance = self._drawn("word", pair)
        if chance >= yes + no:
            return Answer(yes=None, after_us=0)
        return Answer(yes=chance < yes, after_us=self._delay(pair))

    def worker(self, pair: Pair) -> Answer:
        """The community worker's word; one worker answers for the wish and this helper."""
        minutes = min(-_WORKER_MINUTES * log(1 - self._drawn("worker's delay", pair)), 4 * _WORKER_MINUTES)
        return Answer(yes=self._drawn("worker", pair) < self.approved, after_us=round(minutes * MINUTE_US))

    def calls_off(self, pair: Pair) -> float | None:
        """When the helper calls it off, if they do."""
        return self._drawn("when called off", pair) if self._drawn("called off", pair) < self.called_off else None

    def _delay(self, pair: Pair) -> int:
        drawn = self._drawn("delay", pair)
        recorded = self.delays.get(pair.urgency)
        if recorded is not None:
            return recorded[int(drawn * len(recorded))]
        return round((0.2 + min(-_MINUTES[pair.urgency] * log(1 - drawn), _MINUTES_MAX)) * MINUTE_US)

    def _drawn(self, what: str, pair: Pair) -> float:
        """From 0 up to, but without, 1."""
        return min(digest(self.seed, what, pair.area, pair.wish, pair.offer) / _STEPS, 1 - 2**-53)


@dataclass(frozen=True, slots=True)
class Published:
    """The published generator's own words; whoever is sent comes, and no wish of its asks for a community worker's word."""

    stream: Stream

    def asked(self, pair: Pair) -> Answer:
        """What the stream lets this helper say."""
        return self.stream.answer(self.stream.wishes[pair.wish], self.stream.offers[pair.offer])

    def worker(self, pair: Pair) -> Answer:  # noqa: ARG002 - the protocol's
        """Yes, at once."""
        return Answer(yes=True, after_us=0)

    def calls_off(self, pair: Pair) -> None:  # noqa: ARG002 - the protocol's
        """Never."""
        return
