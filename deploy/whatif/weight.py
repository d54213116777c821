"""What one match is worth: the measure by which every contender is judged, and which the optimum makes as large as can be.

A pair has a weight, whoever waits; on the published streams it counts the more, the more urgent the wish.
"""

from typing import Final

# A match is worth something in itself, whoever comes from wherever: more matches are better than nicer ones, unless they are very much nicer.
BASE: Final = 1000
# By rung, from the same unit to another community: a helper next door needs no lift, no ride and no permission to leave early.
NEARNESS: Final = (400, 320, 220, 110, 0)
# Shared by one more than the skills that the wish has no use for: the electrician is not sent shopping.
FIT: Final = 200
WEIGHT_MAX: Final = BASE + max(NEARNESS) + FIT
# How often it counts, by urgency: whoever needs somebody within the hour has nobody to wait for.
URGENCY: Final = {"red": 3, "yellow": 2, "blue": 1}


def weight(rung: int, spare_skills: int) -> int:
    """The worth of a match between places that share this rung (0 unit, 4 area), of a helper with so many skills that the wish does not ask for."""
    return BASE + NEARNESS[rung] + FIT // (1 + spare_skills)


def worth(urgency: str, rung: int, spare_skills: int) -> int:
    """The worth of a match for a wish of that urgency; the rest as :func:`weight`."""
    return URGENCY[urgency] * weight(rung, spare_skills)
