"""What an exploited child does next: each action either achieves what its name says or raises.

An action gets `Loot`: where the victim's secrets are, and a folder of the victim's. `exec_a_program` does not return
where it succeeds; the program that replaces this process reports it.
"""

import ctypes
import mmap
import os
import platform
import signal
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.jail.victim import SECRET

LIBC = ctypes.CDLL(None, use_errno=True)
_X86 = platform.machine() == "x86_64"


@dataclass(frozen=True, kw_only=True)
class Loot:
    """Where the secrets are, and a folder that belongs to the same user."""

    folder: Path
    pid: int
    address: int
    tcp: int
    udp: int
    abstract: str
    descriptor: int


#: In place of a profile: without the jail.
FREE = "free"
Action = Callable[[Loot], object]
ACTIONS: dict[str, Action] = {}


def action(function: Action) -> Action:
    """Put the function on the list, under its own name."""
    ACTIONS[function.__name__] = function
    return function


def call(x86: int, generic: int, *arguments: Any) -> int:
    """A system call by its number on this processor. Raises `OSError`."""
    result: int = LIBC.syscall(ctypes.c_long(x86 if _X86 else generic), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def libc(result: int) -> int:
    """The result of a function of libc. Raises `OSError`."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def take(stolen: bytes) -> None:
    """It is the secret, or nothing was achieved."""
    if SECRET not in stolen:
        raise OSError("not the secret")


class IoVec(ctypes.Structure):
    """Where memory begins, and its length."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


# ---- files


@action
def read_the_internal_token(loot: Loot) -> None:
    take((loot.folder / "internal_token").read_bytes())


@action
def map_the_internal_token(loot: Loot) -> None:
    with (loot.folder / "internal_token").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
        take(bytes(view))


@action
def read_it_by_a_descriptor_of_the_folder(loot: Loot) -> None:
    folder = os.open(loot.folder, os.O_PATH)
    take(os.read(os.open("internal_token", os.O_RDONLY, dir_fd=folder), 100))


@action
def list_the_storage(loot: Loot) -> None:
    list(loot.folder.iterdir())


@action
def look_at_a_files_size(loot: Loot) -> None:
    (loot.folder / "internal_token").stat()


@action
def write_a_file(loot: Loot) -> None:
    descriptor = os.open(loot.folder / "new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.close(descriptor)
    (loot.folder / "new").unlink()


@action
def append_to_a_file(loot: Loot) -> None:
    with (loot.folder / "document").open("ab"):
        pass


@action
def cut_a_file_off(loot: Loot) -> None:
    os.truncate(loot.folder / "document", 0)


@action
def remove_a_file(loot: Loot) -> None:
    (loot.folder / "spare").unlink()
    (loot.folder / "spare").touch()


@action
def rename_a_file(loot: Loot) -> None:
    (loot.folder / "document").rename(loot.folder / "moved")
    (loot.folder / "moved").rename(loot.folder / "document")


@action
def make_a_link(loot: Loot) -> None:
    (loot.folder / "link").symlink_to("/etc/passwd")
    (loot.folder / "link").unlink()


@action
def open_a_file_to_all(loot: Loot) -> None:
    (loot.folder / "document").chmod(0o777)


@action
def leave_a_named_pipe(loot: Loot) -> None:
    os.mkfifo(loot.folder / "pipe")
    (loot.folder / "pipe").unlink()


@action
def watch_the_storage(loot: Loot) -> None:
    watch = libc(LIBC.inotify_init())
    libc(LIBC.inotify_add_watch(watch, os.fsencode(loot.folder), 0x2))


# ---- other processes


@action
def read_the_victims_environment(loot: Loot) -> None:
    if not Path(f"/proc/{loot.pid}/environ").read_bytes():
        raise OSError("empty")


@action
def read_the_victims_memory_file(loot: Loot) -> None:
    with Path(f"/proc/{loot.pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(loot.address)
        take(memory.read(len(SECRET)))


def _vectors(loot: Loot, buffer: Any) -> tuple[Any, Any]:
    ours = IoVec(ctypes.cast(buffer, ctypes.c_void_p), len(SECRET))
    theirs = IoVec(ctypes.c_void_p(loot.address), len(SECRET))
    return ctypes.byref(ours), ctypes.byref(theirs)


@action
def read_the_victims_memory(loot: Loot) -> None:
    buffer = ctypes.create_string_buffer(len(SECRET))
    ours, theirs = _vectors(loot, buffer)
    libc(LIBC.process_vm_readv(loot.pid, ours, ctypes.c_ulong(1), theirs, ctypes.c_ulong(1), ctypes.c_ulong(0)))
    take(buffer.raw)


@action
def write_the_victims_memory(loot: Loot) -> None:
    buffer = ctypes.create_string_buffer(SECRET, len(SECRET))
    ours, theirs = _vectors(loot, buffer)
    libc(LIBC.process_vm_writev(loot.pid, ours, ctypes.c_ulong(1), theirs, ctypes.c_ulong(1), ctypes.c_ulong(0)))


@action
def trace_the_victim(loot: Loot) -> None:
    seize, detach = 0x4206, 17
    LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    LIBC.ptrace.restype = ctypes.c_long
    libc(LIBC.ptrace(seize, loot.pid, None, None))
    LIBC.ptrace(detach, loot.pid, None, None)


@action
def signal_the_victim(loot: Loot) -> None:
    os.kill(loot.pid, signal.SIGCONT)


@action
def signal_the_victim_by_descriptor(loot: Loot) -> None:
    signal.pidfd_send_signal(os.pidfd_open(loot.pid), signal.SIGCONT)


@action
def take_a_descriptor_of_the_victim(loot: Loot) -> None:
    stolen = call(438, 438, os.pidfd_open(loot.pid), loot.descriptor, 0)
    os.lseek(stolen, 0, os.SEEK_SET)
    take(os.read(stolen, 100))


@action
def slow_the_victim_down(loot: Loot) -> None:
    os.setpriority(os.PRIO_PROCESS, loot.pid, 19)


@action
def limit_the_victim(loot: Loot) -> None:
    import resource

    resource.prlimit(loot.pid, resource.RLIMIT_CORE, (0, 0))


@action
def pin_the_victim(loot: Loot) -> None:
    os.sched_setaffinity(loot.pid, os.sched_getaffinity(loot.pid))


# ---- new processes


@action
def fork(loot: Loot) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


@action
def fork_by_clone3(loot: Loot) -> None:
    arguments = struct.pack("8Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    child = call(435, 435, ctypes.create_string_buffer(arguments, len(arguments)), ctypes.c_size_t(len(arguments)))
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


@action
def start_a_thread(loot: Loot) -> None:
    import threading

    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


@action
def leave_a_daemon(loot: Loot) -> None:
    child = os.fork()
    if not child:
        os.setsid()
        os._exit(0)
    os.waitpid(child, 0)


@action
def exec_a_program(loot: Loot) -> None:
    # In place of this process: the program itself says that it runs.
    os.execv("/bin/sh", ["sh", "-c", "echo DONE"])


@action
def make_a_program_in_memory(loot: Loot) -> None:
    os.memfd_create("program")


@action
def run_smuggled_code(loot: Loot) -> None:
    # mov eax, 42; ret
    code = b"\xb8\x2a\x00\x00\x00\xc3" if _X86 else b"\x40\x05\x80\x52\xc0\x03\x5f\xd6"
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    if function() != 42:
        raise OSError("did not run")


@action
def make_data_into_code(loot: Loot) -> None:
    page = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    libc(LIBC.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(mmap.PAGESIZE), 0x1 | 0x4))


# ---- the network


@action
def call_home_by_tcp(loot: Loot) -> None:
    with socket.socket() as out:
        out.connect(("127.0.0.1", loot.tcp))


@action
def call_home_by_udp(loot: Loot) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"secret", ("127.0.0.1", loot.udp))


@action
def open_a_port(loot: Loot) -> None:
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        port.listen()


@action
def reach_an_abstract_socket(loot: Loot) -> None:
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(loot.abstract)


@action
def reach_a_socket_by_its_path(loot: Loot) -> None:
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(str(loot.folder / "door"))


@action
def make_a_pair_of_sockets(loot: Loot) -> None:
    for end in socket.socketpair():
        end.close()


@action
def ask_the_kernel_for_routes(loot: Loot) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


# ---- the kernel


@action
def set_up_io_uring(loot: Loot) -> None:
    os.close(call(425, 425, 1, ctypes.create_string_buffer(120)))


@action
def keep_a_key(loot: Loot) -> None:
    process_keyring = ctypes.c_long(-2)
    call(248, 217, b"user", b"gnosis", b"secret", ctypes.c_size_t(6), process_keyring)


@action
def share_memory(loot: Loot) -> None:
    segment = libc(LIBC.shmget(0, 4096, 0o600))
    libc(LIBC.shmctl(segment, 0, None))


@action
def leave_a_message_queue(loot: Loot) -> None:
    queue = libc(LIBC.msgget(0, 0o600))
    libc(LIBC.msgctl(queue, 0, None))


@action
def enter_a_new_user_namespace(loot: Loot) -> None:
    libc(LIBC.unshare(0x10000000))


@action
def count_events_of_the_processor(loot: Loot) -> None:
    attributes = struct.pack("IIQ", 1, 112, 0) + bytes(96)  # a software clock, of this process, in user mode only
    attributes = attributes[:40] + struct.pack("Q", 0x60) + attributes[48:]
    os.close(call(298, 241, ctypes.create_string_buffer(attributes, len(attributes)), 0, -1, -1, ctypes.c_ulong(0)))


@action
def handle_page_faults(loot: Loot) -> None:
    user_mode_only = 1
    os.close(call(323, 282, user_mode_only))


@action
def change_its_name_to_hide(loot: Loot) -> None:
    libc(LIBC.prctl(15, b"kworker/0:1", 0, 0, 0))


def main() -> None:
    """Do the action named, in a jail of this profile or free, as the user given: prints DONE, or why it failed."""
    import json

    name, profile, uid, where = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
    loot = Loot(**{**where, "folder": Path(where["folder"])})
    # As the render child does: everything is imported before the jail is entered.
    import resource
    import threading

    from services.serving import confinement, jail

    if uid != os.getuid():
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        LIBC.prctl(4, 1, 0, 0, 0)
    assert resource and threading
    # A confined process's standard streams lead nowhere.
    report = os.dup(1)
    if profile != FREE:
        confinement.confine(memory_bytes=2 * 1024**3, open_files=32, walls=jail.supported(), keep=(report,))
        jail.seal(jail.supported(), jail.Profile(profile))
    try:
        ACTIONS[name](loot)
    except (OSError, RuntimeError, ValueError) as error:
        os.write(report, f"FAILED {type(error).__name__}: {error}\n".encode())
    else:
        os.write(report, b"DONE\n")
    os._exit(0)


if __name__ == "__main__":
    main()
