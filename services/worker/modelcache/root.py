"""The cache's root (R51): the folder whose `hub` holds models as the hub's own library lays them out."""

from pathlib import Path

from services.worker.modelcache.settings import ModelSettings

OF_THE_USER = Path(".cache") / "huggingface"


def cache_root(settings: ModelSettings, *, in_cloud: bool, storage: Path, home: Path | None) -> Path:
    """The root: a folder that outlives the process, and where a model that is here already would be."""
    if in_cloud:
        return Path(settings.model_cache_path)
    if settings.hf_cache_host_path:
        return Path(settings.hf_cache_host_path).expanduser()
    if home is not None and (home / OF_THE_USER).is_dir():
        return home / OF_THE_USER
    return storage / "cache" / "huggingface"


def root_variable(*, in_cloud: bool) -> str:
    """The setting that moves the root: for messages."""
    return "MODEL_CACHE_PATH" if in_cloud else "HF_CACHE_HOST_PATH"


def home_folder() -> Path | None:
    """The user's home, where there is one."""
    try:
        return Path.home()
    except RuntimeError:
        return None
