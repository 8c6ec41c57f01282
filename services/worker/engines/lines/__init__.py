"""Engines that recognise lines of text: from lines to a page in reading order, as Markdown."""
