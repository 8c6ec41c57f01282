"""The services with the queue of cloud mode and everything else local.

Goes when `RUNNING_IN_CLOUD=true` is admitted and storage, queue and identity can be had together.
"""
