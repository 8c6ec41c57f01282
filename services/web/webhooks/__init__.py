"""Webhooks: the ends of jobs, told to addresses that users and the operator name."""
