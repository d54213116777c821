"""Every point at which the notifier can die, fail or be slow, one by one: before and after each step, each of kill, error and delay; nothing lost, nothing doubled."""
