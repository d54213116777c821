"""How the suite is shared among the processes of a session (`-n 3`)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import pytest
from xdist.scheduler import LoadFileScheduling

# Folders whose files share servers that are dear to start: one worker takes them all. Everywhere else a worker takes a file.
_ONE_STAGE: Final = ("tests/browser/", "tests/integration/gateway/")
# With no more than these before it, a worker gets its next file (xdist's own number); with fewer than two it waits.
_FEW: Final = 2


class ByStage(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives each worker a file at a time, or a folder whose files share a stage; goes on where a worker has died.

    As xdist has it (3.8, its issues 1323, 1327 and 1378), what a dead worker had done is dealt out once more as work with nothing to do, the test that
    it died of too, and who takes its place waits for a second test to come: the session stands still for good, with the failure untold.
    """

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((folder for folder in _ONE_STAGE if file.startswith(folder)), file)

    def remove_node(self, node: Any) -> str | None:
        """The test that it died of, if it died: counted as done, as it is told as failed."""
        work: dict[str, dict[str, bool]] = self.assigned_work[node]
        fatal = next((test for tests in work.values() for test, done in tests.items() if not done), None)
        if fatal is not None:
            work[self._split_scope(fatal)][fatal] = True
            for scope, tests in reversed(work.items()):
                if not all(tests.values()):
                    self.workqueue[scope] = tests
                    self.workqueue.move_to_end(scope, last=False)
            del self.registered_collections[node]  # until another one has collected in its place, the session is not over
        self.assigned_work.pop(node)
        for other in self.nodes:
            if other in self.registered_collections:  # whoever has not collected yet is given its share when it has
                self._reschedule(other)
        return fatal

    def _assign_work_unit(self, node: Any) -> None:
        """Who has died, and is not known to have, is given its file all the same: it comes back with what else they leave."""
        with suppress(OSError):
            super()._assign_work_unit(node)

    def schedule(self) -> None:
        """Begin, or give work to who has come in a dead worker's place."""
        super().schedule()
        for node in self.nodes:
            while not node.shutting_down and self._pending_of(self.assigned_work[node]) <= _FEW:
                self._reschedule(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByStage:
    """Not xdist's own groups (`--dist loadgroup`): with this pytest they give every test to whoever is free, without a word."""
    return ByStage(config, log)
