"""`replay`: the running system's journal decided again by the core alone, and held against what was decided."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Final

from rich.console import Console
from rich.text import Text

from deploy.tools.target import Target
from deploy.tools.wording import Lang, join
from deploy.words import Trouble

_MODULE: Final = "services.matcher.replay"


async def replay(target: Target, console: Console, lang: Lang) -> bool:
    """Decide the journal again; whether every decision came out the same, byte for byte.

    Raises:
        Trouble: nothing runs, or this version cannot replay.
    """
    if importlib.util.find_spec(_MODULE) is None:
        raise Trouble("此版本不含重放功能。", "This version has no replay.")
    async with target.database("matcher") as connection:
        report = await importlib.import_module(_MODULE).replay(connection)
    said = (f"重新决定 {report.decided} 行日志", f"{report.decided} lines of the journal decided again")
    console.print(Text(join(lang, said)))
    return True
