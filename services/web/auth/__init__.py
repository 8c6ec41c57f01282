"""Identity of the user behind a request (R40): a signed token, an API key or, in local mode, a header."""

from services.web.auth.identity import get_user_from_request
from services.web.auth.user import User

__all__ = ["User", "get_user_from_request"]
