"""The command `gnosis-ocr` (`python -m services.local`): Gnosis OCR on one machine."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from libs.config import ConfigError, read
from services.local.config import LocalConfig
from services.local.document import FORMS, OcrArguments, ocr
from services.local.launcher import run
from services.local.terminal import say

_EXIT_CODES = """exit codes:
  0    done (run: ended by Ctrl-C)
  1    run: a service cannot stay up; ocr: not every page could be read
  2    the file, an option or a setting is wrong
  130  ocr: interrupted"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and the environment, do the command, and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = read(LocalConfig, os.environ)
        config.check()
    except ConfigError as error:
        say(str(error))
        return 2
    if options.command == "run":
        return asyncio.run(run(config, os.environ))
    given = OcrArguments(
        file=options.file,
        pages=options.pages,
        dpi=options.dpi,
        ocr=options.ocr,
        form=options.format,
        output=options.output,
    )
    return asyncio.run(ocr(given, config, os.environ))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gnosis-ocr",
        description="Gnosis OCR on this machine.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run both services until Ctrl-C (ports: WEB_PORT 7799, WORKER_PORT 7800)")
    one = commands.add_parser(
        "ocr",
        help="print the text of one PDF or image",
        description="Print the text of one PDF or image, as Markdown by default. Uses the Gnosis at GNOSIS_URL "
        "(http://127.0.0.1:7799) when one runs there, and starts a private one otherwise.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("file", type=Path, help="a PDF or an image")
    one.add_argument("--pages", default="", metavar="LIST", help="pages to read, such as 1-5,8,12- (default: all)")
    one.add_argument("--dpi", type=int, help="resolution at which PDF pages are read (default: 150)")
    one.add_argument(
        "--ocr",
        choices=("auto", "force", "text"),
        default="",
        help="recognise pages only where their own text is not trusted, always, or never (default: auto)",
    )
    one.add_argument(
        "--format",
        choices=FORMS,
        default="md",
        help="Markdown, plain text, HTML, JSON with boxes, an archive of these, or a searchable PDF (default: md)",
    )
    one.add_argument("--output", type=Path, metavar="PATH", help="write there instead of to standard output")
    return parser


if __name__ == "__main__":
    sys.exit(main())
