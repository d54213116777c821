"""The limits that are policy and not contract. One value an area; validated when made. Lengths are microseconds."""

from dataclasses import dataclass, field
from typing import Final, Self

from schemas.instants import DAY_US, MINUTE_US

URGENCIES: Final = ("red", "yellow", "blue")
POINTS_MAX: Final = 1000
_HOUR_US: Final = 60 * MINUTE_US
_DAY_MINUTES: Final = 24 * 60
# China has had one time zone and no summer time since 1992.
_LOCAL_US: Final = 8 * _HOUR_US


def _of_each(red: int, yellow: int, blue: int) -> dict[str, int]:
    return {"red": red, "yellow": yellow, "blue": blue}


@dataclass(frozen=True, slots=True)
class Points:
    """What counts in a round beside a pair's weight (1000 + nearness 0..400 + fit 0..200), each at most this many points; validated when made.

    - `age`: the wish has waited as long as its patience.
    - `known`: the resident and the helper have met three times or more.
    - `chance`: they come surely; those who are asked get the part that they usually say yes to.
    - `rare`: no rare skill is sent along that the wish has no use for.
    - `idle`: the helper has no other visit before them.
    - `fresh`: the helper never had a task; only where there are plenty of helpers, and a part of them had some.
    """

    age: int = 100
    known: int = 150
    chance: int = 200
    rare: int = 10
    idle: int = 60
    fresh: int = 400

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not 0 <= getattr(self, name) <= POINTS_MAX:
                raise ValueError(f"points.{name} must be from 0 to {POINTS_MAX}")


@dataclass(frozen=True, slots=True)
class Policy:
    """How an area is matched. Where a field is a mapping, its keys are the urgencies.

    - `answer_us`: how long a volunteer who is asked may take.
    - `night`: from which to which minute of the local day nobody's silence counts, unless the wish is `red`; None: it counts at any time.
    - `word_us`: how long a word is awaited at least, even where the visit would begin sooner: a wish for right now could not be
      answered by anyone otherwise.
    - `invite_max`: how many volunteers a `red` wish invites at once where nobody can simply be told; 0: one is asked after another.
    - `tell_unmet`: whether a community worker hears what a wish needs that nobody can give.
    - `round_us`: how long from one round to the next, in which all that waits is solved together; 0: each wish is tried when it comes.
    - `patience_us`: how long a wish waits for a better helper at most.
    - `lead_us`: from this long before the last moment on, the next helper who can is taken.
    - `sure`: a pair with at least this weight is taken in the first round; see :mod:`services.matcher.core.score`.
    - `widen_us`: how long a wish is for its own building first, then for one rung more, and so on; 0: everyone is asked at once.
    - `edges_max`: how many helpers a round weighs for each wish; fewer, but never fewer than six, where very many wishes wait.
    - `proof_needed`: the skills that an offer has only with a proof that is valid at the visit, such as care and medicine.
    - `centre_households`: words of which the `organisation` of a centre household has one; the notifier goes by the same.
    - `points`: what counts in a round beside the weight.
    """

    answer_us: dict[str, int] = field(default_factory=lambda: _of_each(10 * MINUTE_US, 60 * MINUTE_US, 12 * _HOUR_US))
    night: tuple[int, int] | None = (22 * 60, 7 * 60)
    word_us: int = 10 * MINUTE_US
    invite_max: int = 3
    tell_unmet: bool = True
    round_us: int = 5 * MINUTE_US
    patience_us: dict[str, int] = field(default_factory=lambda: _of_each(0, 2 * _HOUR_US, 3 * DAY_US))
    lead_us: dict[str, int] = field(default_factory=lambda: _of_each(0, _HOUR_US, 6 * _HOUR_US))
    sure: int = 1600
    widen_us: dict[str, int] = field(default_factory=lambda: _of_each(0, 5 * MINUTE_US, _HOUR_US))
    edges_max: int = 32
    proof_needed: frozenset[str] = frozenset()
    centre_households: tuple[str, ...] = ("中心户",)
    points: Points = field(default_factory=Points)

    def __post_init__(self) -> None:
        for name in ("answer_us", "patience_us", "lead_us", "widen_us"):
            lengths = getattr(self, name)
            if set(lengths) != set(URGENCIES) or min(lengths.values()) < 0:
                raise ValueError(f"{name} must have a length that is not negative for each of {', '.join(URGENCIES)}")
        if not 0 < self.word_us <= min(self.answer_us.values()):
            raise ValueError("word_minutes (word_us) 须大于 0，且不大于 answer_minutes | word_minutes (word_us) must be above 0 and not above answer_minutes")
        if self.night is not None and (len(set(self.night)) != 2 or not all(0 <= minute < _DAY_MINUTES for minute in self.night)):
            raise ValueError(f"night must be two minutes of a day that differ, each from 0 to {_DAY_MINUTES - 1}")
        if min(self.invite_max, self.round_us, self.edges_max - 1) < 0:
            raise ValueError("invite_max and round_us must not be negative, edges_max must be at least 1")

    @classmethod
    def at_once(cls) -> Self:
        """Each wish is tried with everyone when it comes, and one volunteer is asked after another."""
        return cls(invite_max=0, round_us=0, tell_unmet=False, night=None)

    def answer_by(self, urgency: str, now: int) -> int:
        """Until when somebody who is asked now may take their time: what would end at night, or too soon after it, ends an hour into the morning."""
        answer = self.answer_us[urgency]
        usual = now + answer
        if self.night is None or urgency == "red":
            return usual
        begins, ends = (minute * MINUTE_US for minute in self.night)
        morning = min(_HOUR_US, answer)
        # The first end of a night that leaves less than the morning until then.
        wakes = usual - morning + 1
        wakes += (ends - wakes - _LOCAL_US) % DAY_US
        return wakes + morning if usual > wakes - (ends - begins) % DAY_US else usual

    def is_centre(self, organisation: str | None) -> bool:
        """Whether an offer of that organisation is one of a centre household."""
        return organisation is not None and any(word in organisation for word in self.centre_households)

    def in_rounds(self, urgency: str) -> bool:
        """Whether wishes of that urgency wait for the round."""
        return self.round_us > 0 and urgency != "red"
