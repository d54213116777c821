"""No decision depends on the order of sets, which differs between processes."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
DAY = """
import hashlib, random
from tests import builders as build

chance = random.Random(7)
scene = build.given()
skills = ["haircut", "repair", "reading", "cooking", "cleaning", "driving", "massage", "computers"]
homes = ["c1", "c1/p1", "c1/p1/b1", "c1/p1/b1/u1", "c1/p1/b2/u1", "c2/p1"]
ages = ["adult", "elder", "under_14"]
lines = []
for number in range(700):
    at = number // 2
    who, some = f"o{chance.randrange(60)}", chance.sample(skills, chance.randint(1, 6))
    kind = chance.randrange(10)
    if kind < 3:
        event = build.offer(who, at=at, home=chance.choice(homes), skills=some, capacity=3, windows=[(at, at + 300)], languages=["a", "b"])
    elif kind < 8:
        few = chance.sample(skills, chance.randint(1, 2))
        event = build.wish(f"w{number}", at=at, where=chance.choice(homes), skills=few, wanted=(at, at + 200), minutes=30,
                           helpers=chance.choice([1, 1, 2]), age_band=chance.choice(ages), languages=["b", "c"][: chance.randrange(3)])
    elif kind < 9:
        event = build.offer_suspended(who, at=at)
    else:
        event = build.wish_withdrawn(f"w{chance.randrange(number + 1)}", at=at)
    lines += scene.when(event)
assert sum(line.startswith("proposed") for line in lines) > 100
everything = repr([(one.id, one.type, one.subject, one.data) for one in scene.decisions])
print(len(lines), hashlib.sha256(everything.encode()).hexdigest())
"""


def test_the_same_events_are_decided_alike_under_every_hash_seed() -> None:
    told = set()
    for seed in ("0", "1", "2", "77", "4294967295"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        told.add(subprocess.run([sys.executable, "-c", DAY], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout)
    assert 1 == len(told)
