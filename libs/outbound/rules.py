"""Which addresses a setting allows. Pure: what a host's name resolves to is checked where it is called."""

import re

import httpx
import msgspec

from libs.config import ConfigError
from libs.outbound.address import Standing

#: Characters of an address at most. Chosen: what servers commonly take of a request's first line.
MAX_URL = 2048

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
# Browsers, servers and resolvers disagree on these, so one of them may be shown another address than it calls.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")


class Refused(ValueError):
    """The address is not allowed; the message has the reason, for the user who named it."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a URL names, where the rules allow it."""

    #: A name, or an address without brackets.
    host: str
    port: int
    #: The operator has named this origin, so it may be in a private network.
    named: bool

    def admits(self, standing: Standing) -> bool:
        """Whether the host may be called at an address of this standing."""
        return standing is Standing.PUBLIC or (self.named and standing is Standing.PRIVATE)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What a setting such as `WEBHOOK_HOSTS` allows.

    Its value is a list with commas. `*` is every host on the internet, `example.com` and `*.example.com` (all names
    below it) are some, by https on port 443 or the port that is given. An origin, such as `http://n8n.lan:5678`, is
    one that the operator vouches for: exactly this scheme, host and port, in a private network too.
    """

    #: The setting, for messages.
    name: str
    #: Hosts on the internet and their ports; `*` and `*.` as above.
    hosts: tuple[tuple[str, int], ...] = ()
    #: Scheme, host, port.
    origins: tuple[tuple[str, str, int], ...] = ()

    @classmethod
    def parse(cls, name: str, text: str) -> "Rules":
        """The rules of the setting `name`. Raises `ConfigError`."""
        hosts: list[tuple[str, int]] = []
        origins: list[tuple[str, str, int]] = []
        for entry in filter(None, (part.strip().lower() for part in text.split(","))):
            try:
                if "://" in entry:
                    origins.append(_origin(entry))
                else:
                    hosts.append(_host(entry))
            except ValueError as error:
                raise ConfigError(
                    f"{name}={text!r}: {entry!r} is neither a host nor an origin. Name hosts such as example.com, "
                    "*.example.com or *, and origins of your own network such as http://n8n.lan:5678."
                ) from error
        return cls(name=name, hosts=tuple(hosts), origins=tuple(origins))

    @property
    def allow_any(self) -> bool:
        """Whether any address is allowed."""
        return bool(self.hosts or self.origins)

    def target(self, url: str) -> Target:
        """What `url` names. Raises `Refused`."""
        scheme, host, port = _parts(url)
        if (scheme, host, port) in self.origins:
            return Target(host=host, port=port, named=True)
        if scheme == "https" and any(port == allowed and _matches(pattern, host) for pattern, allowed in self.hosts):
            return Target(host=host, port=port, named=False)
        if scheme == "http" and any(_matches(pattern, host) for pattern, _ in self.hosts):
            raise Refused("The address must begin with https://.")
        raise Refused(
            f"This installation does not call {host} on port {port}: its operator allows hosts by {self.name}."
        )


def _parts(url: str) -> tuple[str, str, int]:
    """Scheme, host, port. Raises `Refused` for what is no plain http or https address."""
    if len(url) > MAX_URL:
        raise Refused(f"The address has more than {MAX_URL} characters.")
    if _AMBIGUOUS.search(url):
        raise Refused("The address has spaces, control characters or backslashes: percent-encode them.")
    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode("ascii").lower().strip("[]").removesuffix(".")
    except (httpx.InvalidURL, ValueError, UnicodeError) as error:
        raise Refused("This is not an address.") from error
    if parsed.scheme not in _PORTS:
        raise Refused("The address must begin with https://.")
    if parsed.userinfo:
        raise Refused("The address must not have a user or password in it.")
    if not host or "%" in host:
        raise Refused("The address names no host.")
    return parsed.scheme, host, parsed.port or _PORTS[parsed.scheme]


def _matches(pattern: str, host: str) -> bool:
    return pattern == "*" or pattern == host or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _origin(entry: str) -> tuple[str, str, int]:
    scheme, host, port = _parts(entry)
    if "*" in host or httpx.URL(entry).raw_path != b"/" or any(mark in entry for mark in "?#"):
        raise ValueError(entry)
    return scheme, host, port


def _host(entry: str) -> tuple[str, int]:
    host, colon, port = entry.partition(":")
    if host != "*" and not _HOST.fullmatch(host):
        raise ValueError(entry)
    if colon and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(entry)
    return host, int(port) if colon else _PORTS["https"]
