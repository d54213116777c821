"""`python -m benchmarks.sealed`: the notifier beside the matcher with the vault open, so that everybody who is told is looked up.

Each look unseals what a notice needs, and is in the audit.

Before each pass everyone whom the events name is put into the vault, which is not measured. As in `benchmarks.notifier` otherwise: the matcher alone and then
the notifiers alone; beside that, both at once on the same backlog; and how long a proposal takes at a fixed pace.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import orjson
import typer

from benchmarks import notifier, throughput
from benchmarks.load import areas
from benchmarks.measures import Verdict
from benchmarks.rig import Rig
from deploy.day_people import Sample, put_all
from deploy.stack import VAULT_ROLE
from deploy.vault_keys import key_file, make_key_file
from services.vault.keyfile import KeyFile
from services.vault.vault import Vault


def _people_of(stream: throughput.Stream) -> list[Sample]:
    found: dict[str, str] = {}
    for column, records in (("volunteer_ref", stream.offers), ("resident_ref", stream.wishes)):
        for one in records:
            data = orjson.loads(one.value)
            found[data[column]] = data["area"]
    return _samples(found.items())


def _people_of_proposals(number: int, area_names: tuple[str, ...]) -> list[Sample]:
    return _samples((f"{party}-{index}", area_names[index % len(area_names)]) for party in ("resident", "volunteer") for index in range(number))


def _samples(people: Iterable[tuple[str, str]]) -> list[Sample]:
    return [Sample(ref, area, minor=False, contact=_contact(number)) for number, (ref, area) in enumerate(people)]


def _contact(number: int) -> dict[str, Any]:
    door = {"compound": "示例小区", "building": "1栋", "door": "示例门牌"}
    return {"name": f"示例{number}", "phone": f"000-0000-{number:06}", "language": "zh-CN", **door}


class _Filled:
    """A vault that these people are put into, and the settings that open it for the notifiers."""

    def __init__(self, rig: Rig, keys: KeyFile, people: Sequence[Sample]) -> None:
        self._rig, self._keys, self._people = rig, keys, people

    async def __call__(self) -> Mapping[str, str]:
        dsn = self._rig.dsn(VAULT_ROLE)
        vault = await Vault.connect(dsn, self._keys)
        try:
            await put_all(vault, self._people)
        finally:
            await vault.close()
        return {"LASTMETRE_VAULT_DATABASE": dsn, "LASTMETRE_VAULT_KEYS": str(self._keys.path)}


def _print(what: str, found: notifier.Pass) -> None:
    rates = f"{found.proposed.per_second:,.0f} proposed/s, {found.confirmed.per_second:,.0f} confirmed/s"
    spent = "" if found.confirmed.cpu_us is None else f", {found.confirmed.cpu_us:,.0f} µs a match"
    print(f"{what}, notifiers: {found.notifiers}, {rates}{spent}")
    _judge(Verdict(f"confirmed ÷ proposed with the vault open, {what}, notifiers: {found.notifiers}", found.ratio, at_least=1))


def _judge(verdict: Verdict) -> None:
    print(f"verdict: {verdict.name}: {verdict.value:.2f}, {'met' if verdict.met else 'missed'}")


async def _run(sizes: notifier.Sizes, seed: int) -> None:
    stream = throughput.Stream.of(throughput.Sizes(offers=sizes.offers, wishes=sizes.wishes, areas=sizes.areas), seed)
    async with Rig() as rig:
        make_key_file(rig.state)
        keys = key_file(rig.state)
        fill = _Filled(rig, keys, _people_of(stream))
        paced = _Filled(rig, keys, _people_of_proposals(sizes.rate * (sizes.warm_seconds + sizes.seconds), areas(sizes.areas)))
        for number in range(1, sizes.rounds + 1):
            for notifiers in sorted({1, sizes.notifiers}, reverse=True):
                _print("one after the other", await notifier.one_pass(rig, stream, number, notifiers, fill))
            _print("both at once", await notifier.beside(rig, stream, number, sizes.notifiers, fill))
            told = await notifier.latency(rig, sizes, paced)
            print(
                f"{sizes.rate} a second: p50 {told.p50:.1f} ms, p99 {told.p99:.1f} ms, longest {told.max:.1f} ms, generator at most {told.late_ms:.1f} ms late"
            )
            _judge(Verdict(f"event to both notices at {sizes.rate} matches a second with the vault open, p99, ms", told.p99, at_most=100))


def main(
    offers: Annotated[int, typer.Option(min=1)] = 3000,
    wishes: Annotated[int, typer.Option(min=10)] = 6000,
    rounds: Annotated[int, typer.Option(min=1)] = 1,
    seconds: Annotated[int, typer.Option(min=1)] = 10,
    seed: Annotated[int, typer.Option()] = 7,
) -> None:
    """Print a line and a verdict for as many notifiers as `up` starts, for one, for both services at once, and for the time that a proposal takes."""
    asyncio.run(_run(notifier.Sizes(offers=offers, wishes=wishes, rounds=rounds, seconds=seconds), seed))


if __name__ == "__main__":
    typer.run(main)
