"""People whose names, phones, doors and mail addresses are unique strings, and a search for those strings in every byte that is left on the disk."""
