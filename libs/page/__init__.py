"""What stands on a page, and its renderings (requirement R65)."""
