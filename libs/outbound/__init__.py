"""Requests to addresses that users name: which are allowed, and a client that connects to no other."""
