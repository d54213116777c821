"""Whole lives of wishes, from the offer to the books: a generator of files for `play`, and a judge of what came of them that shares no code with the services.

`python -m tests.lives --lives 5000 --seed 7` plays a file, and the same with repeats and shuffled within each minute, and compares the balances byte for byte.
"""
