"""Languages as clients name them, by the codes that engines know."""

import pytest

from libs.languages import CODES, MAX_LANGUAGES, parse_languages
from services.worker.engines.lines import languages as engines


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("", ()),
        (" , ", ()),
        ("en,de", ("eng", "deu")),
        ("eng+deu", ("eng", "deu")),
        (" EN ; fr\tde-AT ", ("eng", "fra", "deu")),
        ("de,deu,ger", ("deu",)),
        ("zh,zh-Hant-HK,zh_TW,chi_sim", ("chi_sim", "chi_tra")),
        ("sr,sr-Latn,sr-Latn-RS", ("srp", "srp_latn")),
        ("nb,nn,no", ("nor",)),
        ("frk,chi_tra_vert", ("frk", "chi_tra_vert")),
    ],
)
def test_names_of_languages_become_the_codes_of_engines(text: str, codes: tuple[str, ...]) -> None:
    assert parse_languages(text) == codes


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("klingon", "'klingon' is not the code of a language that can be read"),
        ("xx", "'xx' is not the code"),
        ("en,../../eng", "'../../eng' is not the code"),
        ("en,--psm", "'--psm' is not the code"),
        ("\u0435n", "is not the code"),
        ("e" * 201, "longer than 200 characters"),
        ("af,am,ar,as,az,be,bg,bn,bo,br,bs", f"more than {MAX_LANGUAGES} languages"),
    ],
)
def test_what_names_no_language_is_refused_with_an_example(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=r'for example "en,de"') as refused:
        parse_languages(text)
    assert fault in str(refused.value)


def test_every_language_that_a_cpu_engine_has_a_script_for_can_be_named() -> None:
    assert set(engines._SCRIPTS) <= CODES
    for code in engines._SCRIPTS:
        assert parse_languages(code) == (code,)
