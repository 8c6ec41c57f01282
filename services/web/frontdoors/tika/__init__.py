"""The interface of Apache Tika (requirement R83)."""
