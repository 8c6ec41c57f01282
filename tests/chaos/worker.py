"""`python -m tests.chaos.worker`: the worker as it ships, with failpoints."""

import os
import sys

from services.worker.__main__ import main
from tests.chaos.wiring import layers

if __name__ == "__main__":
    sys.exit(main(layers(os.environ)))
