"""Variables that look like a setting of ours and are none: of a slip of the pen nobody would hear, and the setting would have its usual value."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from deploy.stack import SETTINGS_OF_DEPLOY
from deploy.words import both
from services.broker import PREFIX

# Channels name variables of their own: what is not much like one of ours is not ours to judge.
_LIKENESS_MIN: Final = 0.8


def slips(variables: Iterable[str]) -> list[str]:
    """A line in both languages for each name that is nearly the name of a setting."""
    names = sorted({name for name in variables if name.startswith(PREFIX)} - SETTINGS_OF_DEPLOY)
    if not names:
        return []
    # Here and not above: most starts have no use for them.
    from deploy.explainer import Settings as ExplainerSettings
    from services.gateway.settings import Settings as GatewaySettings
    from services.matcher.app import MatcherSettings
    from services.notifier.settings import Settings as NotifierSettings

    models = (MatcherSettings, NotifierSettings, GatewaySettings, ExplainerSettings)
    known = {"LANG", *(name.removeprefix(PREFIX) for name in SETTINGS_OF_DEPLOY), *(field.upper() for model in models for field in model.model_fields)}
    said = []
    for name in names:
        bare = name.removeprefix(PREFIX)
        if bare not in known and (meant := get_close_matches(bare, known, n=1, cutoff=_LIKENESS_MIN)):
            said.append(both(f"没有环境变量 {name}，是不是 {PREFIX}{meant[0]}？", f"no setting is called {name}: was {PREFIX}{meant[0]} meant?"))
    return said
