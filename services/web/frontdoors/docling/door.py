"""The door for the clients of docling-serve."""

from starlette.routing import Route

from services.web.frontdoors.docling import convert, tasks
from services.web.frontdoors.door import Door

DOOR = Door(
    name="docling",
    routes=(
        Route("/v1/convert/file", convert.file, methods=["POST"]),
        Route("/v1/convert/file/async", convert.file_async, methods=["POST"]),
        Route("/v1/convert/source", convert.source, methods=["POST"]),
        Route("/v1/convert/source/async", convert.source_async, methods=["POST"]),
        Route("/v1/status/poll/{job_id}", tasks.poll),
        Route("/v1/result/{job_id}", tasks.result),
    ),
)
