"""The console script `gnosis-ocr`: says what to install where the wheel was installed without its extras."""

import sys


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code: 2 where its packages are missing."""
    try:
        from services.local import __main__ as command
    except ModuleNotFoundError as error:
        print(
            f"gnosis-ocr: the package {error.name} is missing. Install the extra: pip install 'gnosis-ocr[local]'.",
            file=sys.stderr,
        )
        return 2
    return command.main(arguments)
