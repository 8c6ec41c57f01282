"""The loader classes of Open WebUI: BASE FILE."""

import json
import sys

BASE, FILE = sys.argv[1:]
sys.argv[1:] = ["x"]  # the package reads the arguments as its own while it is imported

from open_webui.retrieval.loaders.datalab_marker import DatalabMarkerLoader  # noqa: E402
from open_webui.retrieval.loaders.external_document import ExternalDocumentLoader  # noqa: E402
from open_webui.retrieval.loaders.local import DocumentIntelligenceLoader  # noqa: E402
from open_webui.retrieval.loaders.main import DoclingLoader, TikaLoader  # noqa: E402
from open_webui.retrieval.loaders.mineru import MinerULoader  # noqa: E402
from open_webui.retrieval.loaders.mistral import MistralLoader  # noqa: E402
from open_webui.retrieval.loaders.paddleocr_vl import PaddleOCRVLLoader  # noqa: E402

LOADERS = {
    "external": lambda: ExternalDocumentLoader(FILE, BASE, "any-text", mime_type="application/pdf"),
    "mistral": lambda: MistralLoader(f"{BASE}/v1", "any-text", FILE),
    "mistral in base64": lambda: MistralLoader(f"{BASE}/v1", "any-text", FILE, use_base64=True),
    "azure": lambda: DocumentIntelligenceLoader(FILE, BASE, "any-text"),
    "docling": lambda: DoclingLoader(BASE, "any-text", FILE, "application/pdf"),
    "mineru": lambda: MinerULoader(FILE, "local", BASE),
    "tika 3": lambda: TikaLoader(BASE, FILE, "application/pdf"),
    "tika 4": lambda: TikaLoader(BASE, FILE, "application/pdf", server_version="4"),
    "paddleocr_vl": lambda: PaddleOCRVLLoader(BASE, "any-text", FILE),
    "marker": lambda: DatalabMarkerLoader(FILE, "any-text", f"{BASE}/marker", output_format="markdown"),
}
loaded = {name: load().load() for name, load in LOADERS.items()}
print(
    json.dumps(
        {name: [[one.page_content, one.metadata] for one in documents] for name, documents in loaded.items()},
        default=str,
    )
)
