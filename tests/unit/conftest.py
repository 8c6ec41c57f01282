"""What holds for every unit test."""

from hypothesis import settings

# Hypothesis fails an example that takes longer than 200 ms, which on a busy machine says nothing about the code.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
