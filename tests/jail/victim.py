"""What an exploited child would go for: a process of the same user with secrets, doors and files.

`python -m tests.jail.victim FOLDER UID` prints one line of JSON that says where everything is, then waits until its
standard input ends.
"""

import ctypes
import json
import os
import socket
import sys
from pathlib import Path

SECRET = b"the-internal-token-of-this-installation"
PR_SET_DUMPABLE, PR_SET_PTRACER = 4, 0x59616D61


def main() -> None:
    """Own the secrets, say where they are, wait."""
    folder, uid = Path(sys.argv[1]), int(sys.argv[2])
    if uid != os.getuid():
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    libc = ctypes.CDLL(None)
    # As a service is that was started by this user: tracing by the user's own processes is allowed.
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    libc.prctl(PR_SET_PTRACER, ctypes.c_ulong(-1 & 0xFFFFFFFFFFFFFFFF), 0, 0, 0)
    memory = ctypes.create_string_buffer(SECRET)
    tcp = socket.create_server(("127.0.0.1", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0gnosis-victim-{os.getpid()}")
    abstract.listen()
    by_path = socket.socket(socket.AF_UNIX)
    by_path.bind(str(folder / "door"))
    by_path.listen()
    token = folder / "internal_token"
    token.write_bytes(SECRET)
    kept = token.open("rb")
    where = {
        "pid": os.getpid(),
        "address": ctypes.addressof(memory),
        "tcp": tcp.getsockname()[1],
        "udp": udp.getsockname()[1],
        "abstract": f"\0gnosis-victim-{os.getpid()}",
        "descriptor": kept.fileno(),
    }
    print(json.dumps(where), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
