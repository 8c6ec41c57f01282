"""`python -m tests.bucketed.worker`: the worker service over a bucket."""

import os

from services.worker.__main__ import main
from tests.bucketed import layers

if __name__ == "__main__":
    # As the worker ends itself: nobody waits for a request that is still on its way to the bucket.
    os._exit(main(layers()))
