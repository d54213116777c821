"""A seeded simulator of the matcher's core: small towns, many of them, through everything that can go wrong between two events.

`python -m tests.simulator --seeds 10000` plays random towns; `python -m tests.simulator.children --wishes 1000000` is about minors alone. Read `run.py`
first: a run is a list of steps, each drawn from the seed. `worker.py` carries them out as the shell does, without broker and database; `judge.py` knows
the contract's promises and nothing of the core.
"""
