"""`python -m tests.cloudmode.web`: the web service."""

import sys

from services.web.__main__ import main
from tests.cloudmode import layers

if __name__ == "__main__":
    sys.exit(main(layers()))
