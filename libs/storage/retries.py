"""Retries of calls to Cloud Storage, and the translation of its client's errors into the storage's."""

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import requests
import urllib3
from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from libs.storage.errors import NotFound, PreconditionFailed, TooFast, Unavailable

#: Seconds to connect, and to wait for the next bytes of an answer. Chosen: a lease lasts 60 s and is renewed every 15,
#: so a renewal that meets a dead connection has to end its second attempt before the lease expires.
TIMEOUT = (5.0, 15.0)
#: Seconds from the first attempt after which a call fails. Chosen: as for `TIMEOUT`.
PATIENCE_SECONDS = 30.0
#: Seconds. The bound of the pauses begins with the first and doubles up to the second; each pause is random below it.
FIRST_PAUSE_SECONDS = 0.3
LONGEST_PAUSE_SECONDS = 4.0

_BUSY = 429
_PASSING = {408, 500, 502, 503, 504}
# Faults below HTTP: the request may or may not have been carried out.
_BROKEN: tuple[type[Exception], ...] = (
    ConnectionError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    http.client.HTTPException,
    urllib3.exceptions.HTTPError,
)
_DENIED = "grant the service account the role Storage Object User on the bucket."


class Doubt:
    """Whether some attempt of a call ended without an answer, so that it may have been carried out all the same."""

    def __init__(self) -> None:
        #: Whether there was such an attempt.
        self.is_real = False

    def note(self, error: Exception) -> None:
        """An attempt failed and is repeated. Only after 429 is it certain that nothing was done."""
        if _status(error) != _BUSY:
            self.is_real = True


def patient(doubt: Doubt | None = None) -> Retry:
    """Retries faults that may pass, and 429: for calls that the caller does not repeat."""
    return _retry(lambda error: is_passing(error) or _status(error) == _BUSY, doubt)


def paced(doubt: Doubt) -> Retry:
    """Retries faults that may pass, but not 429: the caller repeats the write, with newer content if there is any."""
    return _retry(is_passing, doubt)


def is_passing(error: Exception) -> bool:
    """Whether the same request may succeed in a moment."""
    if isinstance(error, auth.TransportError):
        # It wraps the fault of the request for a token.
        return not error.args or not isinstance(error.args[0], Exception) or is_passing(error.args[0])
    return isinstance(error, _BROKEN) or _status(error) in _PASSING


@contextmanager
def translated(path: str, *, creating: bool = False) -> Iterator[None]:
    """Translate the client's errors into the storage's; unknown ones pass through.

    `creating` is for calls that need no object: a 404 then means that there is no bucket.
    """
    try:
        yield
    except api.RetryError as error:
        cause = error.cause or error
        kind = TooFast if _status(cause) == _BUSY else Unavailable
        raise kind(path, f"{_fault(cause)}, for {PATIENCE_SECONDS:.0f} s") from error
    except auth.GoogleAuthError as error:
        raise Unavailable(path, f"no access token ({type(error).__name__}): check the service account") from error
    except DataCorruption as error:
        raise Unavailable(path, "what arrived does not match its checksum") from error
    except Exception as error:
        match _status(error):
            case 404 if creating:
                names = "GCS_BUCKET_NAME, for models MODEL_BUCKET_NAME"
                raise Unavailable(path, f"there is no such bucket; create it or correct its name ({names})") from error
            case 404:
                raise NotFound(path) from error
            case 412:
                raise PreconditionFailed(path, "another writer was faster") from error
            case 429:
                raise TooFast(path) from error
            case 401 | 403:
                raise Unavailable(path, f"{_fault(error)}: {_DENIED}") from error
        if is_passing(error):
            raise Unavailable(path, _fault(error)) from error
        raise


def _retry(predicate: Callable[[Exception], bool], doubt: Doubt | None) -> Retry:
    return Retry(
        predicate=predicate,
        initial=FIRST_PAUSE_SECONDS,
        maximum=LONGEST_PAUSE_SECONDS,
        multiplier=2.0,
        timeout=PATIENCE_SECONDS,
        on_error=doubt.note if doubt else None,
    )


def _fault(error: BaseException) -> str:
    """For messages, instead of the error's own text, which contains the address; that of an upload is a secret."""
    status = _status(error)
    return f"Cloud Storage answers {status}" if status else f"the connection breaks ({type(error).__name__})"


def _status(error: BaseException) -> int | None:
    if isinstance(error, InvalidResponse):
        return int(error.response.status_code)
    return int(error.code) if isinstance(error, api.GoogleAPICallError) and error.code is not None else None
