"""The packages `unstructured-client`, with and without splitting, and `langchain-unstructured`: BASE FILE."""

import json
import sys
from pathlib import Path

from langchain_unstructured import UnstructuredLoader
from unstructured_client import UnstructuredClient
from unstructured_client.models import operations, shared

BASE, FILE = sys.argv[1:]

client = UnstructuredClient(api_key_auth="any-text", server_url=BASE)


def parted(*, split: bool) -> list[list[object]]:
    """Type, text and page of each element."""
    parameters = shared.PartitionParameters(
        files=shared.Files(content=Path(FILE).read_bytes(), file_name="scan.pdf"),
        strategy=shared.Strategy.HI_RES,
        languages=["eng"],
        split_pdf_page=split,
    )
    found = client.general.partition(request=operations.PartitionRequest(partition_parameters=parameters))
    return [[each["type"], each["text"], each["metadata"]["page_number"]] for each in found.elements or []]


loader = UnstructuredLoader(FILE, partition_via_api=True, url=BASE, api_key="any-text", split_pdf_page=False)
loaded = [[document.page_content, document.metadata.get("page_number")] for document in loader.load()]
print(json.dumps({"whole": parted(split=False), "split": parted(split=True), "langchain": loaded}))
