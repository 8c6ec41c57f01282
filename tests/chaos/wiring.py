"""What the chaos run puts around the parts of the shipped services, by the environment."""

from collections.abc import Mapping

from libs.storage.store import ObjectStore
from services.layers import Layers
from tests.chaos.disk import SwitchedStore
from tests.chaos.failpoints import FailingAnswers, FailingQueue, FailingStore, Failpoints, parse
from tests.chaos.folder import Folder
from tests.chaos.history import RememberingStore
from tests.chaos.journal import Journal

FAILPOINTS = "CHAOS_FAILPOINTS"


def layers(environ: Mapping[str, str]) -> Layers:
    """A history under the store, and failpoints over store, queue and answers."""
    folder = Folder.of(environ)
    journal = Journal(folder.journal)
    points = Failpoints(parse(environ.get(FAILPOINTS, "")), journal)

    def around(store: ObjectStore) -> ObjectStore:
        remembering = RememberingStore(store, root=folder.storage, history=folder.history, locks=folder.locks)
        return FailingStore(SwitchedStore(remembering, folder.outage), points, journal)

    return Layers(
        store=around,
        queue=lambda queue: FailingQueue(queue, points),
        app=lambda app: FailingAnswers(app, points),
    )
