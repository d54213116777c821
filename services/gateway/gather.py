"""Many questions of one kind in the same instant: a few are asked at once, and each that follows takes with it all that waited meanwhile.

Whoever comes alone is asked for at once. Two hundred taps in one second, each asked for alone, would be two hundred messages to PostgreSQL and as many back.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Gather(Generic[Q, A]):
    """`ask` answers several questions, in their order; `at_once`: how many calls of it run at a time; `most`: how many questions one call takes."""

    def __init__(self, ask: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], *, at_once: int, most: int) -> None:
        self._ask = ask
        self._at_once = at_once
        self._most = most
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._asking: set[asyncio.Task[None]] = set()

    async def __call__(self, question: Q) -> A:
        """The answer to one question.

        Raises:
            Exception: what `ask` raised; all who were asked for together hear of it.
        """
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if len(self._asking) < self._at_once:
            task = asyncio.create_task(self._work_off())
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return await answer

    async def _work_off(self) -> None:
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            taken = [one for one in taken if not one[1].done()]  # who has gone away meanwhile
            if not taken:
                continue
            try:
                answers = await self._ask([question for question, _ in taken])
                for (_, answer), given in zip(taken, answers, strict=True):
                    if not answer.done():
                        answer.set_result(given)
            except Exception as fault:  # noqa: BLE001 - it is raised where somebody waits
                for _, answer in taken:
                    if not answer.done():
                        answer.set_exception(fault)
            finally:
                for _, answer in taken:
                    answer.cancel()  # where this task itself was ended: nobody waits for ever
