"""The model on this machine: where it is, whether it is complete, how it is fetched. See `docs/model-cache.md`."""
