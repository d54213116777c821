"""The pure core: what to do about one event of one area. No I/O, no clock, no chance, no framework.

Who comes in: `services/matcher/agents.py` with a valid event and the area's clock, and `replay` with the same from a journal.
Read `decide.py` first, then `rules.py` and `ranking.py`; `state.py` is the only place where an area changes.
"""
