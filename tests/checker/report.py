"""What the checker found: violations (a promise or rule is broken) and warnings (worth a look, no proof)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Finding:
    """One thing found: the rule by name, the ids concerned, and what the numbers were."""

    rule: str
    ids: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}  [{self.ids}]  {self.text}"


@dataclass
class Report:
    """All findings of one run, and how much was looked at (so that an empty look is noticed)."""

    violations: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def ok(self) -> bool:
        """True when no promise or rule was found broken."""
        return not self.violations

    def rules(self) -> set[str]:
        """The names of the rules that were broken."""
        return {finding.rule for finding in self.violations}

    def broken(self, rule: str, text: str, **ids: object) -> None:
        """Note a violation."""
        self.violations.append(Finding(rule, _ids(ids), text))

    def doubtful(self, rule: str, text: str, **ids: object) -> None:
        """Note a warning: it looks wrong, but the contract does not prove it."""
        self.warnings.append(Finding(rule, _ids(ids), text))


def _ids(ids: dict[str, object]) -> str:
    return " ".join(f"{name}={value}" for name, value in ids.items() if value is not None)
