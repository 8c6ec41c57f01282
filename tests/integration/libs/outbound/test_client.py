"""The client for addresses that users name, against listening servers that must not be reached."""

import asyncio
from collections.abc import Sequence

import httpx
import pytest

from libs.outbound.client import Resolve, outbound_client
from libs.outbound.fetch import MAX_REDIRECTS, NotFetched, fetched
from libs.outbound.rules import Refused, Rules
from tests.listening import serving


def answering(*rounds: Sequence[str]) -> Resolve:
    """A resolver whose answer changes: the last one stays."""
    left = list(rounds)

    async def resolve(host: str, port: int) -> list[str]:
        return list(left.pop(0) if len(left) > 1 else left[0])

    return resolve


def client(setting: str, resolve: Resolve | None = None) -> httpx.AsyncClient:
    return outbound_client(Rules.parse("WEBHOOK_HOSTS", setting), seconds=5.0, resolve=resolve)


async def read(opened: httpx.AsyncClient, url: str) -> bytes:
    async with fetched(opened, url, seconds=10.0) as file:
        return b"".join([chunk async for chunk in file.chunks()])


#: With the port of the trap in place of {}. Resolved by the system, as a user's address is.
TARGETS = [
    # loopback, spelled in many ways
    "https://127.0.0.1:{}/", "https://localhost:{}/", "https://127.1:{}/", "https://2130706433:{}/",
    "https://0x7f000001:{}/", "https://0x7f.0.0.1:{}/", "https://0177.0.0.1:{}/", "https://017700000001:{}/",
    "https://127.0.0.1.:{}/", "https://localhost.:{}/", "https://LOCALHOST:{}/", "https://127.255.255.254:{}/",
    "https://[::1]:{}/", "https://[0:0:0:0:0:0:0:1]:{}/", "https://[::ffff:127.0.0.1]:{}/",
    "https://[::ffff:7f00:1]:{}/", "https://[::127.0.0.1]:{}/", "https://[64:ff9b::7f00:1]:{}/",
    "https://[2002:7f00:1::]:{}/", "https://127。0。0。1:{}/", "https://１２７.0.0.1:{}/",
    # this host, and networks around it
    "https://0.0.0.0:{}/", "https://0:{}/", "https://[::]:{}/", "https://10.0.0.1:{}/", "https://172.16.0.1:{}/",
    "https://192.168.0.1:{}/", "https://100.64.0.1:{}/", "https://[fd12::1]:{}/", "https://[fe80::1]:{}/",
    "https://[fe80::1%25lo]:{}/", "https://[fe80::1%lo]:{}/",
    # metadata
    "https://169.254.169.254:{}/latest/meta-data/", "https://[::ffff:169.254.169.254]:{}/", "https://0xa9fea9fe:{}/",
    "https://2852039166:{}/", "https://[fd00:ec2::254]:{}/", "https://100.100.100.200:{}/", "https://168.63.129.16:{}/",
    "https://192.0.0.192:{}/",
    # multicast, broadcast, reserved
    "https://224.0.0.1:{}/", "https://255.255.255.255:{}/", "https://240.0.0.1:{}/", "https://[ff02::1]:{}/",
    # other schemes, and addresses in disguise
    "http://127.0.0.1:{}/", "ftp://127.0.0.1:{}/", "file://127.0.0.1:{}/", "https://user@127.0.0.1:{}/",
    "https://example.com@127.0.0.1:{}/", "https://127.0.0.1:{}\\@example.com/", "https://example.com:{}@localhost/",
]  # fmt: skip


async def test_no_connection_is_made_to_any_private_address_in_any_spelling() -> None:
    async with serving() as trap, serving(host="::1", port=trap.port) as trap6, client(f"*:{trap.port}") as opened:
        for target in TARGETS:
            with pytest.raises((Refused, NotFetched)):
                await read(opened, target.format(trap.port))
        assert trap.connections == trap6.connections == 0
        assert len(TARGETS) >= 40
        # The trap is one: where the operator names it, it is reached.
        async with client(f"http://localhost:{trap.port}") as named:
            assert await read(named, f"http://localhost:{trap.port}/") == b"ok"
        assert trap.connections + trap6.connections == 1


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("93.184.215.14", "127.0.0.1"),
        ("::1",),
        ("::ffff:127.0.0.1",),
        ("169.254.169.254",),
        ("fe80::1%1",),
    ],
)
async def test_a_name_that_resolves_to_a_private_address_is_refused(addresses: tuple[str, ...]) -> None:
    async with serving() as trap, client(f"*:{trap.port}", answering(addresses)) as opened:
        with pytest.raises(Refused, match="not on the internet"):
            await read(opened, f"https://rebind.example:{trap.port}/")
        assert trap.connections == 0


async def test_a_named_host_is_never_called_at_an_address_of_metadata() -> None:
    async with client("http://n8n.lan", answering(("169.254.169.254",))) as opened:
        with pytest.raises(Refused):
            await read(opened, "http://n8n.lan/")


async def test_a_name_is_resolved_once_and_the_address_that_was_checked_is_the_one_connected_to() -> None:
    async with serving() as good, serving(host="127.0.0.2", port=good.port) as other:
        resolve = answering(("127.0.0.1",), ("127.0.0.2",))
        async with client(f"http://n8n.lan:{good.port}", resolve) as opened:
            assert await read(opened, f"http://n8n.lan:{good.port}/file") == b"ok"
        assert (good.connections, other.connections) == (1, 0)
        assert f"host: n8n.lan:{good.port}" in good.received[0].decode().lower()


async def test_tls_names_the_host_and_not_the_address() -> None:
    async with serving(b"\x15\x03\x03\x00\x02\x02\x28") as server:  # a fatal alert
        async with client(f"https://n8n.lan:{server.port}", answering(("127.0.0.1",))) as opened:
            with pytest.raises(NotFetched):
                await read(opened, f"https://n8n.lan:{server.port}/")
        assert b"n8n.lan" in server.received[0]


def redirect(to: str) -> str:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "to", ["https://127.0.0.1:{}/", "http://localhost:{}/", "//[::1]:{}/", "https://169.254.169.254/"]
)
async def test_a_redirect_to_a_private_address_is_refused(to: str) -> None:
    async with serving() as trap, serving(redirect(to.format(trap.port))) as server:
        setting = f"http://files.lan:{server.port},*:{trap.port}"

        async def resolve(host: str, port: int) -> list[str]:
            return ["127.0.0.1"] if host == "files.lan" else [host.replace("localhost", "127.0.0.1")]

        async with client(setting, resolve) as opened:
            with pytest.raises(Refused):
                await read(opened, f"http://files.lan:{server.port}/")
        assert (server.connections, trap.connections) == (1, 0)


async def test_a_host_that_moves_to_a_private_address_between_two_redirects_is_refused() -> None:
    async with serving(redirect("/again")) as server:
        resolve = answering(("127.0.0.1",), ("169.254.169.254",))
        async with client(f"http://files.lan:{server.port}", resolve) as opened:
            with pytest.raises(Refused):
                await read(opened, f"http://files.lan:{server.port}/")
        assert server.connections == 1


async def test_allowed_redirects_are_followed_up_to_the_limit_without_cookies() -> None:
    hop = "HTTP/1.1 302 Found\r\nLocation: /on\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with serving(*[hop] * MAX_REDIRECTS) as server:
        async with client(f"http://files.lan:{server.port}", answering(("127.0.0.1",))) as opened:
            assert await read(opened, f"http://files.lan:{server.port}/") == b"ok"
        assert server.connections == MAX_REDIRECTS + 1
        assert not any(b"cookie:" in request.lower() for request in server.received)
    async with (
        serving(*[hop] * (MAX_REDIRECTS + 1)) as server,
        client(f"http://files.lan:{server.port}", answering(("127.0.0.1",))) as opened,
    ):
        with pytest.raises(NotFetched, match="redirects more"):
            await read(opened, f"http://files.lan:{server.port}/")


async def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as proxy, serving() as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with client(f"http://127.0.0.1:{server.port}") as opened:
            assert await read(opened, f"http://127.0.0.1:{server.port}/") == b"ok"
        assert (proxy.connections, server.connections) == (0, 1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404"),
        ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "answered 302"),
        ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", "compressed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "broke off"),
        ("nonsense\r\n\r\n", "did not answer"),
    ],
)
async def test_what_is_no_file_says_why(answer: str, reason: str) -> None:
    async with serving(answer) as server, client(f"http://127.0.0.1:{server.port}") as opened:
        with pytest.raises(NotFetched, match=reason):
            await read(opened, f"http://127.0.0.1:{server.port}/")


async def test_a_file_that_never_ends_is_given_up() -> None:
    over = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nx")
        await writer.drain()
        await over.wait()
        writer.close()

    async with await asyncio.start_server(drip, "127.0.0.1") as listening:
        port = listening.sockets[0].getsockname()[1]
        async with client(f"http://127.0.0.1:{port}") as opened:
            with pytest.raises(NotFetched, match="within"):
                async with fetched(opened, f"http://127.0.0.1:{port}/", seconds=0.2) as file:
                    async for _ in file.chunks():
                        pass
        over.set()


@pytest.mark.parametrize(
    ("header", "path", "name"),
    [
        ('Content-Disposition: attachment; filename="a scan.pdf"\r\n', "/x", "a scan.pdf"),
        ("Content-Disposition: attachment; filename*=UTF-8''%C3%BCber.pdf\r\n", "/x", "über.pdf"),
        ("Content-Disposition: attachment; filename*=nonsense\r\n", "/x.pdf", "nonsense"),
        ("", "/folder/a%20scan.pdf?key=1", "a scan.pdf"),
        ("", "/", None),
    ],
)
async def test_a_file_has_the_name_that_its_server_gives_it_or_that_of_its_address(
    header: str, path: str, name: str | None
) -> None:
    answer = f"HTTP/1.1 200 OK\r\n{header}Content-Length: 0\r\n\r\n"
    async with (
        serving(answer) as server,
        client(f"http://127.0.0.1:{server.port}") as opened,
        fetched(opened, f"http://127.0.0.1:{server.port}{path}", seconds=5.0) as file,
    ):
        assert file.filename == name
