"""Which model, and where it is kept (R51, R55, R61)."""

from typing import Annotated

from msgspec import Meta

from libs.config import Settings

# As the hub names its repositories and their branches, tags and commits; no path that leads out of the cache.
ModelName = Annotated[str, Meta(pattern=r"\A(?!.*(\.\.|--))[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?\Z")]
Revision = Annotated[str, Meta(pattern=r"\A(?!.*\.\.)[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)*\Z")]

CLOUD_BUCKET = "gnosis-ocr-models"


class ModelSettings(Settings, frozen=True, kw_only=True):
    """Each field is the environment variable of the same name in capitals; `.env.example` describes them."""

    model_name: ModelName = "nanonets/Nanonets-OCR-s"
    model_revision: Revision = "main"
    model_cache_path: str = "/cache/huggingface"
    hf_cache_host_path: str = ""
    model_bucket_name: str = ""
    model_offline: bool = False
    hf_hub_offline: bool = False
    hf_endpoint: str = ""
    hf_token: str = ""

    @property
    def offline(self) -> bool:
        """Whether nothing may be fetched, from anywhere."""
        return self.model_offline or self.hf_hub_offline

    def bucket(self, *, in_cloud: bool) -> str:
        """The bucket of models; empty where there is none (R55)."""
        return self.model_bucket_name or (CLOUD_BUCKET if in_cloud else "")
