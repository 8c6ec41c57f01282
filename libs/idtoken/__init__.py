"""Signed tokens that identify a caller, and the published keys that verify them."""
