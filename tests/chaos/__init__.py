"""Kills, restarts and frozen workers under load, and what must hold afterwards.

`test_chaos.py` is the short form of the test command; `python -m tests.chaos --seed N --kills 20` is the long one.
"""
