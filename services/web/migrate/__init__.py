"""Sessions of the first version's layout as jobs (R63)."""
