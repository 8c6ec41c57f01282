"""Reads one page with another engine: `process` is the worker's end, `child` the program, `protocol` between them."""
