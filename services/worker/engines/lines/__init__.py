"""Lines of text on a page: detection, recognition, reading order, blocks, Markdown."""
