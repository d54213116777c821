"""What people do with a running system at the terminal: `publish`, `watch`, `explain`, `why-not`, `dlq`, `replay`, `simulate`, `ledger`, `attention`.

`deploy.cli` calls :func:`register`. Each command finds the system through :mod:`deploy.tools.target`, speaks Chinese and English
through :mod:`deploy.tools.wording`, and shows what comes from outside only after `clean` has made it harmless to a terminal.
"""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the commands. What they need is imported with them, so that the others start quickly."""
    from deploy.tools import commands, ledger_commands

    commands.register(app)
    ledger_commands.register(app)
