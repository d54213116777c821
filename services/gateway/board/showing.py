"""What the monitor's templates call: words of codes, times, and what of a wish somebody may read. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from schemas.errors import BRIEFLY
from services.gateway.board import words
from services.gateway.board.projection import MINORS
from services.gateway.roles import Principal, Role
from services.gateway.words import SKILLS, Words
from services.gateway.words import word as words_for

_TABLES: Final = {
    "category": words.CATEGORIES,
    "urgency": words.URGENCIES,
    "rung": words.RUNGS,
    "wish": words.WISH_STATES,
    "match": words.MATCH_STATES,
    "release": words.RELEASES,
    "refusal": words.REFUSALS,
    "outcome": words.OUTCOMES,
    "dead": BRIEFLY,
    "kind": words.KINDS,
    "skill": SKILLS,
}
_HIDDEN: Final[Words] = ("（未成年人的心愿）", "(a child's wish)")


def is_minors(wish: Mapping[str, Any]) -> bool:
    """Whether a wish is for a child."""
    return wish.get("age_band") in MINORS or wish.get("category") == "left_behind_children"


def helpers_of(principal: Principal, now: datetime) -> dict[str, Callable[..., Any]]:
    """By name: `word(table, code)`, `clock`, `moment`, `ago`, `left` (Chinese and English), `title_of(wish)`, `line_of(row)`."""
    worker = principal.has(Role.WORKER)

    def word(table: str, code: str | None) -> Words:
        return words_for(_TABLES[table], code)

    def ago(at: datetime) -> Words:
        return words.span((now - at).total_seconds() / 60)

    def left(wish: Mapping[str, Any]) -> Words:
        minutes = (wish["ends_at"] - now).total_seconds() / 60
        said = words.span(abs(minutes))
        return (f"还剩 {said[0]}", f"{said[1]} left") if minutes >= 0 else (f"已过 {said[0]}", f"{said[1]} over")

    def title_of(wish: Mapping[str, Any]) -> Words:
        return (wish["title"], wish["title"]) if worker or not is_minors(wish) else _HIDDEN

    def line_of(row: Any) -> Words:
        brief = row.brief if worker or not row.brief.get("minor") else {name: value for name, value in row.brief.items() if name != "title"}
        return words.detail(row.kind, brief)

    return {
        "word": word,
        "clock": words.clock,
        "moment": words.day_and_time,
        "ago": ago,
        "left": left,
        "title_of": title_of,
        "line_of": line_of,
        "tone": lambda kind: words.TONES.get(kind, ""),
    }
