"""`replay`: the running system's journal decided again by the core alone, and held against what was decided."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from deploy.tools.target import Target
from deploy.tools.wording import Lang, join
from services.matcher.replay import Replay, from_database


async def replay(target: Target, console: Console, lang: Lang) -> bool:
    """Decide the journal again; whether every decision came out the same, byte for byte.

    Raises:
        Trouble: nothing runs.
    """
    again, found = Replay(target.policies()), []
    async with target.database("matcher") as connection:
        async for entry in from_database(connection):
            found.extend(again.again(entry))
    found.extend(again.unfounded())
    for difference in found:
        console.print(Text(str(difference)))
    said = (f"重新决定 {again.decided} 行日志，不同 {len(found)} 处", f"{again.decided} lines of the journal decided again, {len(found)} differences")
    console.print(Text(join(lang, said)))
    if found:
        why = (
            "若是按另一份规则决定的（如演示日用 config/sample-day.toml），请用 LASTMETRE_POLICY 指定它再核对；升级之前决定的各行可以不同，不是故障",
            "Where another policy decided it (a sample day: config/sample-day.toml), name that in LASTMETRE_POLICY; lines from before an upgrade may differ",
        )
        console.print(Text(join(lang, why)))
    return not found
