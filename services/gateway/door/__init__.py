"""The door for other systems: events in over HTTP, events out to whoever asks or subscribes, and the keys that open it."""
