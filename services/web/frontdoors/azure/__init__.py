"""Azure Document Intelligence (requirement R83)."""
