"""What the monitor's templates call: words of codes, times, and what of a wish somebody may read. Pure."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from schemas.errors import BRIEFLY
from services.gateway.board import words
from services.gateway.board.projection import MINORS
from services.gateway.roles import Principal, Role
from services.gateway.words import AGE_BANDS, SKILLS, Words
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
    "age": AGE_BANDS,
    "dead": BRIEFLY,
    "kind": words.KINDS,
    "skill": SKILLS,
}
HIDDEN_OF_MINORS: Final = frozenset({"title", "rung", "reach"})
"""What of a line about a child's wish is for workers alone: how near a child lives is where, nearly."""
_HIDDEN: Final[Words] = ("（未成年人的心愿）", "(a child's wish)")


def is_minors(wish: Mapping[str, Any]) -> bool:
    """Whether a wish is for a child."""
    return wish.get("age_band") in MINORS or wish.get("category") == "left_behind_children"


# From the yes to the end of the visit a helper knows the building; before and after it the compound, of a child's wish the community (the vault's ladder).
_BUILDING_IN: Final = frozenset({"agreed", "confirmed", "started", "finished"})
_COMPOUND_IN: Final = frozenset({"proposed", "closed"})
STEPS: Final = ("community", "compound", "building", "unit")


def helpers_steps(states: Iterable[str], *, minor: bool) -> int | None:
    """How many steps of a wish's place its helper is shown, by the states of their matches of it; None where nothing of it is theirs any more."""
    known = set(states)
    if known & _BUILDING_IN:
        return 3
    if known & _COMPOUND_IN:
        return 1 if minor else 2
    return None


def cut_off(wish: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """A row with so many steps of its place."""
    return {**wish, **dict.fromkeys(STEPS[steps:])}


def helpers_of(principal: Principal, now: datetime, *, own: bool = False) -> dict[str, Callable[..., Any]]:
    """By name: `word(table, code)`, `clock`, `moment`, `ago`, `left` (Chinese and English), and what may be read of a wish or a line about one.

    These are `title_of(wish)`, `where_of(wish)`, `near_of(wish)` (whether it is told how near a helper lives), `place_of(row)`, `line_of(row)`.
    Of a child's wish, workers see all, and whose `own` it is; others neither the title nor a circle below the community.
    """
    worker = own or principal.has(Role.WORKER)

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

    def where_of(wish: Mapping[str, Any]) -> Mapping[str, Any]:
        return wish if worker or not is_minors(wish) else cut_off(wish, 1)

    def place_of(row: Any) -> Mapping[str, Any]:
        place = {name: getattr(row, name) for name in ("area", "community", "compound", "building")}
        return cut_off(place, 1) if row.brief.get("minor") and not worker else place

    def line_of(row: Any, *, titled: bool = True) -> Words:
        hidden = HIDDEN_OF_MINORS if row.brief.get("minor") and not worker else frozenset()
        return words.detail(row.kind, {name: value for name, value in row.brief.items() if name not in hidden and (titled or name != "title")})

    return {
        "word": word,
        "clock": words.clock,
        "moment": lambda at: words.day_and_time(at, now),
        "ago": ago,
        "left": left,
        "title_of": title_of,
        "where_of": where_of,
        "place_of": place_of,
        "line_of": line_of,
        "near_of": lambda wish: worker or not is_minors(wish),
        "tone": lambda kind: words.TONES.get(kind, ""),
    }
