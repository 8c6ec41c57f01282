"""The guard between a generative model and the reader: attempts, loops, the fallback, trust."""
