"""Planted bugs: each breaks one promise in one place of the matcher, and a test must say so.

`python -m tests.mutants` plants them one after another in copies of the repository and prints which test caught which; `--only NAME` takes one alone.
`catalogue.py` holds them, `run.py` plants them. A mutant whose snippet is not in its file exactly once is stale: bring it in line with the code.
"""
