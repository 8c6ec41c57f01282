"""Settings of the launcher."""

from typing import Annotated

import msgspec

from libs.config import ConfigError, Settings

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class LocalConfig(Settings, frozen=True, kw_only=True):
    """Each field is the environment variable of the same name in capitals; `.env.example` describes them."""

    web_port: Port = 7799
    worker_port: Port = 7800
    gnosis_url: str = ""
    gnosis_api_key: str = ""
    gnosis_state: str = ""
    liveness_seconds: Annotated[float, msgspec.Meta(ge=0)] = 30.0

    @property
    def base_url(self) -> str:
        """Where a running Gnosis is looked for: this machine's, unless `GNOSIS_URL` says otherwise."""
        return (self.gnosis_url or f"http://127.0.0.1:{self.web_port}").rstrip("/")

    def check(self) -> None:
        """Raise `ConfigError` for settings that do not go together."""
        if self.web_port == self.worker_port:
            raise ConfigError(f"WEB_PORT and WORKER_PORT are both {self.web_port}: give one of them another number.")
        if self.gnosis_url and not self.gnosis_url.startswith(("http://", "https://")):
            raise ConfigError(f"GNOSIS_URL={self.gnosis_url!r}: must begin with http:// or https://.")
