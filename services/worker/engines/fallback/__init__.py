"""One page, read by another engine in a process that can be killed."""
