"""The interface of MinerU 3 (requirement R83)."""
