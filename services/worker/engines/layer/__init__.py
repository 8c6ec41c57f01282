"""The document's own text instead of recognition: read from the page image, judged, spot-checked, laid out.

`engine` wraps an engine, `reader` reads one page, `judgement` decides; `letters`, `ink` and `spotcheck` give it
figures, `lines` makes lines of the text.
"""
