"""Which model, and where its cache is (R51, R55, R61)."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from libs.config import Settings

# As the hub names its repositories and their branches, tags and commits; no path that leads out of the cache. An empty
# revision: see `chosen_revision`.
ModelName = Annotated[str, Meta(pattern=r"\A(?!.*(\.\.|--))[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?\Z")]
Revision = Annotated[str, Meta(pattern=r"\A(?!.*\.\.)([A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)*)?\Z")]

#: The model that is read with where none is named.
DEFAULT_MODEL = "nanonets/Nanonets-OCR-s"
#: The commit of its repository; `make pin` writes it anew.
DEFAULT_REVISION = "3baad182cc87c65a1861f0c30357d3467e978172"
#: The default bucket of models in the cloud (R55).
CLOUD_BUCKET = "gnosis-ocr-models"
#: Where the hub's own library has its cache, in the user's home.
USER_CACHE = Path(".cache") / "huggingface"


class ModelSettings(Settings, frozen=True, kw_only=True):
    """Each field is the environment variable of the same name in capitals; `.env.example` describes them."""

    model_name: ModelName = DEFAULT_MODEL
    model_revision: Revision = ""
    model_cache_path: str = "/cache/huggingface"
    hf_cache_host_path: str = ""
    model_bucket_name: str = ""
    model_offline: bool = False
    hf_hub_offline: bool = False
    hf_endpoint: str = ""
    hf_token: str = ""

    @property
    def offline(self) -> bool:
        """Whether a missing model may not be fetched."""
        return self.model_offline or self.hf_hub_offline

    @property
    def revision(self) -> str:
        """The commit, branch or tag of the model."""
        return chosen_revision(self.model_name, self.model_revision)

    def bucket(self, *, in_cloud: bool) -> str:
        """The bucket of models; empty where there is none (R55)."""
        return self.model_bucket_name or (CLOUD_BUCKET if in_cloud else "")

    def cache_root(self, *, in_cloud: bool, storage: Path, home: Path | None) -> Path:
        """The cache's root (R51), which outlives the process; its folder `hub` is a cache of the hub's own library.

        Outside the cloud that is the library's own cache in `home` where there is one, so that a model of an earlier
        download is found; else a folder in `storage`.
        """
        if in_cloud:
            return Path(self.model_cache_path)
        if self.hf_cache_host_path:
            return Path(self.hf_cache_host_path).expanduser()
        if home is not None and (home / USER_CACHE).is_dir():
            return home / USER_CACHE
        return storage / "cache" / "huggingface"


def chosen_revision(name: str, given: str) -> str:
    """The revision `given`; where it is empty, the pinned one of the default model, and `main` of any other."""
    return given or (DEFAULT_REVISION if name == DEFAULT_MODEL else "main")


def root_variable(*, in_cloud: bool) -> str:
    """The name of the setting that moves the cache's root: for messages."""
    return "MODEL_CACHE_PATH" if in_cloud else "HF_CACHE_HOST_PATH"


def home_folder() -> Path | None:
    """The user's home, where there is one."""
    try:
        return Path.home()
    except RuntimeError:
        return None
