"""The policy file: how each area is matched. Read once, at the start; what is wrong in it is said with its place and the fix.

TOML: what stands at the top is for all areas, `[areas."NAME"]` changes some of it for one. Lengths are minutes, and where a length depends on the
urgency it is a table of `red`, `yellow`, `blue`. `config/policy.toml` in the project names every key with its usual value.
"""

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from schemas.base import CircleId, Skill
from schemas.instants import MINUTE_US
from schemas.shapes import WORDS
from services.matcher.core.policy import POINTS_MAX, Policy

Minutes = Annotated[float, Field(ge=0, le=366 * 24 * 60)]
_AS_THEY_ARE: Final = ("invite_max", "tell_unmet", "sure", "edges_max", "proof_needed", "centre_households")
_Part = Annotated[int, Field(ge=0, le=POINTS_MAX)]
_NIGHT: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_LENGTHS: Final = ("answer", "patience", "lead", "widen")


# What pydantic finds fault with here, as a fix in Chinese; its own words are the English ones.
_NUMBER: Final = "请填数字"
_WHOLE: Final = "请填整数"
_LIST: Final = '请填列表，如 ["…"]'
_FIXES: Final = {
    "extra_forbidden": "没有这一项，请删除或更正名称",
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "bool_type": "请填 true 或 false",
    "bool_parsing": "请填 true 或 false",
    "greater_than": "须大于 {gt:g}",
    "greater_than_equal": "不得小于 {ge:g}",
    "less_than_equal": "不得大于 {le:g}",
    "string_type": "请填文字，并加引号",
    "string_too_short": "至少 {min_length} 个字符",
    "string_too_long": "最多 {max_length} 个字符",
    "string_pattern_mismatch": "写法须符合 {pattern}",
    "frozen_set_type": _LIST,
    "tuple_type": _LIST,
    "hours": '请填 "22:00-07:00" 这样的当地时间，或 ""',
    "model_type": "请填一个表，如 [points]",
    "dict_type": '请填一个表，如 [areas."NAME"]',
}


class BadPolicy(ValueError):
    """The file cannot be used; `str()` has one line in Chinese and English a fault."""


def _hours(text: str) -> str:
    if text and not _NIGHT.fullmatch(text):
        raise PydanticCustomError("hours", 'use local times such as "22:00-07:00", or ""')
    return text


class _ByUrgency(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    red: Minutes | None = None
    yellow: Minutes | None = None
    blue: Minutes | None = None


class _Points(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    age: _Part | None = None
    known: _Part | None = None
    chance: _Part | None = None
    rare: _Part | None = None
    idle: _Part | None = None
    fresh: _Part | None = None


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    answer_minutes: _ByUrgency = _ByUrgency()
    patience_minutes: _ByUrgency = _ByUrgency()
    lead_minutes: _ByUrgency = _ByUrgency()
    widen_minutes: _ByUrgency = _ByUrgency()
    night: Annotated[str, AfterValidator(_hours)] | None = None
    word_minutes: Annotated[float, Field(gt=0, le=24 * 60)] | None = None
    round_minutes: Annotated[float, Field(ge=0, le=24 * 60)] | None = None
    invite_max: Annotated[int, Field(ge=0, le=50)] | None = None
    tell_unmet: bool | None = None
    sure: Annotated[int, Field(ge=0)] | None = None
    edges_max: Annotated[int, Field(ge=1, le=1000)] | None = None
    proof_needed: frozenset[Skill] | None = None
    centre_households: tuple[Annotated[str, Field(min_length=1, max_length=120)], ...] | None = None
    points: _Points = _Points()

    def over(self, base: Policy) -> Policy:
        """This table's values, and the base's where it says nothing."""
        values: dict[str, Any] = {name: getattr(self, name) for name in _AS_THEY_ARE}
        values |= {f"{name}_us": _us(getattr(self, f"{name}_minutes")) for name in ("word", "round")}
        for name in _LENGTHS:
            said = {urgency: _us(length) for urgency, length in getattr(self, f"{name}_minutes").model_dump(exclude_none=True).items()}
            values[f"{name}_us"] = getattr(base, f"{name}_us") | said
        values["night"] = base.night if self.night is None else _night(self.night)
        values["points"] = replace(base.points, **self.points.model_dump(exclude_none=True))
        known = {name: getattr(base, name) for name in values}
        return Policy(**(known | {name: value for name, value in values.items() if value is not None or name == "night"}))


class _File(_Table):
    areas: dict[CircleId, _Table] = {}


class Policies:
    """The policy of each area."""

    def __init__(self, default: Policy | None = None, areas: dict[str, Policy] | None = None) -> None:
        self._default = default or Policy()
        self._areas = areas or {}

    def of(self, area: str) -> Policy:
        """The policy of one area."""
        return self._areas.get(area, self._default)

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """From a file, or the usual ones where there is none.

        Raises:
            BadPolicy: the file is not there, is not TOML, or has values that are not possible.
        """
        if path is None:
            return cls()
        try:
            text = path.read_text("utf-8")
            found = _File.model_validate(tomllib.loads(text))
            default = found.over(Policy())
            return cls(default, {name: table.over(default) for name, table in found.areas.items()})
        except ValidationError as error:
            raise BadPolicy("\n".join(_line(path, fault) for fault in error.errors(include_url=False, include_input=False))) from None
        except (OSError, UnicodeDecodeError, ValueError) as error:
            chinese, _, english = str(error).partition(" | ")
            raise BadPolicy(f"{path}：规则文件无法使用：{chinese} | {path}: the policy file cannot be used: {english or chinese}") from None


def _line(path: Path, fault: ErrorDetails) -> str:
    name = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    context = fault.get("ctx", {})
    chinese = _FIXES.get(fault["type"], "写法见 config/policy.toml").format(**context)
    chinese, english = WORDS.get(context.get("pattern", ""), (chinese, fault["msg"]))
    return f"{path}：规则文件中 {name} 不合规，请改正：{chinese} | {path}: {name} in the policy file is not valid, correct it: {english}"


def _us(minutes: float | None) -> int | None:
    return None if minutes is None else round(minutes * MINUTE_US)


def written_night(night: tuple[int, int] | None) -> str:
    """A night as the file has it."""
    return "" if night is None else "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in night)


def _night(text: str) -> tuple[int, int] | None:
    """`22:00-07:00` as minutes of the day; None where there is no night."""
    found = _NIGHT.fullmatch(text)
    if found is None or found[1] + found[2] == found[3] + found[4]:
        return None
    return 60 * int(found[1]) + int(found[2]), 60 * int(found[3]) + int(found[4])
