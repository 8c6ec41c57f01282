"""The package `markitdown` with Azure's interface: BASE FILE."""

import json
import sys

from azure.core.credentials import AzureKeyCredential
from markitdown import MarkItDown

BASE, FILE = sys.argv[1:]
converter = MarkItDown(docintel_endpoint=BASE, docintel_credential=AzureKeyCredential("any-text"))
print(json.dumps({"markdown": converter.convert(FILE).markdown}))
