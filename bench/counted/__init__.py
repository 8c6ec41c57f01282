"""The services as they ship, except that web counts what it asks of its storage."""
