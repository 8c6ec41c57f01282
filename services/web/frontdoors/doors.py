"""All doors, and those that `FRONT_DOORS` opens."""

from libs.config import ConfigError
from services.web.frontdoors import openwebui
from services.web.frontdoors.azure.door import DOOR as AZURE
from services.web.frontdoors.docling.door import DOOR as DOCLING
from services.web.frontdoors.door import Door
from services.web.frontdoors.marker.door import DOOR as MARKER
from services.web.frontdoors.mcp.door import DOOR as MCP
from services.web.frontdoors.mineru.door import DOOR as MINERU
from services.web.frontdoors.mistral.door import DOOR as MISTRAL
from services.web.frontdoors.paddlex.door import DOOR as PADDLEX
from services.web.frontdoors.tika.door import DOOR as TIKA
from services.web.frontdoors.unstructured.door import DOOR as UNSTRUCTURED

DOORS: tuple[Door, ...] = (MISTRAL, AZURE, DOCLING, openwebui.DOOR, UNSTRUCTURED, MCP, MINERU, TIKA, PADDLEX, MARKER)

#: The values of `FRONT_DOORS` for every door and for none.
ALL, NONE = "all", "none"


def open_doors(text: str) -> tuple[Door, ...]:
    """The doors that the setting names, separated by commas. Raises `ConfigError` for a name that is none."""
    names = {name.strip().lower() for name in text.split(",") if name.strip()}
    if names == {ALL}:
        return DOORS
    if names == {NONE}:
        return ()
    known = {door.name: door for door in DOORS}
    if unknown := sorted(names - known.keys()):
        raise ConfigError(
            f"FRONT_DOORS={text!r}: there is no door {unknown[0]!r}. "
            f"Write {ALL}, {NONE}, or names of these, separated by commas: {', '.join(known)}."
        )
    return tuple(door for door in DOORS if door.name in names)
