"""`python -m services.serving.rotation`: replace the token that the services share, while they run."""

import asyncio
import os
import sys
from pathlib import Path

from libs import internal_token
from libs.config import ConfigError, read, refuse_forgotten_switch
from libs.storage.backend import open_store
from libs.storage.errors import NotFound, PreconditionFailed, StorageError
from services.serving.settings import ServiceSettings


def main() -> int:
    """Rotate the stored token and return the exit code: 0, 1 for a failure, 2 for a wrong setting."""
    try:
        config = read(ServiceSettings, os.environ)
        refuse_forgotten_switch(config.running_in_cloud, config.k_service)
        if config.internal_token:
            raise ConfigError(
                "INTERNAL_TOKEN is set, so the services do not use the token in the storage. "
                "docs/identity.md says how to replace a configured one."
            )
        asyncio.run(_rotate(config))
    except ConfigError as error:
        return _fail(str(error), 2)
    except NotFound:
        return _fail("there is no token to replace yet: start the services, which make one", 1)
    except PreconditionFailed:
        return _fail("the token was changed at this moment by another rotation: run the command again", 1)
    except StorageError as error:
        where = "GCS_BUCKET_NAME" if config.running_in_cloud else "STORAGE_PATH"
        return _fail(f"the storage did not answer ({type(error).__name__}): check {where}, then run it again", 1)
    print("Done: the services use the new token, and none accepts the one before.")
    return 0


async def _rotate(config: ServiceSettings) -> None:
    async with open_store(
        in_cloud=config.running_in_cloud, folder=Path(config.storage_path), bucket=config.gcs_bucket_name
    ) as store:
        print("The new token is written; for some seconds the one before is accepted too.")
        await internal_token.rotate(store)


def _fail(message: str, code: int) -> int:
    print(f"gnosis-ocr rotation: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
