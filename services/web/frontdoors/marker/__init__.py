"""The interface of Marker (requirement R83)."""
