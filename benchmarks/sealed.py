"""`python -m benchmarks.sealed`: the notifier beside the matcher with the vault open, so that everybody who is told is looked up.

Each look unseals what a notice needs, and is in the audit.

Before each pass everyone whom the events name is put into the vault, which is not measured. As in `benchmarks.notifier` otherwise.
"""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
import typer

from benchmarks import notifier, throughput
from benchmarks.measures import Verdict
from benchmarks.rig import Rig
from deploy.cli import NOTIFIERS
from deploy.day_people import Sample, put_all
from deploy.stack import VAULT_ROLE
from deploy.vault_keys import key_file, make_key_file
from services.vault.vault import Vault


def _people_of(stream: throughput.Stream) -> list[Sample]:
    areas: dict[str, str] = {}
    for column, records in (("volunteer_ref", stream.offers), ("resident_ref", stream.wishes)):
        for one in records:
            data = orjson.loads(one.value)
            areas[data[column]] = data["area"]
    return [Sample(ref, area, minor=False, contact=_contact(number)) for number, (ref, area) in enumerate(areas.items())]


def _contact(number: int) -> dict[str, Any]:
    door = {"compound": "示例小区", "building": "1栋", "door": "示例门牌"}
    return {"name": f"示例{number}", "phone": f"000-0000-{number:06}", "language": "zh-CN", **door}


async def _run(offers: int, wishes: int, seed: int) -> None:
    stream = throughput.Stream.of(throughput.Sizes(offers=offers, wishes=wishes, areas=6), seed)
    people = _people_of(stream)
    async with Rig() as rig:
        make_key_file(rig.state)
        keys = key_file(rig.state)
        for number in sorted({1, NOTIFIERS}, reverse=True):

            async def fill() -> Mapping[str, str]:
                vault = await Vault.connect(rig.dsn(VAULT_ROLE), keys)
                try:
                    await put_all(vault, people)
                finally:
                    await vault.close()
                return {"LASTMETRE_VAULT_DATABASE": rig.dsn(VAULT_ROLE), "LASTMETRE_VAULT_KEYS": str(keys.path)}

            found = await notifier.one_pass(rig, stream, 1, number, fill)
            rates = f"{found.proposed.per_second:,.0f} proposed/s, {found.confirmed.per_second:,.0f} confirmed/s"
            print(f"notifiers: {number}, {rates}, {found.confirmed.cpu_us:,.0f} µs")
            verdict = Verdict(f"confirmed ÷ proposed with the vault open, notifiers: {number}", found.ratio, at_least=1)
            print(f"verdict: {verdict.name}: {verdict.value:.2f}, {'met' if verdict.met else 'missed'}")


def main(
    offers: Annotated[int, typer.Option(min=1)] = 3000,
    wishes: Annotated[int, typer.Option(min=10)] = 6000,
    seed: Annotated[int, typer.Option()] = 7,
) -> None:
    """Print a line and a verdict for as many notifiers as `up` starts, and for one."""
    asyncio.run(_run(offers, wishes, seed))


if __name__ == "__main__":
    typer.run(main)
