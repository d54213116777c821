"""What a visit is worth, and for how many hours there are stars: one answer for the books, the statements and the pages. Pure, and its settings."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.runtime import PREFIX

POINT: Final = 100
"""A point, in the books' hundredths."""
STARS_MAX: Final = 5
_HOUR_MINUTES: Final = 60


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a visit is worth: `points_per_hour` in hundredths of a point, `minutes_max` of one visit that count, `star_hours` for one to five stars."""

    points_per_hour: int = POINT
    minutes_max: int = 120
    star_hours: tuple[int, ...] = (100, 300, 600, 1000, 1500)

    def counted(self, minutes: int) -> int:
        """The minutes of a visit that count."""
        return max(0, min(minutes, self.minutes_max))

    def points(self, minutes: int) -> int:
        """The points of so many counted minutes, in hundredths, rounded half up."""
        return (2 * minutes * self.points_per_hour + _HOUR_MINUTES) // (2 * _HOUR_MINUTES)

    def stars(self, minutes: int) -> int:
        """How many stars so many minutes in all are."""
        return sum(minutes >= hours * _HOUR_MINUTES for hours in self.star_hours)


class TariffSettings(BaseSettings):
    """The tariff, for whoever books, tells or shows it. What is booked keeps to what was set then; stars are counted by what is set now."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    points_per_hour: float = Field(1.0, ge=0, le=1000, description="填每小时积分 | use the points that an hour is worth")
    visit_minutes_max: int = Field(120, ge=1, le=1440, description="填每次服务最多计入的分钟数 | use the minutes of one visit that count at most")
    star_hours: str = Field(
        "100,300,600,1000,1500",
        description="填一至五星所需的小时数，由少到多，用逗号分隔 | use the hours for one to five stars, each more than the one before, with commas between",
    )

    @field_validator("star_hours")
    @classmethod
    def _star_hours_rise(cls, value: str) -> str:
        hours = _hours(value)
        if len(hours) != STARS_MAX or hours[0] < 1 or any(later <= earlier for earlier, later in pairwise(hours)):
            raise ValueError("five whole numbers, each more than the one before")
        return value

    @property
    def tariff(self) -> Tariff:
        """The same for who reckons."""
        return Tariff(round(self.points_per_hour * POINT), self.visit_minutes_max, _hours(self.star_hours))


def _hours(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))
