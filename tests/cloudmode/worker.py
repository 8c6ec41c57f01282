"""`python -m tests.cloudmode.worker`: the worker."""

import os
import sys

from services.worker.__main__ import main
from tests.cloudmode import layers

if __name__ == "__main__":
    code = main(layers())
    sys.stderr.flush()
    os._exit(code)  # as the worker's own entry ends: a page that was abandoned still runs
