"""What a pair is worth: higher is better, and any match is worth more than none.

The *weight* is what two pairs are compared by, whoever waits: nearness, and how few skills are used up that others may need. The *score* of a round
adds what speaks for this wish and this helper now: how long it has waited, how little they were asked, how sure it is that they come.
"""

from typing import Final

_BASE: Final = 1000
_RUNG: Final = (400, 320, 220, 110, 0)
_FIT: Final = 200
_AGE: Final = 300
_IDLE: Final = 60
_TOLD: Final = 40
# More than all that can speak for another helper of the same stairway.
_CENTRE: Final = 400
# A wish that cannot wait any longer comes before any number of points.
_DUE: Final = 10_000
SCORE_MAX: Final = _DUE + _BASE + _RUNG[0] + _FIT + _AGE + _IDLE + _TOLD + _CENTRE


def weight(rung: int, spare_skills: int) -> int:
    """The lasting worth of a pair. `spare_skills`: how many skills the helper has beyond those wished."""
    return _BASE + _RUNG[rung] + _FIT // (1 + spare_skills)


def score(worth: int, *, waited: int, patience: int, load: int, asks: bool, due: bool, centre: bool = False) -> int:
    """What a pair counts in a round. `waited` and `patience` in one unit; `load`: the helper's visits; `asks`: they may still say no.

    `centre`: the helper is of the centre household of the wish's own stairway, and somebody is to be visited.
    """
    age = _AGE * min(waited, patience) // patience if patience > 0 else _AGE
    return worth + age + _IDLE // (1 + load) + (0 if asks else _TOLD) + (_DUE if due else 0) + (_CENTRE if centre else 0)
