"""What is known of each family of models: how it is asked for a page, and how its answers become blocks."""
