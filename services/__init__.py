"""The services: one package each, and what all of them share."""
