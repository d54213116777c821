"""Tables that cut nothing off: a reference is for use in the next command, and a run of Chinese has no space to break a line at.

Rich's columns end what does not fit with an ellipsis. From the import of this module on they go on in the next line, also in tables that are not made
here: typer's help.
"""

from __future__ import annotations

from typing import Any, Final

from rich.table import Table

__all__ = ["Table"]
_ADD_ROW: Final = Table.add_row


def _add_row(table: Table, *cells: Any, **how: Any) -> None:
    _ADD_ROW(table, *cells, **how)
    for column in table.columns:
        column.overflow = "fold"


Table.add_row = _add_row  # type: ignore[method-assign, assignment]
