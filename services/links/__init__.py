"""One-time links: a library for whoever sends them (the notifier) and whoever answers them (the gateway). No service of its own."""
