"""The protocol of servers that speak as OpenAI's does: what is said, how often, how much at once."""
