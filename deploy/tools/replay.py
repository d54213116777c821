"""`replay`: the running system's journal decided again by the core alone, and held against what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from deploy.going import Going
from deploy.tools.target import Target
from deploy.tools.wording import Lang, join
from services.matcher.replay import Difference, Replay, from_database
from services.runtime import collect_rarely

# The planner's guess does for the line that says how far it has come.
_ROWS: Final = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'matching.journal'::regclass"


async def replay(target: Target, console: Console, lang: Lang) -> bool:
    """Decide the journal again; whether every decision came out the same, byte for byte. Differences are told as they are found, and not kept.

    Raises:
        Trouble: nothing runs.
    """
    again, different = Replay(target.policies()), 0
    async with target.database("matcher") as connection:
        rows = await connection.fetchval(_ROWS)
        with Going("重新决定日志", "deciding the journal again", rows if rows > 0 else None) as going:

            def tell(found: Sequence[Difference]) -> int:
                for difference in found:
                    going.wipe()
                    console.print(Text(str(difference)))
                return len(found)

            collect_rarely()
            async for entry in from_database(connection):
                different += tell(again.again(entry))
                going.step()
            different += tell(again.unfounded())
    said = (f"重新决定 {again.decided} 行日志，不同 {different} 处", f"{again.decided} lines of the journal decided again, {different} differences")
    console.print(Text(join(lang, said)))
    if different:
        why = (
            "若是按另一份规则决定的（如演示日用 config/sample-day.toml），请用 LASTMETRE_POLICY 指定它再核对；升级之前决定的各行可以不同，不是故障",
            "Where another policy decided it (a sample day: config/sample-day.toml), name that in LASTMETRE_POLICY; lines from before an upgrade may differ",
        )
        console.print(Text(join(lang, why)))
    return not different
