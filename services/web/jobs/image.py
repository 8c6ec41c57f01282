"""`GET /api/jobs/{job_id}/pages/{n}/image`: the image of a page, as it is read or made smaller."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from libs.jobstate.job import Job
from libs.jobstate.page import Page, PageStatus
from libs.png.header import BadPng
from libs.storage.errors import NotFound
from services.serving.problem import Problem
from services.web.config import WebConfig
from services.web.jobs.lookup import not_done, own_page
from services.web.jobs.result import stored_bytes
from services.web.service import web

#: Widths of thumbnails in pixels. Chosen: from a column of a list to a page on a large screen; the image itself is
#: there for more.
MIN_WIDTH, MAX_WIDTH = 64, 1600


async def page_image(request: Request) -> Response:
    """`GET /api/jobs/{job_id}/pages/{n}/image`: the page image, with `width` as a WebP that is no wider.

    A thumbnail is made anew each time, since making one takes less time than a bucket takes for an object; the client
    keeps it. Of a page that was drawn at several resolutions it is the image that was drawn last.
    """
    files, job, page_no = await own_page(request)
    width = _width(request.query_params.get("width"))
    page = job.pages[page_no]
    # The record may not show yet that the page was drawn.
    path = files.path(page.image) if page.image else files.page_image_path(page_no, page.options.dpi)
    try:
        stat = await files.store.stat(path)
        headers = _headers(stat.generation, width, page)
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        if width is None:
            headers["Content-Length"] = str(stat.size)
        if request.method == "HEAD":
            described = Response(headers=headers)
            if width is not None:  # not known of a thumbnail before it is made
                del described.headers["Content-Length"]
            return described
        if width is None:  # never whole in memory: many may be sent at the same time
            return StreamingResponse(stored_bytes(files, stat), headers=headers)
        async with web(request).thumbnail_slots:
            stored = await files.store.read(path)
            content = await asyncio.to_thread(_smaller, stored.data, width, web(request).config)
    except NotFound as error:
        raise _no_image(job, page_no) from error
    except BadPng as error:
        raise Problem(
            409,
            "Image damaged",
            "The stored image of this page cannot be read.",
            "DELETE the job and upload the file again.",
        ) from error
    return Response(content, headers=_headers(stored.generation, width, page))


def _headers(generation: int, width: int | None, page: Page) -> dict[str, str]:
    return {
        "Content-Type": "image/png" if width is None else "image/webp",
        "ETag": f'"{generation}"' if width is None else f'"{generation}-{width}"',
        # A stored image does not change. Of a page that was read again it may be another one by now.
        "Cache-Control": "private, max-age=86400" if page.reread is None else "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }


def _smaller(png: bytes, width: int, config: WebConfig) -> bytes:
    # Imports numpy and Pillow, which this process needs for nothing else.
    from services.web.outputs.thumbnail import thumbnail

    return thumbnail(png, width, max_pixels=config.max_pixels, max_side=config.max_side)


def _no_image(job: Job, page_no: int) -> Problem:
    """409: the page has no image yet, or could not be drawn."""
    page = job.pages[page_no]
    if page.status is PageStatus.FAILED:
        return Problem(
            409,
            "No image",
            page.error or "This page could not be drawn.",
            f"POST /api/jobs/{job.job_id}/retry draws and reads it again.",
            page_status=page.status,
        )
    return not_done(job, "This page has no image yet.")


def _width(text: str | None) -> int | None:
    """The width in pixels that is asked for; `None` for the image as it is. Raises `Problem` 422."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not MIN_WIDTH <= int(text) <= MAX_WIDTH:
        raise Problem(
            422,
            "Bad width",
            f"width is a whole number of pixels from {MIN_WIDTH} to {MAX_WIDTH}.",
            "Leave it out for the image as it is.",
        )
    return int(text)
