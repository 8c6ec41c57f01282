"""The package `mistralai`: BASE FILE [SECONDS [TRIES]]. With SECONDS each of TRIES requests gives up after so many."""

import base64
import json
import sys
from pathlib import Path

from mistralai.client import Mistral

BASE, FILE = sys.argv[1:3]
SECONDS, TRIES = (float(sys.argv[3]), int(sys.argv[4])) if len(sys.argv) > 3 else (0.0, 0)

client = Mistral(api_key="any-text", server_url=BASE)
content = Path(FILE).read_bytes()
address = "data:application/pdf;base64," + base64.b64encode(content).decode()
document = {"type": "document_url", "document_url": address}
given_up = 0
for _ in range(TRIES):
    try:
        client.ocr.process(model="mistral-ocr-latest", document=document, timeout_ms=int(SECONDS * 1000))
    except Exception as error:  # whichever the transport raises
        given_up += "timeout" in type(error).__name__.lower()
inline = client.ocr.process(model="mistral-ocr-latest", document=document)
if TRIES:
    print(json.dumps({"given_up": given_up, "pages": [page.markdown for page in inline.pages]}))
    sys.exit()

file = client.files.upload(file={"file_name": "scan.pdf", "content": content}, purpose="ocr")
signed = client.files.get_signed_url(file_id=file.id)
by_address = client.ocr.process(
    model="mistral-ocr-latest",
    document={"type": "document_url", "document_url": signed.url},
    include_image_base64=True,
    table_format="html",
    confidence_scores_granularity="page",
)
by_id = client.ocr.process(
    model="mistral-ocr-latest", document={"type": "file", "file_id": file.id}, pages=[len(inline.pages) - 1]
)
listed, found = client.files.list(), client.files.retrieve(file_id=file.id)
downloaded = client.files.download(file_id=file.id).read()
deleted = client.files.delete(file_id=file.id)
first = by_address.pages[0]
print(
    json.dumps(
        {
            "inline": [page.markdown for page in inline.pages],
            "by_address": [page.markdown for page in by_address.pages],
            "by_id": [[page.index, page.markdown] for page in by_id.pages],
            "processed": by_address.usage_info.pages_processed,
            "model": by_address.model,
            "width": first.dimensions.width if first.dimensions else None,
            "blocks": [block.type for block in first.blocks or []],
            "confidence": first.confidence_scores.average_page_confidence_score if first.confidence_scores else None,
            "listed": [one.id for one in listed.data] == [file.id] and listed.total == 1,
            "filename": found.filename,
            "downloaded": downloaded == content,
            "deleted": deleted.deleted,
        }
    )
)
