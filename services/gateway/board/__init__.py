"""The board: what is going on, from the topics alone. `projection` is pure, `store` has its SQL, `reader` brings both together, `hub` passes on."""
