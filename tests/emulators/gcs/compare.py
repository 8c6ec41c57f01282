"""The same requests to two services, and where their answers differ: `python -m tests.emulators.gcs.compare URL`.

`URL` is a reference, another emulator or Cloud Storage itself (then with `--token`). The bucket must exist there; the
objects under `compare/` in it are overwritten and deleted.
"""

import argparse
from collections.abc import Callable
from urllib.parse import quote

import httpx

from tests.emulators.gcs.server import Emulator

UNIT = 1 << 18
NAME = "compare/a b+ü.txt"


class Asked:
    """One service, and what it answered in short."""

    def __init__(self, base: str, bucket: str, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=20)
        self._bucket = bucket
        self.url = base

    def one(self, method: str, name: str = NAME, **query: str | int) -> httpx.Response:
        return self._client.request(method, f"/storage/v1/b/{self._bucket}/o/{quote(name, safe='')}", params=query)

    def media(self, name: str = NAME, *, ranged: str = "", **query: str | int) -> httpx.Response:
        path = f"/download/storage/v1/b/{self._bucket}/o/{quote(name, safe='')}"
        return self._client.get(path, params={"alt": "media", **query}, headers={"Range": ranged} if ranged else {})

    def insert(self, data: bytes = b"0123456789", name: str = NAME, **query: str | int) -> httpx.Response:
        path = f"/upload/storage/v1/b/{self._bucket}/o"
        return self._client.post(path, params={"uploadType": "media", "name": name, **query}, content=data)

    def page(self, **query: str | int) -> httpx.Response:
        return self._client.get(f"/storage/v1/b/{self._bucket}/o", params=query)

    def begin(self, **query: str | int) -> httpx.Response:
        path = f"/upload/storage/v1/b/{self._bucket}/o"
        return self._client.post(path, params={"uploadType": "resumable", "name": NAME, **query}, json={})

    def resume(self, begun: httpx.Response, data: bytes, content_range: str) -> httpx.Response:
        return self._client.put(begun.headers["Location"], content=data, headers={"Content-Range": content_range})

    def cancel(self, begun: httpx.Response) -> httpx.Response:
        return self._client.delete(begun.headers["Location"])

    def compose(self, *names: str) -> httpx.Response:
        path = f"/storage/v1/b/{self._bucket}/o/{quote('compare/joined', safe='')}/compose"
        return self._client.post(path, json={"sourceObjects": [{"name": name} for name in names]})

    def patch(self, body: dict[str, object], **query: str | int) -> httpx.Response:
        path = f"/storage/v1/b/{self._bucket}/o/{quote(NAME, safe='')}"
        return self._client.patch(path, params=query, json=body)

    def rewrite(self, new: str) -> httpx.Response:
        source = f"/storage/v1/b/{self._bucket}/o/{quote(NAME, safe='')}"
        return self._client.post(f"{source}/rewriteTo/b/{self._bucket}/o/{quote(new, safe='')}")

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def clear(self) -> None:
        """Nothing of ours is left."""
        for item in self.page(prefix="compare/").json().get("items", []):
            self.one("DELETE", item["name"])


def _create_twice(asked: Asked) -> str:
    return f"{asked.insert(ifGenerationMatch=0).status_code}, {asked.insert(ifGenerationMatch=0).status_code}"


def _stale(asked: Asked) -> str:
    old = asked.insert().json()["generation"]
    new = asked.insert().json()["generation"]
    late = asked.insert(ifGenerationMatch=old)
    return f"generations differ: {old != new}; write {late.status_code} {_reason(late)}"


def _stale_delete(asked: Asked) -> str:
    old = asked.insert().json()["generation"]
    asked.insert()
    return f"{asked.one('DELETE', ifGenerationMatch=old).status_code}"


def _stale_read(asked: Asked) -> str:
    old = asked.insert().json()["generation"]
    asked.insert(b"new")
    return f"{asked.media(generation=old).status_code}, {asked.one('GET', generation=old).status_code}"


def _not_modified(asked: Asked) -> str:
    generation = asked.insert().json()["generation"]
    return str(asked.one("GET", ifGenerationNotMatch=generation).status_code)


def _missing(asked: Asked) -> str:
    found = asked.one("GET", "compare/none")
    return f"{found.status_code} {_reason(found)}; media {asked.media('compare/none').status_code}"


def _delete_missing(asked: Asked) -> str:
    plain, named = asked.one("DELETE", "compare/none"), asked.one("DELETE", "compare/none", ifGenerationMatch=1)
    return f"{plain.status_code}; by generation {named.status_code}"


def _ranges(asked: Asked) -> str:
    asked.insert()
    answers = [asked.media(ranged=f"bytes={text}") for text in ("2-4", "7-", "-3", "8-99", "10-")]
    return ", ".join(f"{answer.status_code} {answer.text if answer.is_success else ''}".strip() for answer in answers)


def _media_headers(asked: Asked) -> str:
    asked.insert()
    headers = asked.media().headers
    wanted = ("x-goog-generation", "x-goog-metageneration", "x-goog-hash", "x-goog-stored-content-length", "etag")
    return ", ".join(name for name in wanted if name in headers)


def _pages(asked: Asked) -> str:
    for number in range(5):
        asked.insert(name=f"compare/{number}")
    first = asked.page(prefix="compare/", maxResults=2).json()
    rest = asked.page(prefix="compare/", maxResults=3, pageToken=first.get("nextPageToken", "")).json()
    return " / ".join(
        ",".join(item["name"][8:] for item in page.get("items", [])) + f" more: {'nextPageToken' in page}"
        for page in (first, rest)
    )


def _folders(asked: Asked) -> str:
    for name in ("a/1", "a/2", "a.b/1", "b"):
        asked.insert(name=f"compare/{name}")
    page = asked.page(prefix="compare/", delimiter="/", startOffset="compare/a/").json()
    names = [item["name"][8:] for item in page.get("items", [])]
    return f"prefixes {[folder[8:] for folder in page.get('prefixes', [])]}, items {names}"


def _fields(asked: Asked) -> str:
    asked.insert()
    page = asked.page(prefix="compare/", fields="items(name,size)").json()
    return f"{sorted(page)}, {sorted(page['items'][0])}"


def _checksum(asked: Asked) -> str:
    answer = asked.insert()
    found = answer.json()
    return f"crc32c {found.get('crc32c')}, md5 {found.get('md5Hash')}, size {found.get('size')!r}"


def _resumable(asked: Asked) -> str:
    begun = asked.begin()
    first = asked.resume(begun, b"x" * UNIT, f"bytes 0-{UNIT - 1}/*")
    again = asked.resume(begun, b"x" * UNIT, f"bytes 0-{UNIT - 1}/*")
    question = asked.resume(begun, b"", "bytes */*")
    last = asked.resume(begun, b"end", f"bytes {UNIT}-{UNIT + 2}/{UNIT + 3}")
    after = asked.resume(begun, b"", "bytes */*")
    size = asked.one("GET").json().get("size")
    return (
        f"{first.status_code} {first.headers.get('Range')}; again {again.status_code}; "
        f"status {question.status_code} {question.headers.get('Range')}; end {last.status_code}; "
        f"status after it {after.status_code}; size {size}"
    )


def _odd_chunk(asked: Asked) -> str:
    return str(asked.resume(asked.begin(), b"x" * 1000, "bytes 0-999/*").status_code)


def _gap(asked: Asked) -> str:
    return str(asked.resume(asked.begin(), b"x" * UNIT, f"bytes {UNIT}-{2 * UNIT - 1}/*").status_code)


def _overtaken(asked: Asked) -> str:
    begun = asked.begin(ifGenerationMatch=0)
    asked.insert()
    return str(asked.resume(begun, b"late", "bytes 0-3/4").status_code)


def _begin_lost(asked: Asked) -> str:
    asked.insert()
    return str(asked.begin(ifGenerationMatch=0).status_code)


def _cancelled(asked: Asked) -> str:
    begun = asked.begin()
    return f"{asked.cancel(begun).status_code}, then {asked.resume(begun, b'x', 'bytes 0-0/1').status_code}"


def _composed(asked: Asked) -> str:
    asked.insert(b"ab", "compare/1")
    asked.insert(b"cd", "compare/2")
    made = asked.compose("compare/1", "compare/2")
    found = made.json() if made.is_success else {}
    return f"{made.status_code}, size {found.get('size')}, components {found.get('componentCount')}"


def _patched(asked: Asked) -> str:
    before = asked.insert().json()
    after = asked.patch({"metadata": {"writer": "x"}}, ifMetagenerationMatch=1)
    late = asked.patch({"metadata": {"writer": "y"}}, ifMetagenerationMatch=1)
    same = after.json().get("generation") == before["generation"]
    return f"{after.status_code}, generation kept: {same}, stale {late.status_code}"


def _rewritten(asked: Asked) -> str:
    asked.insert()
    answer = asked.rewrite("compare/copy")
    return f"{answer.status_code}, done {answer.json().get('done') if answer.is_success else None}"


CASES: list[tuple[str, Callable[[Asked], str]]] = [
    ("create only, twice", _create_twice),
    ("write to a stale generation", _stale),
    ("delete of a stale generation", _stale_delete),
    ("read of a replaced generation, content and metadata", _stale_read),
    ("`ifGenerationNotMatch` of the present one", _not_modified),
    ("read of a missing object", _missing),
    ("delete of a missing object", _delete_missing),
    ("ranges 2-4, 7-, -3, 8-99, 10- of ten bytes", _ranges),
    ("headers of content", _media_headers),
    ("checksums of a write", _checksum),
    ("listing by pages of 2 and 3", _pages),
    ("listing with delimiter from `a/` on", _folders),
    ("listing with `fields=items(name,size)`", _fields),
    ("resumable upload", _resumable),
    ("a chunk that is no multiple of 256 KiB", _odd_chunk),
    ("a chunk behind a gap", _gap),
    ("an upload that was overtaken", _overtaken),
    ("an upload that has lost before it begins", _begin_lost),
    ("an upload that is cancelled", _cancelled),
    ("compose", _composed),
    ("patch by metageneration", _patched),
    ("rewrite", _rewritten),
]


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.emulators.gcs.compare", description=__doc__)
    parser.add_argument("reference", help="its address, such as http://127.0.0.1:9023")
    parser.add_argument("--bucket", default="compare")
    parser.add_argument("--token", default="", help="an access token, for Cloud Storage itself")
    given = parser.parse_args()
    print("| request | this emulator | the reference |\n|---|---|---|")
    with Emulator() as emulator:
        emulator.make_bucket(given.bucket)
        services = [Asked(emulator.url, given.bucket), Asked(given.reference, given.bucket, given.token)]
        for label, ask in CASES:
            ours, theirs = [_asked(service, ask) for service in services]
            print(f"| {label} | {ours} | {'the same' if theirs == ours else theirs} |")


def _asked(service: Asked, ask: Callable[[Asked], str]) -> str:
    try:
        service.clear()
        return ask(service).replace("|", "\\|")
    except Exception as error:
        # The reference may answer anything at all; that is what the table is for.
        return f"fails: {type(error).__name__} {error}".replace("|", "\\|").replace("\n", " ")[:80]


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["errors"][0]["reason"])
    except (ValueError, KeyError, TypeError, IndexError):
        return "(no reason)"


if __name__ == "__main__":
    main()
