"""All bombs by file name: `python -m tests.bombs.collection FOLDER` writes them there."""

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bombs import disguises, drawings, embedded, pictures, structures
from tests.bombs.bomb import Bomb


def bombs() -> Iterator[Bomb]:
    """Everything that one would open: what is refused at the door is in `disguises.DISGUISED`."""
    for module in (structures, drawings, embedded, disguises):
        for make, expected in module.MAKERS:
            yield Bomb(name=f"{make.__name__}.pdf", make=make, expected=expected)
    for make, expected in pictures.MAKERS:
        yield Bomb(name=make.__name__, make=make, expected=expected)


def write(folder: Path) -> None:
    """Every bomb, every disguise and every document cut short, as files."""
    for bomb in bombs():
        (folder / bomb.name).write_bytes(bomb.make())
    for name, data in disguises.DISGUISED.items():
        (folder / f"disguised_{name.replace(' ', '_')}.pdf").write_bytes(data)
        (folder / f"disguised_{name.replace(' ', '_')}.png").write_bytes(data)
    for name, data in disguises.truncated().items():
        (folder / name).write_bytes(data)
    (folder / "empty.pdf").write_bytes(b"")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
