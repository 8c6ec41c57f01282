"""The package `tika-client`: BASE FILE."""

import json
import sys
from pathlib import Path

from tika_client import TikaClient

BASE, FILE = sys.argv[1:]

with TikaClient(BASE) as client:
    text = client.tika.as_text.from_file(Path(FILE), "application/pdf")
    html = client.tika.as_html.from_file(Path(FILE), "application/pdf")
    (listed,) = client.rmeta.as_text.from_file(Path(FILE), "application/pdf")
    metadata = client.metadata.from_file(Path(FILE), "application/pdf")
print(
    json.dumps(
        {
            "text": text.content,
            "html": html.content,
            "listed": listed.content,
            "type": metadata.type,
            "pages": metadata.data["xmpTPg:NPages"],
        }
    )
)
