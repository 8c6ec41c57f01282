"""The package `docling-client`: BASE FILE. Its documents are those of `docling-core`."""

import json
import sys

from docling.service_client import DoclingServiceClient

BASE, FILE = sys.argv[1:]

# Live updates are refused, and it goes on by polling.
with DoclingServiceClient(BASE, api_key="any-text") as client:
    result = client.convert(FILE)
    healthy = client.health().status
with DoclingServiceClient(BASE, api_key="any-text", status_watcher="polling") as client:
    last = max(result.document.pages)
    second = client.convert(FILE, page_range=(last, last))
document = result.document
print(
    json.dumps(
        {
            "status": result.status,
            "markdown": document.export_to_markdown(),
            "pages": sorted(document.pages),
            "places": [
                [item.prov[0].page_no, item.prov[0].bbox.coord_origin.value] for item in document.texts if item.prov
            ],
            "errors": [[error.page_no, error.error_message] for error in result.errors],
            "second": second.document.export_to_markdown(),
            "second_pages": sorted(second.document.pages),
            "healthy": healthy,
        }
    )
)
