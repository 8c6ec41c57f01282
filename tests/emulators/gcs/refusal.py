"""Errors as Cloud Storage words them."""

from typing import Any

from starlette.responses import JSONResponse, Response


class Refusal(Exception):
    """An answer that is an error: status, reason, message, and where in the request the fault lies."""

    def __init__(self, status: int, reason: str, message: str, **where: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.where = where

    def answer(self, *, media: bool = False) -> Response:
        """The JSON error document; for content a bare line, as the real service sends there."""
        if self.status == 304:
            return Response(status_code=304)
        if media:
            return Response(self.message, self.status, media_type="text/html")
        fault: dict[str, Any] = {"message": self.message, "domain": "global", "reason": self.reason, **self.where}
        return JSONResponse(
            {"error": {"code": self.status, "message": self.message, "errors": [fault]}}, status_code=self.status
        )


def no_object(bucket: str, name: str) -> Refusal:
    """404."""
    return Refusal(404, "notFound", f"No such object: {bucket}/{name}")


def no_bucket() -> Refusal:
    """404."""
    return Refusal(404, "notFound", "The specified bucket does not exist.")


def condition_not_met() -> Refusal:
    """412."""
    message = "At least one of the pre-conditions you specified did not hold."
    return Refusal(412, "conditionNotMet", message, locationType="header", location="If-Match")


def not_modified() -> Refusal:
    """304."""
    return Refusal(304, "notModified", "")


def too_fast(bucket: str, name: str) -> Refusal:
    """429."""
    return Refusal(
        429,
        "rateLimitExceeded",
        f"The object {bucket}/{name} exceeded the rate limit for object mutation operations (create, update, and "
        "delete). Please reduce your request rate. See https://cloud.google.com/storage/docs/gcs429.",
        domain="usageLimits",
    )


def invalid(message: str, **where: str) -> Refusal:
    """400."""
    return Refusal(400, "invalid", message, **where)


def unavailable() -> Refusal:
    """503."""
    return Refusal(503, "backendError", "We encountered an internal error. Please try again.")
