"""The interface of Unstructured (requirement R83)."""
