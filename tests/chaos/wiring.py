"""What the chaos run puts around the parts of the shipped services, by the environment."""

from collections.abc import Mapping

import msgspec

from libs.idtoken.token import GOOGLE
from libs.storage.store import ObjectStore
from services.serving.layers import Layers
from tests.chaos.disk import SwitchedStore
from tests.chaos.failpoints import FailingAnswers, FailingQueue, FailingStore, Failpoints, parse
from tests.chaos.folder import Folder
from tests.chaos.history import RememberingStore
from tests.chaos.journal import Journal

FAILPOINTS = "CHAOS_FAILPOINTS"
KEYS = "EMULATED_KEYS_URL"  # of who signs tokens in Google's place: cloud mode


def layers(environ: Mapping[str, str]) -> Layers:
    """A history under the store, and failpoints over store, queue and answers."""
    folder = Folder.of(environ)
    journal = Journal(folder.journal)
    points = Failpoints(parse(environ.get(FAILPOINTS, "")), journal)

    def around(store: ObjectStore) -> ObjectStore:
        if KEYS in environ:  # the bucket remembers, and fails, by itself
            return FailingStore(store, points, journal)
        remembering = RememberingStore(store, root=folder.storage, history=folder.history, locks=folder.locks)
        return FailingStore(SwitchedStore(remembering, folder.outage), points, journal)

    return Layers(
        store=around,
        queue=lambda queue: FailingQueue(queue, points),
        app=lambda app: FailingAnswers(app, points),
        google=msgspec.structs.replace(GOOGLE, keys_url=environ[KEYS]) if KEYS in environ else GOOGLE,
    )
