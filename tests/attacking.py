"""An engine that reads attacks: `OCR_ENGINE=tests.attacking:create`.

A page for each of `PARTS`, on which every attack stands in a block of every kind; then one for each that cannot be
read, with the attacks as the reason.
"""

from collections.abc import AsyncIterator, Iterator

from libs.page.block import Block, BlockKind, Cell, Line, Rect, Source
from services.worker.engines.engine import EngineInfo, Finish, PageFailure, PageImage, PageText
from tests.attacks import PARTS
from tests.scripted import text_of

#: All pages.
PAGES = 2 * len(PARTS)


def create(*, threads: int) -> "AttackingEngine":
    """The engine."""
    return AttackingEngine()


def failing(page_no: int) -> int:
    """The page that fails with the attacks of this one."""
    return page_no + len(PARTS)


class AttackingEngine:
    """Reads the attacks of a part, and in the end a digest of the image, which is another one at another resolution."""

    #: The documents' own text is beside the point.
    sees_every_page = True

    async def load(self) -> None:
        """Nothing to load."""

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """Read the pages one by one."""
        async for page in pages:
            at = page.page_no - 1
            if at >= len(PARTS):
                yield PageFailure(page_no=page.page_no, reason=" ".join(PARTS[at - len(PARTS)]), seconds=0.1)
                continue
            attacks = PARTS[at]
            last = text_of(page.page_no, page.data)
            yield PageText(
                page_no=page.page_no,
                markdown="\n\n".join([*attacks, last]),
                finish=Finish.STOP,
                seconds=0.1,
                source=Source.MODEL,
                blocks=(*_blocks(attacks), Block(kind=BlockKind.PARAGRAPH, text=last)),
            )

    def info(self) -> EngineInfo:
        """A made-up engine."""
        return EngineInfo(name="attacking", revision="1", device="none")


def _blocks(attacks: tuple[str, ...]) -> Iterator[Block]:
    for at, attack in enumerate(attacks):
        top = 20.0 * at
        box: Rect = (10, top, 200, top + 18)
        line = Line(text=attack, box=((10, top), (200, top), (200, top + 18), (10, top + 18)))
        # Between two blocks of Markdown stands one of another source: each is then parsed by itself in every output.
        yield Block(kind=BlockKind.PARAGRAPH, text="Written", box=box)
        yield Block(kind=BlockKind.PARAGRAPH, text=attack, markdown=attack)
        for kind in BlockKind:
            if kind is BlockKind.TABLE:
                cells = (Cell(row=0, column=0, text=attack, header=True, box=box), Cell(row=1, column=0, text=attack))
                yield Block(kind=kind, cells=cells, box=box)
            elif kind is BlockKind.FORMULA:
                yield Block(kind=kind, text=attack, latex=attack.strip("$\n"))
            else:
                yield Block(kind=kind, text=attack, marker=attack, lines=(line,), box=box)
