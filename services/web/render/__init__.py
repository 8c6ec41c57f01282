"""Turns documents into page images, each document in a child process that may crash, hang or lie without harm.

In the service: `document` opens a document and yields its pages; `searchable` makes it a PDF that has their text.
In the child: `child`, the only code that lets a decoder see a document's bytes; the service never imports it.
Between them: `protocol`, what the two send each other and the limits that both hold.
On both sides: `filetype`, what a file is by its first bytes, and `png`, written in the child, checked in the service.
"""
