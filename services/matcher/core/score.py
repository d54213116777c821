"""What a pair is worth: higher is better, and any match is worth more than none.

The *weight* is what two pairs are compared by, whoever waits: nearness, and how few skills are used up that others may need. The *score* of a round
adds the policy's points for what speaks for this wish and this helper now: how long it waits, whom the resident knows, how sure it is that they come,
which rare skills stay free, and, helper by helper, how seldom they had a task.

Wishes for which waiting is over are ranked by their age: the older of two counts more by at least a whole `step`, which is more than all else together.
"""

from typing import Final

from services.matcher.core.people import SURELY, Volunteer
from services.matcher.core.policy import Points
from services.matcher.core.ranking import HEAVIEST

_BASE: Final = 1000
_RUNG: Final = (400, 320, 220, 110, 0)
_FIT: Final = 200
WEIGHT_MAX: Final = _BASE + _RUNG[0] + _FIT
# Meetings beyond so many make nobody better known.
_KNOWN_MAX: Final = 3
_RAREST: Final[int] = HEAVIEST.bit_length()
_BITS: Final = 32
# The points for those who never had a task count in full where so many helpers' places are free for each that is wanted, and not at all where so few are;
_PLENTY: Final = 12
_SHORT: Final = 6
# and in full where so many in a thousand of those who offer their time had one, and not at all where so few had: then most go without whoever is taken.
_SPREAD: Final = 150
_SELDOM: Final = 50


def weight(rung: int, spare_skills: int) -> int:
    """The lasting worth of a pair. `spare_skills`: how many skills the helper has beyond those wished."""
    return _BASE + _RUNG[rung] + _FIT // (1 + spare_skills)


# By rung and number of spare skills, of which there are 19 at most.
WEIGHTS: Final = tuple(tuple(weight(rung, spare) for spare in range(20)) for rung in range(len(_RUNG)))


def step_of(points: Points) -> int:
    """More than any two pairs can differ in, but for the rank of a wish that is due."""
    return WEIGHT_MAX + points.age + points.known + points.chance + points.rare + points.idle + points.fresh + centre_points(points) + 1


def centre_points(points: Points) -> int:
    """For the centre household of the wish's own stairway, where somebody is to be visited: more than all that can speak for another helper of it."""
    return _FIT + points.known + points.chance + points.rare + points.idle + points.fresh + 1


def age_points(points: Points, waited: int, patience: int) -> int:
    """The older the wish, the more, up to its patience; `waited` and `patience` in one unit."""
    return points.age * min(waited, patience) // patience if patience > 0 else points.age


def known_points(points: Points, person: Volunteer, resident_ref: str) -> int:
    """An elder keeps the helper they know."""
    times = person.met.get(resident_ref)
    return points.known * min(times, _KNOWN_MAX) // _KNOWN_MAX if times else 0


def chance_points(points: Points, person: Volunteer, *, asks: bool) -> int:
    """How sure it is that they come: those who are told are, those who are asked may say no."""
    return points.chance * (person.chance if asks else SURELY) // SURELY


def rare_points(points: Points) -> list[int]:
    """By the number of bits in the weight of the skills that are sent along in vain: the rarer they are, the fewer, and none at the heaviest."""
    return [points.rare - points.rare * min(bits, _RAREST) // _RAREST for bits in range(_BITS)]


def idle_points(points: Points, person: Volunteer) -> int:
    """The fewer visits the helper has before them, the more."""
    return points.idle // (1 + len(person.slots))


def place_points(person: Volunteer, places: int, fresh: int) -> list[int]:
    """What each further visit of this round adds: `fresh` for the first task ever."""
    return [fresh if person.tasks + number == 0 else 0 for number in range(places)]


def fresh_points(points: Points, free: int, wanted: int, had: int) -> int:
    """What a first task counts: helpers who were never asked come up where there are plenty; where they are short, everyone has tasks anyway.

    `free`: how many visits could be given now; `wanted`: how many wait; `had`: how many in a thousand of those who offer their time had a task.
    """
    plenty, known = (_PLENTY - _SHORT) * wanted, _SPREAD - _SELDOM
    if not plenty:
        return 0
    counts = points.fresh * max(0, min(plenty, free - _SHORT * wanted)) // plenty
    return counts * max(0, min(known, had - _SELDOM)) // known
