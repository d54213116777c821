"""Hypothesis judges what is right, not how fast a busy machine is."""

from hypothesis import HealthCheck, settings

settings.register_profile("core", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100)
settings.load_profile("core")
