"""The way to the door: what the vault shows a helper of the resident, at their stage and time. The vault decides, and keeps who looked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from services.gateway.people.visits import MyMatch
from services.vault.faults import Denied
from services.vault.ladder import Ladder, Slot, Stage, visible
from services.vault.policy import Occasion, Reader
from services.vault.vault import Vault

_STAGES: Final = frozenset({"agreed", "confirmed", "started", "finished"})
_WHY: Final = "the helper looks at where the visit is"


@dataclass(frozen=True, slots=True)
class Told:
    """What can be shown: fields of the resident by name. `at`: from when the door is shown, where it is not yet; `by_worker`: there is no vault to ask."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | None = None
    by_worker: bool = False


class Doors:
    """Asks the vault, if there is one."""

    def __init__(self, vault: Vault | None, ladder: Ladder) -> None:
        self._vault = vault
        self._ladder = ladder

    async def told(self, match: MyMatch, now: datetime) -> Told:
        """What the helper of this match may see now. A refusal of the vault is a door that is not shown."""
        if match.state not in _STAGES:
            return Told()
        if self._vault is None:
            return Told(by_worker=True)
        stage: Stage = match.state  # type: ignore[assignment]  # one of these, as looked at above
        slot = Slot(match.starts_at, match.ends_at)
        fields = visible(stage, now, slot, self._ladder)
        opens = match.starts_at - timedelta(seconds=self._ladder.before_seconds)
        at = opens if "door" not in fields and now < opens and match.state == "confirmed" else None
        who, what = Reader("helper", match.volunteer_ref), Occasion(match.match_id, match.wish_id)
        try:
            opened = await self._vault.read(match.resident_ref, sorted(fields), who, what, _WHY)
        except Denied:
            # Nobody of that reference, or the vault does not know the match yet.
            return Told(at=at, by_worker=True)
        return Told({name: value for name, value in opened.items() if value is not None}, at)
