import hashlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.storage import layout
from libs.storage.errors import Forbidden

OURS = [
    "page_001.png",
    "page_1000.png",
    "page_001_result.txt",
    "page_001_result.json",
    "combined_output.md",
    "processing.json",
    "intake.json",
    "batches",
    "parts",
    "upload.json",
    "status.json",
    "metadata.json",
]
FOLDER = layout.session_prefix("0123456789ab", "0" * 32)

# Plain random text would almost never meet the names that matter.
hostile_names = st.one_of(
    st.text(),
    st.text(st.sampled_from(list("./\\ \0\n\r\tabcé́😀\u200d\u202e<>:?*|\ud800_%~")), max_size=40),
    st.builds(str.__add__, st.text(min_size=60), st.sampled_from(["", ".pdf", ".tar.gz", ".é" * 20])),
    st.builds(
        lambda name, upper, edge: edge + (name.upper() if upper else name) + edge,
        st.sampled_from(OURS),
        st.booleans(),
        st.sampled_from(["", " ", ".", "/", "\0", "\u202e", "x"]),
    ),
)


def is_ours(name: str) -> bool:
    return name.casefold() in OURS


def test_user_hash_is_the_first_twelve_digits_of_sha_256() -> None:
    digest = hashlib.sha256(b"ada@example.org").hexdigest()
    assert layout.user_hash("ada@example.org") == digest[:12]


def test_user_hash_ignores_case_and_surrounding_space() -> None:
    assert layout.user_hash(" Ada@Example.ORG\n") == layout.user_hash("ada@example.org")


@pytest.mark.parametrize("email", [None, "", "  "])
def test_no_email_is_the_anonymous_user(email: str | None) -> None:
    assert layout.user_hash(email) == layout.user_hash("anonymous@gnosis-ocr.local")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (layout.user_hash(None), True),
        ("0123456789ab", True),
        ("0123456789AB", False),
        ("0123456789a", False),
        ("0123456789abc", False),
        ("0123456789ab\n", False),
        ("٠123456789ab", False),
        ("..", False),
        ("", False),
    ],
)
def test_a_user_hash_is_known_by_its_form(text: str, expected: bool) -> None:
    assert layout.is_user_hash(text) is expected


@pytest.mark.parametrize("text", ["", "0" * 31, "0" * 33, "A" * 32, "0" * 32 + "\n", "../" + "0" * 29])
def test_a_malformed_session_id_is_not_one(text: str) -> None:
    assert not layout.is_session_id(text)


def test_session_ids_are_well_formed_and_distinct() -> None:
    ids = {layout.new_session_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(map(layout.is_session_id, ids))


def test_session_ids_sort_by_the_time_of_their_creation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "session_clock", layout.SessionClock())
    ids = []
    for milliseconds in (0, 1, 255, 1_700_000_000_000, 1_700_000_000_001, 2**47):
        monkeypatch.setattr("time.time_ns", lambda now=milliseconds: now * 1_000_000)
        ids.append(layout.new_session_id())
    assert ids == sorted(ids)
    assert [int(session_id[:12], 16) for session_id in ids[:3]] == [0, 1, 255]


def test_session_ids_of_a_process_sort_by_creation_though_its_clock_stands_or_goes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layout, "session_clock", layout.SessionClock())
    ids = []
    for milliseconds in (5, 5, 5, 3, 9):
        monkeypatch.setattr("time.time_ns", lambda now=milliseconds: now * 1_000_000)
        ids.append(layout.new_session_id())
    assert [int(session_id[:12], 16) for session_id in ids] == [5, 6, 7, 8, 9]


def test_paths_and_names_are_those_of_the_contract() -> None:
    assert layout.session_prefix("h", "s") == "users/h/s/"
    assert layout.user_prefix("h") == "users/h/"
    assert layout.active_path("h", "s") == "active/h/s"
    assert layout.tombstone_path("h", "s") == "tombstones/h/s"
    assert layout.system_path("worker.json") == layout.WORKER_STATE == "system/worker.json"
    assert (layout.INTAKE, layout.RECORD, layout.COMBINED) == (
        "intake.json",
        "processing.json",
        "combined_output.md",
    )
    assert layout.LEASE.format("0001") == "batches/0001.json"
    assert layout.LEASE.format("combine") == "batches/combine.json"


@pytest.mark.parametrize(("page_no", "digits"), [(1, "001"), (42, "042"), (999, "999"), (1000, "1000")])
def test_page_names_have_three_digits_at_least(page_no: int, digits: str) -> None:
    assert layout.PAGE_IMAGE.format(page_no) == f"page_{digits}.png"
    assert layout.PAGE_RESULT.format(page_no) == f"page_{digits}_result.txt"
    assert layout.PAGE_OUTCOME.format(page_no) == f"page_{digits}_result.json"


@pytest.mark.parametrize(
    ("original", "stored"),
    [
        ("report.pdf", "report.pdf"),
        ("Jahresbericht 2025 (final).PDF", "Jahresbericht 2025 (final).PDF"),
        ("結果 📄.pdf", "結果 📄.pdf"),
        ("family 👨‍👩‍👧.png", "family 👨‍👩‍👧.png"),
        ("e\u0301te\u0301.pdf", "\u00e9t\u00e9.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\scan.tiff", "scan.tiff"),
        ("folder/", "folder"),
        (".htaccess", "htaccess"),
        (".tmp.pdf", "tmp.pdf"),
        ("...", "upload"),
        ("", "upload"),
        ("/", "upload"),
        (" \t ", "upload"),
        (None, "upload"),
        ("a\0b\nc.pdf", "abc.pdf"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ('a<b>c:d"e|f?g*h.pdf', "a_b_c_d_e_f_g_h.pdf"),
        ("page_001.png", "upload_page_001.png"),
        ("PAGE_0042.Png", "upload_PAGE_0042.Png"),
        ("Combined_Output.md", "upload_Combined_Output.md"),
        (".processing.json", "upload_processing.json"),
        ("batches", "upload_batches"),
        ("\u017ftatus.json", "upload_\u017ftatus.json"),
        ("page_one.png", "page_one.png"),
    ],
)
def test_an_upload_keeps_a_readable_and_safe_name(original: str | None, stored: str) -> None:
    assert layout.upload_name(original) == stored


@pytest.mark.parametrize("name", OURS)
def test_an_upload_never_takes_one_of_our_names(name: str) -> None:
    assert layout.upload_name(name) == f"upload_{name}"
    assert layout.upload_name(name.upper()) == f"upload_{name.upper()}"


def test_a_long_upload_name_is_cut_and_keeps_its_extension() -> None:
    for stem in ("x" * 300, "é" * 300, "😀" * 300, "x" + "é" * 300):
        name = layout.upload_name(f"{stem}.pdf")
        assert 196 < len(name.encode()) <= 200
        assert name.endswith(".pdf")
        assert stem.startswith(name.removesuffix(".pdf"))


@pytest.mark.parametrize("extension", ["", ".pdf"])
def test_a_cut_upload_name_does_not_end_in_space_or_dots(extension: str) -> None:
    name = layout.upload_name("x" * 190 + " . . . . . ." + "y" * 40 + extension)
    assert name == "x" * 190 + extension


@given(hostile_names)
def test_any_upload_name_is_a_valid_one_segment_path(original: str) -> None:
    name = layout.upload_name(original)
    layout.check_path(FOLDER + name)
    assert "/" not in name
    assert 0 < len(name.encode()) <= 200
    assert unicodedata.is_normalized("NFC", name)


@given(hostile_names)
def test_no_upload_name_is_one_of_ours(original: str) -> None:
    assert not is_ours(layout.upload_name(original))


@given(hostile_names)
def test_upload_name_applied_twice_changes_nothing(original: str) -> None:
    name = layout.upload_name(original)
    assert layout.upload_name(name) == name


@pytest.mark.parametrize("path", ["a", "users/h/s/page_001.png", "...", "a b", "é/😀", "x" * 255, "a/.hidden"])
def test_a_path_inside_the_tree_is_accepted(path: str) -> None:
    layout.check_path(path)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\\b", "a\0b", "a\rb", "x" * 256, "é" * 128,
     "a/" * 512 + "a", "\ud800", ".tmp", ".tmp/x", "a/.tmpx", ".locks/x"],
    ids=ascii,
)  # fmt: skip
def test_a_path_outside_the_tree_is_forbidden(path: str) -> None:
    with pytest.raises(Forbidden):
        layout.check_path(path)


@given(st.text(st.sampled_from("./\\a\0~"), max_size=12))
def test_an_accepted_path_never_leaves_its_folder(path: str) -> None:
    try:
        layout.check_path(path)
    except Forbidden:
        return
    assert not path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/"))
    assert "\\" not in path
    assert "\0" not in path
