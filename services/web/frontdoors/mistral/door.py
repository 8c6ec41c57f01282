"""The door for Mistral's clients, and for those that speak to LiteLLM's proxy."""

from starlette.routing import Route

from services.web.frontdoors.door import Door
from services.web.frontdoors.mistral import files, ocr

DOOR = Door(
    name="mistral",
    routes=(
        Route("/v1/ocr", ocr.ocr, methods=["POST"]),
        Route("/v1/files", files.upload, methods=["POST"]),
        Route("/v1/files", files.listing),
        Route("/v1/files/{file_id}", files.described),
        Route("/v1/files/{file_id}", files.delete, methods=["DELETE"]),
        Route("/v1/files/{file_id}/url", files.address),
        Route("/v1/files/{file_id}/content", files.content),
    ),
)
