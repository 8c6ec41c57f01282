"""The OCR interface of Mistral: files, and a document as pages of Markdown (`docs/frontdoors.md`)."""
