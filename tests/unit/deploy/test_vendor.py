"""The web page's libraries: the stored files are those of the list, and a package that differs is not taken."""

import tarfile
from pathlib import Path

import pytest

from deploy import vendor
from tests import ROOT

LIBRARIES = vendor.libraries()
# Stands for npm: "downloads" the package that lies beside it.
NPM = '#!/bin/sh\n[ "$*" = "pack --silent one@1.0.0" ] && cp "$(dirname "$0")/one-1.0.0.tgz" .\n'


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_stored_files_are_those_of_the_list(library: vendor.Library) -> None:
    for name, file in library.files.items():
        stored = (ROOT / library.folder / name).read_bytes()
        assert vendor.integrity_of(stored) == file.integrity, f"{name}: run `make vendor`"


def test_no_file_is_stored_that_the_list_lacks_and_each_library_has_its_licence() -> None:
    listed = {ROOT / library.folder / name for library in LIBRARIES for name in library.files}
    folders = {path.parent for path in listed}
    assert {path for folder in folders for path in folder.iterdir() if path.is_file()} == listed
    for library in LIBRARIES:
        assert any("LICENSE" in name for name in library.files), library.name


def test_the_notices_name_every_library_with_its_version_and_licence() -> None:
    notices = (ROOT / "docs" / "web-page.md").read_text()
    for library in LIBRARIES:
        assert f"| `{library.name}` | {library.version} | {library.licence} |" in notices


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of one package, and an npm that has it; the folder in which they are."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "one.js").write_text("export const one = 1;\n")
    with tarfile.open(tmp_path / "one-1.0.0.tgz", "w:gz") as package:
        package.add(tmp_path / "package", "package")
    (tmp_path / "npm").write_text(NPM)
    (tmp_path / "npm").chmod(0o755)
    whole = vendor.integrity_of((tmp_path / "one-1.0.0.tgz").read_bytes())
    file = vendor.integrity_of((tmp_path / "package" / "one.js").read_bytes())
    (tmp_path / "page.toml").write_text(
        f'[[library]]\nname = "one"\nversion = "1.0.0"\nlicence = "MIT"\nintegrity = "{whole}"\nfolder = "vendor"\n'
        f'[library.files]\n"1.js" = {{ source = "one.js", integrity = "{file}" }}\n'
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(vendor, "ROOT", tmp_path)
    monkeypatch.setattr(vendor, "MANIFEST", tmp_path / "page.toml")
    return tmp_path


def test_a_listed_file_is_stored_unchanged(listed: Path) -> None:
    assert vendor.main([]) == 0
    assert (listed / "vendor" / "1.js").read_text() == "export const one = 1;\n"


@pytest.mark.parametrize("which", [0, 1], ids=["package", "file"])
def test_nothing_is_stored_of_a_package_with_another_content(
    listed: Path, which: int, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = (listed / "page.toml").read_text().split("sha512-")
    parts[1 + which] = (
        "A" + parts[1 + which][1:] if not parts[1 + which].startswith("A") else "B" + parts[1 + which][1:]
    )
    (listed / "page.toml").write_text("sha512-".join(parts))
    assert vendor.main([]) == 1
    assert not (listed / "vendor").exists()
    assert "has the integrity sha512-" in capsys.readouterr().err


def test_without_npm_the_files_stay_and_the_next_step_is_named(
    listed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert vendor.main([]) == 1
    assert "`make vendor` needs npm" in capsys.readouterr().err
