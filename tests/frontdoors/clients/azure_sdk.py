"""The package `azure-ai-documentintelligence`, called as paperless-ngx and as Open WebUI call it: BASE FILE OUT."""

import json
import sys
from pathlib import Path

from azure.ai.documentintelligence import DocumentIntelligenceClient
from azure.ai.documentintelligence.models import AnalyzeDocumentRequest, AnalyzeOutputOption, DocumentContentFormat
from azure.core.credentials import AzureKeyCredential

BASE, FILE, OUT = sys.argv[1:]

client = DocumentIntelligenceClient(endpoint=BASE, credential=AzureKeyCredential("any-text"))
poller = client.begin_analyze_document(
    model_id="prebuilt-read",
    body=AnalyzeDocumentRequest(bytes_source=Path(FILE).read_bytes()),
    output_content_format=DocumentContentFormat.TEXT,
    output=[AnalyzeOutputOption.PDF],
    content_type="application/json",
)
poller.wait()
result_id = poller.details["operation_id"]
text = poller.result()
pdf = client.get_analyze_result_pdf(model_id="prebuilt-read", result_id=result_id)
Path(OUT).write_bytes(b"".join(pdf))
with open(FILE, "rb") as file:  # noqa: PTH123  # as Open WebUI does
    layout = client.begin_analyze_document(
        "prebuilt-layout", body=file, content_type="application/octet-stream", output_content_format="markdown"
    ).result()
client.delete_analyze_result(model_id="prebuilt-read", result_id=result_id)
print(
    json.dumps(
        {
            "content": text.content,
            "pages": [page.page_number for page in text.pages],
            "lines": [line.content for page in text.pages for line in page.lines or []],
            "words": [word.content for page in text.pages for word in page.words or []],
            "places": all(len(word.polygon or []) == 8 for page in text.pages for word in page.words or []),
            "unit": text.pages[0].unit,
            "markdown": layout.content,
            "paragraphs": [paragraph.content for paragraph in layout.paragraphs or []],
        }
    )
)
