"""No memory of ours on a disk."""

import resource


def keep_memory_to_oneself() -> None:
    """No dump of this process, or of those that it starts, is written to a disk when it crashes: keys and numbers of people lie in its memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
