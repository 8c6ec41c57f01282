"""An engine that needs the model of the cache, and returns its size: `OCR_ENGINE=tests.modelled:create`."""

import os
import sys
from collections.abc import AsyncIterator

from services.worker.engines.context import EngineContext, ModelFiles
from services.worker.engines.engine import EngineInfo, EngineUnavailable, Finish, PageFailure, PageImage, PageText


def create(*, threads: int, context: EngineContext) -> "ModelledEngine":
    """The engine, for the context given."""
    return ModelledEngine(context)


class ModelledEngine:
    """Loads when the model is there."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self._files: ModelFiles | None = None

    async def load(self) -> None:
        """Wait for the model; refuse where the hub's library could go online in this process."""
        assert self._context.model is not None
        self._files = await self._context.model()
        if "huggingface_hub" in sys.modules or os.environ.get("HF_HUB_OFFLINE") != "1":
            raise EngineUnavailable("The worker itself could go online.")

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """The size of the weights, on every page."""
        assert self._files is not None
        size = sum(file.stat().st_size for file in self._files.folder.glob("*.safetensors"))
        async for page in pages:
            yield PageText(page_no=page.page_no, markdown=f"{size} bytes", finish=Finish.STOP, seconds=0.1)

    def info(self) -> EngineInfo:
        """By the model."""
        return EngineInfo(name="modelled", revision=self._files.revision if self._files else "?", device="none")
