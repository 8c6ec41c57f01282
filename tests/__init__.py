"""Everything that is tested, and what the tests share. `ROOT` is the repository's folder."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
