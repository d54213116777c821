"""Contact data and exact doors, sealed per person: a library, and `services.vault.vault.Vault` is the only way in. Schema `vault`, role `lastmetre_vault`."""
