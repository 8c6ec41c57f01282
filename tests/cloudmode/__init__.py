"""The services in cloud mode, as they ship, but that the emulator's signature is believed in Google's place."""

import os

import msgspec

from libs.idtoken.token import GOOGLE
from services.serving.layers import Layers


def layers() -> Layers:
    """With the keys at `EMULATED_KEYS_URL`."""
    return Layers(google=msgspec.structs.replace(GOOGLE, keys_url=os.environ["EMULATED_KEYS_URL"]))
