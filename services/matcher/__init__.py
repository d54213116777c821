"""Pairs wishes with offers: a Faust worker around a pure core, with its truth in PostgreSQL.

Read it in this order: `agents` (what Kafka brings), `matcher` (one transaction), `core/decide` (what follows), `outbox` (what goes out).
"""
