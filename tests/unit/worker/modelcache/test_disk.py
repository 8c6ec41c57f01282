"""The file system that holds a folder, from the table of mounts."""

from pathlib import Path

import pytest

from services.worker.modelcache.disk import file_system

MOUNTS = r"""overlay / overlay rw 0 0
tmpfs /tmp tmpfs rw 0 0
models /cache/huggingface fuse.gcsfuse ro,nosuid 0 0
models /mnt/with\040blank fuse rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/cache/huggingface/hub/models--a", "fuse.gcsfuse"),
        ("/cache/huggingface2", "overlay"),
        ("/cache", "overlay"),
        ("/mnt/with blank/hub", "fuse"),
        ("/tmp/x", "tmpfs"),
    ],
)
def test_the_deepest_mount_says_what_holds_a_folder(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind
    assert file_system(Path(path), "") == ""
