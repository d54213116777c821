"""The notifier: tells both sides of a match, and says on `confirmations` that they know."""
