"""The prompt that a vision model gets with each page (requirement R50), unless OCR_PROMPT replaces it."""

PROMPT = (
    "Write down all the text on this page as Markdown, in the order in which a person would read it. "
    "Write tables as HTML and equations as LaTeX. "
    "For each picture, write its caption between <img> and </img>, or a short description where it has no caption. "
    "Write watermarks between <watermark> and </watermark>, and page numbers between <page_number> and </page_number>. "
    "Use ☐ for an empty check box and ☑ for a ticked one. "
    "Write nothing that is not on the page."
)
