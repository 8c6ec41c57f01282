"""The jail of a process that parses hostile documents (R70): Landlock, seccomp, no capabilities, not dumpable.

A document that exploits the library that parses it controls the process from then on. The limits of `confinement`
bound what that process can consume; the jail bounds what it can reach. A process enters in two steps, because a thread
inherits restrictions only from the thread that starts it:

    jail.enter(walls)                   # before any thread exists: files, capabilities, tracing
    ...                                 # import libraries, load models
    jail.seal(walls, Profile.READER)    # system calls, for every thread

Libraries considered: `landlock` (a pre-release, no network rules, no scopes), `sandlock` (13 MB, starts its own
processes; in-place confinement without seccomp), `pyseccomp` (last release 2021; starts `ldconfig` at import). So the
three Landlock calls are made here, and libseccomp, which knows the system call numbers of each architecture, is called
through ctypes. This module imports the standard library only.

Sources: https://docs.kernel.org/userspace-api/landlock.html, https://man7.org/linux/man-pages/man3/seccomp_init.3.html.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from functools import lru_cache
from pathlib import Path


class Wall(StrEnum):
    """A part of the jail that a kernel may lack."""

    #: No file can be opened but those allowed; no TCP; no signal and no abstract socket to a process outside.
    LANDLOCK = "landlock"
    #: Only listed system calls: no socket, no new process, no tracing.
    SECCOMP = "seccomp"


class Profile(StrEnum):
    """Which system calls a sealed process may still make."""

    #: Computes in one thread on what is loaded and on descriptors that are open. It opens no file.
    READER = "reader"
    #: Computes in any number of threads, and opens files for reading.
    ENGINE = "engine"
    #: Also runs programs, which load their own libraries: files as far as Landlock allows, no network.
    PROGRAM = "program"


class JailError(Exception):
    """A wall that the machine supports could not be raised; the process must not continue."""


@lru_cache(maxsize=1)
def missing() -> dict[Wall, str]:
    """The walls that this machine does not support, each with the reason and the remedy. Changes nothing."""
    lacks: dict[Wall, str] = {}
    if sys.platform != "linux":
        return dict.fromkeys(Wall, f"{sys.platform} does not have it; run the services in Linux containers.")
    if landlock_abi() < 1:
        lacks[Wall.LANDLOCK] = (
            "the kernel has no Landlock (Linux 5.13 or later, `landlock` in the boot option lsm=; on Cloud Run the "
            "second generation execution environment)."
        )
    if _libseccomp() is None:
        lacks[Wall.SECCOMP] = "libseccomp.so.2 is not installed (Debian: apt-get install libseccomp2)."
    elif _prctl(_PR_GET_SECCOMP) < 0:
        lacks[Wall.SECCOMP] = "the kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)."
    return lacks


def supported() -> frozenset[Wall]:
    """The walls that a jail has on this machine."""
    return frozenset(Wall) - missing().keys()


def enter(walls: Collection[Wall], *, readable: Iterable[Path] = (), executable: Iterable[Path] = ()) -> None:
    """Restrict this thread and every thread and process that it starts later. Raises `JailError`.

    Files below `readable` can be opened for reading, files below `executable` also run. Descriptors that are open stay
    usable. Call it before a second thread exists: Landlock and capabilities belong to threads.
    """
    if sys.platform != "linux":
        return
    if Wall.SECCOMP in walls and _libseccomp() is None:  # loaded here, because Landlock refuses to open it later
        raise JailError("libseccomp")
    if _prctl(_PR_SET_NO_NEW_PRIVS, 1) or _prctl(_PR_SET_DUMPABLE, 0):
        raise JailError("prctl")
    _drop_capabilities()
    if Wall.LANDLOCK in walls:
        _landlock(readable, executable)


def seal(walls: Collection[Wall], profile: Profile) -> None:
    """Allow only the system calls of `profile`, in every thread of this process. Raises `JailError`.

    A call that is not listed fails with EPERM. It does not kill the process: libraries probe for calls that they can do
    without, and that must not fail a page.
    """
    if Wall.SECCOMP in walls:
        _load_filter(_ALLOWED[profile])


def close_descriptors(keep: Iterable[int]) -> None:
    """Close all other descriptors: one inherited by mistake bypasses every wall."""
    kept = {*keep}
    listing = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    for descriptor in [int(entry.name) for entry in listing.iterdir()]:
        if descriptor not in kept:
            with suppress(OSError):  # the listing's own descriptor is closed already
                os.close(descriptor)


# ---- Landlock -------------------------------------------------------------------------------------------------------

# The same numbers on every architecture (since Linux 5.13).
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
_CREATE_RULESET_VERSION = 1
# LANDLOCK_ACCESS_FS_*: execute, write file, read file, read folder, then all that changes folders.
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
# How many bits of file access, of network access and of scope each version of the interface knows.
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NET_FROM_ABI, _NET_BITS = 4, 2  # bind and connect TCP
_SCOPE_FROM_ABI, _SCOPE_BITS = 6, 2  # abstract unix sockets and signals


class _RulesetAttr(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def landlock_abi() -> int:
    """The version of Landlock's interface, 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, _syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION))


def _landlock(readable: Iterable[Path], executable: Iterable[Path]) -> None:
    abi = landlock_abi()
    attributes = _RulesetAttr(
        fs=(1 << _FS_BITS[min(abi, max(_FS_BITS))]) - 1,
        net=(1 << _NET_BITS) - 1 if abi >= _NET_FROM_ABI else 0,
        scoped=(1 << _SCOPE_BITS) - 1 if abi >= _SCOPE_FROM_ABI else 0,
    )
    # A kernel refuses a structure that is longer than it knows.
    size = 24 if abi >= _SCOPE_FROM_ABI else 16 if abi >= _NET_FROM_ABI else 8
    ruleset = _checked(_syscall(_LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0))
    try:
        for path in readable:
            _allow_beneath(ruleset, path, _READ_FILE)
        for path in executable:
            _allow_beneath(ruleset, path, _READ_FILE | _EXECUTE)
        _checked(_syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow_beneath(ruleset: int, path: Path, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # nothing to allow
    try:
        allowed = access | (_READ_DIR if path.is_dir() else 0)
        rule = _PathBeneathAttr(allowed=allowed, parent_fd=descriptor)
        _checked(_syscall(_LANDLOCK_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(descriptor)


# ---- capabilities ---------------------------------------------------------------------------------------------------

_PR_SET_DUMPABLE, _PR_GET_SECCOMP, _PR_CAPBSET_READ, _PR_CAPBSET_DROP = 4, 21, 23, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_MOST_CAPABILITIES = 64


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _drop_capabilities() -> None:
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(_MOST_CAPABILITIES):
        if _prctl(_PR_CAPBSET_READ, capability) < 0:
            break
        _prctl(
            _PR_CAPBSET_DROP, capability
        )  # refused to who may not: no_new_privs already keeps the set from mattering
    header = _CapHeader(version=_LINUX_CAPABILITY_VERSION_3, pid=0)
    nothing = (_CapData * 2)()
    _checked(_libc().capset(ctypes.byref(header), ctypes.byref(nothing)))


# ---- seccomp --------------------------------------------------------------------------------------------------------

_ACT_ALLOW, _ACT_ERRNO = 0x7FFF0000, 0x00050000
_FLTATR_CTL_TSYNC, _FLTATR_CTL_OPTIMIZE = 4, 8
_CMP_EQ, _CMP_MASKED_EQ = 4, 7
_PROT_EXEC = 0x4
_CLONE_THREAD = 0x00010000
_AT_EMPTY_PATH = 0x1000
# Flags of open(2) that write or create: O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND.
_NOT_READ_ONLY = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _ArgCmp(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class _Call:
    """An allowed system call. Each condition (argument, mask, value) requires `argument & mask == value`."""

    def __init__(self, name: str, *conditions: tuple[int, int, int]) -> None:
        self.name = name
        self.conditions = conditions


def _calls(names: str) -> tuple[_Call, ...]:
    return tuple(_Call(name) for name in names.split())


_WHOLE = 0xFFFFFFFFFFFFFFFF

_COMPUTING: Sequence[_Call] = (
    # Memory, never executable: code that a document carries cannot run.
    *_calls("munmap mremap brk madvise mlock munlock"),
    _Call("mmap", (2, _PROT_EXEC, 0)),
    _Call("mprotect", (2, _PROT_EXEC, 0)),
    # Descriptors that are open already.
    *_calls("read pread64 readv preadv write writev pwrite64 lseek _llseek close fstat fstat64 dup fcntl fcntl64"),
    _Call("newfstatat", (3, _AT_EMPTY_PATH, _AT_EMPTY_PATH)),
    # The connected socket to the parent, never another address.
    *_calls("recvfrom recvmsg shutdown"),
    _Call("sendto", (4, _WHOLE, 0)),
    *_calls("poll ppoll select pselect6 epoll_wait epoll_pwait epoll_ctl"),
    # Time, random numbers, locks between threads.
    *_calls("clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday times getrandom"),
    *_calls("futex futex_waitv sched_yield sched_getaffinity set_robust_list rseq membarrier"),
    # The process itself: identity, limits, signal handlers, exit.
    *_calls("getpid gettid getppid getuid geteuid getgid getegid getrusage sysinfo uname getcpu"),
    _Call("prlimit64", (0, _WHOLE, 0)),
    *_calls("getrlimit setrlimit"),
    *_calls("rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall exit exit_group"),
)

_ALLOWED: dict[Profile, Sequence[_Call]] = {
    Profile.READER: _COMPUTING,
    # Modules are imported when they are first used, so files can be opened for reading, as far as Landlock allows.
    Profile.ENGINE: (
        *_COMPUTING,
        _Call("clone", (0, _CLONE_THREAD, _CLONE_THREAD)),
        _Call("openat", (2, _NOT_READ_ONLY, 0)),
        *_calls("newfstatat stat lstat statx access faccessat faccessat2 readlink readlinkat getdents64 getcwd"),
    ),
    # ld.so maps executable memory, so that is allowed here; Landlock bounds which code can be mapped.
    Profile.PROGRAM: (
        *_COMPUTING,
        *_calls("mmap mprotect clone vfork execve wait4 waitid pidfd_open pipe2 socketpair dup2 dup3 close_range"),
        *_calls("openat open newfstatat stat lstat statx access faccessat faccessat2 readlink readlinkat getdents64"),
        *_calls("getcwd chdir ioctl arch_prctl set_tid_address setsid setpgid umask getpgrp"),
    ),
}


def _load_filter(calls: Iterable[_Call]) -> None:
    library = _libseccomp()
    if library is None:
        raise JailError("libseccomp")
    context = library.seccomp_init(ctypes.c_uint32(_ACT_ERRNO | errno.EPERM))
    if not context:
        raise JailError("seccomp_init")
    filter_ = ctypes.c_void_p(context)
    try:
        _checked(library.seccomp_attr_set(filter_, _FLTATR_CTL_TSYNC, ctypes.c_uint32(1)))
        for call in calls:
            _allow(library, filter_, call)
        # A filter cannot read the flags of clone3, which are in memory. ENOSYS makes glibc use clone instead.
        number = library.seccomp_syscall_resolve_name(b"clone3")
        if number >= 0:
            library.seccomp_rule_add_array(filter_, ctypes.c_uint32(_ACT_ERRNO | errno.ENOSYS), number, 0, None)
        _checked(library.seccomp_load(filter_))
    finally:
        library.seccomp_release(filter_)


def _allow(library: ctypes.CDLL, filter_: ctypes.c_void_p, call: _Call) -> None:
    number = library.seccomp_syscall_resolve_name(call.name.encode())
    if number < 0:
        return  # not on this architecture, or newer than libseccomp
    conditions = (_ArgCmp * len(call.conditions))(
        *(_ArgCmp(arg=arg, op=_CMP_MASKED_EQ, datum_a=mask, datum_b=value) for arg, mask, value in call.conditions)
    )
    allowed = ctypes.c_uint32(_ACT_ALLOW)
    _checked(library.seccomp_rule_add_array(filter_, allowed, number, len(conditions), conditions))


# ---- the C libraries ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@lru_cache(maxsize=1)
def _libseccomp() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    return library


def _syscall(number: int, *arguments: object) -> int:
    result: int = _libc().syscall(ctypes.c_long(number), *arguments)
    return result


def _prctl(option: int, argument: int = 0) -> int:
    result: int = _libc().prctl(option, ctypes.c_ulong(argument), 0, 0, 0)
    return result


def _checked(result: int) -> int:
    if result < 0:
        fault = -result if result < -1 else ctypes.get_errno()
        raise JailError(os.strerror(fault))
    return result
