"""Signed tokens that say who is asking, and the published keys that prove them."""
