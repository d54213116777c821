"""The public contract as code: what may travel on the topics, and how it is written and read.

Who comes in: the matcher, the notifier and the gateway (through :mod:`schemas.codec`), `deploy` (through
:mod:`schemas.topics`), and integrators (through the exported JSON Schemas and the AsyncAPI document).
One module a topic holds that topic's event types; nothing in here does I/O.
"""
