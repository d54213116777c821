"""How good the matches are: seeded streams of wishes and offers, our core beside greedy matching, both against the best that hindsight could do.

Everything runs in memory and in event time; no broker, no database. `python -m benchmarks.quality` is the command, `docs/quality.md` says how to read it.
"""
