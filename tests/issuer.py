"""An issuer of signed tokens: real keys, published over a real socket."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from libs.idtoken.token import Issuer

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Publisher:
    """Signs with its newest key and serves the public half of those it has; `fetches` counts the requests.

    `answer` (status and body) and `location` are what it serves instead.
    """

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.keys: dict[str, PrivateKey] = {}
        self.fetches = 0
        self.answer: tuple[int, bytes] | None = None
        self.location = ""
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher.fetches += 1
                status, body = publisher.answer or (200, publisher.document())
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if publisher.location:
                    self.send_header("Location", publisher.location)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.rotate()

    @property
    def kid(self) -> str:
        """The id of the key that signs."""
        return next(reversed(self.keys))

    @property
    def key(self) -> PrivateKey:
        """The key that signs."""
        return self.keys[self.kid]

    def rotate(self) -> None:
        """Sign with a new key from now on, and publish no other."""
        self.keys = {f"key-{time.time_ns()}": new_key(self.algorithm)}

    def document(self) -> bytes:
        """The JWK Set."""
        return json.dumps({"keys": [{**public_jwk(key), "kid": kid} for kid, key in self.keys.items()]}).encode()

    def sign(self, claims: Mapping[str, Any] | bytes, **header: Any) -> str:
        """A token with these claims, or with these bytes in their place."""
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        return jwt.PyJWS().encode(payload, self.key, algorithm=self.algorithm, headers={"kid": self.kid, **header})

    def issuer(self, like: Issuer) -> Issuer:
        """The same issuer, but with keys that are here."""
        return msgspec.structs.replace(like, keys_url=self.url)

    def close(self) -> None:
        """Be unreachable."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def publishing(algorithm: str) -> Iterator[Publisher]:
    """A publisher, until the block ends."""
    publisher = Publisher(algorithm)
    try:
        yield publisher
    finally:
        publisher.close()


def new_key(algorithm: str) -> PrivateKey:
    """A private key for the algorithm."""
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_jwk(key: PrivateKey) -> dict[str, Any]:
    """The public half as a JWK."""
    if isinstance(key, rsa.RSAPrivateKey):
        return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "use": "sig", "alg": "RS256"}
    return {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "use": "sig", "alg": "ES256"}
