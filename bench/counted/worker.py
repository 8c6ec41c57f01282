"""`python -m bench.counted.worker`: the worker."""

import sys

from services.worker.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
