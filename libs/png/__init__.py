"""The PNGs of pages: what both services read of them."""
