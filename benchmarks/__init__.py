"""How fast it is, beside two peers that do the same work: `python -m benchmarks`.

Read it in this order: `load` (the events), `rig` (the servers), `ours` · `skip_locked` · `plain_faust` (who is measured), `throughput` · `latency` ·
`scaling` (what is measured), `report` (what is said about it). Nothing here is a test: numbers are printed, never asserted.
"""
