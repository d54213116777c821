"""One effect a notice: the notifier is killed again and again, in the middle of its work, against gateways that fail in every way, and the gateways count."""
