"""The limits that are policy and not contract. One value an area; validated when made."""

from dataclasses import dataclass, field

from schemas.instants import MINUTE_US


@dataclass(frozen=True, slots=True)
class Policy:
    """`answer_us`: how long a volunteer who is asked may take, by urgency, in microseconds.

    `word_us`: how long a word is awaited at least, even where the visit would begin sooner: a wish for right now could not be
    answered by anyone otherwise.
    """

    answer_us: dict[str, int] = field(default_factory=lambda: {"red": 10 * MINUTE_US, "yellow": 60 * MINUTE_US, "blue": 12 * 60 * MINUTE_US})
    word_us: int = 10 * MINUTE_US

    def __post_init__(self) -> None:
        if not 0 < self.word_us <= min(self.answer_us.values()):
            raise ValueError("word_us must be positive and not above any of answer_us")
