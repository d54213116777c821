"""The policies that are compared: by the words `shipped` and `at-once`, or by files; and what differs between them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from deploy.words import Trouble
from schemas.instants import MINUTE_US
from services.matcher.core.policy import Policy
from services.matcher.policies import BadPolicy, Policies, written_night

SHIPPED: Final = "shipped"
AT_ONCE: Final = "at-once"
# As many as there are colours that can be told apart.
POLICIES_MAX: Final = 6


@dataclass(frozen=True, slots=True)
class Choice:
    """One policy, under the name that it is shown by."""

    name: str
    policies: Policies


@dataclass(frozen=True, slots=True)
class Difference:
    """A key of the policy file on which not all agree: what each has, in the order of the choices. `area`: None where it is so in every area."""

    area: str | None
    key: str
    values: tuple[str, ...]


def choose(given: Sequence[str]) -> list[Choice]:
    """The policies that were asked for, in that order.

    Raises:
        Trouble: fewer than two, one twice, too many, or one that cannot be used; it says which.
    """
    if len(given) < 2:
        raise Trouble(
            "请给出至少两个 --policy 以便比较：策略文件，或 shipped、at-once。",
            "Give --policy at least twice, so that there is something to compare: policy files, or the words shipped and at-once.",
        )
    if len(given) > POLICIES_MAX:
        raise Trouble(f"一次最多比较 {POLICIES_MAX} 个策略。", f"At most {POLICIES_MAX} policies can be compared at once.")
    places = [one if one in (SHIPPED, AT_ONCE) else str(Path(one).resolve()) for one in given]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise Trouble(f"策略 {given[number]} 给了两次，请去掉一个。", f"The policy {given[number]} is given twice: leave one out.")
    return [Choice(name, _policies(one)) for name, one in zip(_names(given), given, strict=True)]


def _names(given: Sequence[str]) -> list[str]:
    """The files' names alone, unless two would be the same."""
    short = [one if one in (SHIPPED, AT_ONCE) else Path(one).stem for one in given]
    return [name if short.count(name) == 1 else one for name, one in zip(short, given, strict=True)]


def _policies(one: str) -> Policies:
    if one == SHIPPED:
        return Policies()
    if one == AT_ONCE:
        return Policies(Policy.at_once())
    path = Path(one)
    if not path.is_file():
        raise Trouble(
            f"没有策略文件 {one}。请写 shipped、at-once，或像 config/policy.toml 那样的文件。",
            f"There is no policy file {one}. Give shipped, at-once, or a file like config/policy.toml.",
        )
    try:
        return Policies.read(path)
    except BadPolicy as fault:
        raise Trouble.of(fault) from fault


def differences(choices: Sequence[Choice], areas: Iterable[str]) -> list[Difference]:
    """On which keys the policies do not agree; by area only where that depends on the area."""
    by_area = {area: _differing([choice.policies.of(area) for choice in choices]) for area in areas}
    first = next(iter(by_area.values()), [])
    if all(found == first for found in by_area.values()):
        return [Difference(None, key, values) for key, values in first]
    return [Difference(area, key, values) for area, found in by_area.items() for key, values in found]


def _differing(policies: Sequence[Policy]) -> list[tuple[str, tuple[str, ...]]]:
    flat = [flattened(policy) for policy in policies]
    return [(key, tuple(one[key] for one in flat)) for key in flat[0] if len({one[key] for one in flat}) > 1]


def flattened(policy: Policy) -> dict[str, str]:
    """Every key of the policy file with its value, as the file would have it: lengths in minutes."""
    found: dict[str, str] = {}
    for one in fields(policy):
        value = getattr(policy, one.name)
        name = one.name.removesuffix("_us") + "_minutes" if one.name.endswith("_us") else one.name
        if isinstance(value, dict):
            found |= {f"{name}.{key}": _text(length, minutes=name != one.name) for key, length in value.items()}
        elif name == "night":
            found[name] = written_night(value) or '""'
        else:
            found[name] = _text(value, minutes=name != one.name)
    return found


def _text(value: object, *, minutes: bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value / MINUTE_US:g}" if minutes and isinstance(value, int) else str(value)
