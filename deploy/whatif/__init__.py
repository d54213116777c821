"""What another policy would have done: a month of events decided again by the core under several policies, side by side. `simulate` comes in here.

The published generator is here too, because `benchmarks.quality` and `simulate` measure on the same streams and the image has no benchmarks.
"""
