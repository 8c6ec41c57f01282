"""Where the model is, whether it is whole, and how it gets there: `docs/model-cache.md`."""
