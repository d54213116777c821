"""Kills of the gateway under load: every 202 is on the topic."""
