"""Every point at which the notifier can die, fail or be slow, one by one, before and after each step: nothing is lost, and nothing doubled."""
