"""Who somebody is, proven: local accounts, sessions, an OpenID provider, keys and tokens; and the record of what they did with it."""
