"""The package `litellm`: BASE FILE."""

import json
import sys
from pathlib import Path

import litellm

BASE, FILE = sys.argv[1:]
document = {"type": "file", "file": Path(FILE)}
with_version = litellm.ocr(
    model="mistral/mistral-ocr-latest", document=document, api_base=f"{BASE}/v1", api_key="any-text"
)
without = litellm.ocr(
    model="mistral/mistral-ocr-latest",
    document=document,
    api_base=BASE,
    api_key="any-text",
    pages=[len(with_version.pages) - 1],
)
azure = litellm.ocr(
    model="azure_ai/doc-intelligence/prebuilt-layout", document=document, api_base=BASE, api_key="any-text"
)
print(
    json.dumps(
        {
            "mistral": [page.markdown for page in with_version.pages],
            "second": [[page.index, page.markdown] for page in without.pages],
            "azure": [page.markdown for page in azure.pages],
        }
    )
)
