"""The model engine against the machine's limits."""
