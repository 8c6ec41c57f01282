"""The extraction task: an upload becomes a plan and page images. `extractor` handles it, `extraction` is one call."""
