"""The interface of docling-serve (requirement R83)."""
