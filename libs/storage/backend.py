"""Opening the store: a folder of this machine, or a bucket in the cloud."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from libs.config import ConfigError
from libs.storage.local import LocalStore
from libs.storage.store import ObjectStore

if TYPE_CHECKING:
    from libs.storage.gcs import GcsStore


@asynccontextmanager
async def open_store(
    *, in_cloud: bool, folder: Path, bucket: str, reserve_bytes: int = 0
) -> AsyncIterator[ObjectStore]:
    """The store below `folder`, or with `in_cloud` in `bucket`, until the block ends. Raises `ConfigError`.

    `reserve_bytes`: see `LocalStore`.
    """
    if not in_cloud:
        local = LocalStore(folder, reserve_bytes=reserve_bytes)
        await local.clear_temporary()
        yield local
        return
    async with open_bucket(bucket, wanted_by="RUNNING_IN_CLOUD=true") as store:
        yield store


@asynccontextmanager
async def open_bucket(name: str, *, wanted_by: str) -> AsyncIterator["GcsStore"]:
    """The store in the bucket `name`, until the block ends.

    Raises `ConfigError`, whose message begins with `wanted_by`: the setting that asks for a bucket.
    """
    # Imported here, so that a machine that runs locally needs none of Google's packages.
    try:
        from google.auth.exceptions import DefaultCredentialsError

        from libs.storage.gcs import GcsStore
    except ImportError as error:
        raise ConfigError(
            f"{wanted_by} needs the package {error.name}: install gnosis-ocr with the extra [gcp]."
        ) from error
    try:
        store = GcsStore(name)
    except (DefaultCredentialsError, OSError) as error:
        raise ConfigError(
            f"{wanted_by}, but there are no Google credentials with a project here. Run the service as a "
            "service account, or try `gcloud auth application-default login` and set GOOGLE_CLOUD_PROJECT."
        ) from error
    try:
        yield store
    finally:
        store.close()
