"""The services as they ship, but for their store: the bucket, beside a local queue and local identities."""

import os

from libs.storage.gcs import GcsStore
from services.serving.layers import Layers


def layers() -> Layers:
    """The bucket that the environment names takes the place of the folder."""
    return Layers(store=lambda local: GcsStore(os.environ["GCS_BUCKET_NAME"]))
