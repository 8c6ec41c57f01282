"""The interface of PaddleX layout parsing (requirement R83)."""
