"""Languages as clients name them (BCP 47, ISO 639), by the codes that engines know them by: Tesseract's.

Tesseract names most languages by ISO 639-3, some in a script of their own (`chi_tra`, `srp_latn`): see
https://tesseract-ocr.github.io/tessdoc/Data-Files-in-different-versions.html. Two-letter codes are of ISO 639-1, and
the bibliographic ones (`ger`) of ISO 639-2: https://www.loc.gov/standards/iso639-2/php/code_list.php.
"""

import re

#: Languages of one document at most. Chosen: Tesseract takes longer with each.
MAX_LANGUAGES = 10

# A name, and the code that it stands for: first ISO 639-1, then what else is in use.
_PAIRS = (
    "af:afr am:amh ar:ara as:asm az:aze be:bel bg:bul bn:ben bo:bod br:bre bs:bos ca:cat co:cos cs:ces cy:cym "
    "da:dan de:deu dv:div dz:dzo el:ell en:eng eo:epo es:spa et:est eu:eus fa:fas fi:fin fo:fao fr:fra fy:fry "
    "ga:gle gd:gla gl:glg gu:guj he:heb hi:hin hr:hrv ht:hat hu:hun hy:hye id:ind is:isl it:ita iu:iku ja:jpn "
    "jv:jav ka:kat kk:kaz km:khm kn:kan ko:kor ku:kmr ky:kir la:lat lb:ltz lo:lao lt:lit lv:lav mi:mri mk:mkd "
    "ml:mal mn:mon mr:mar ms:msa mt:mlt my:mya nb:nor ne:nep nl:nld nn:nor no:nor oc:oci or:ori pa:pan pl:pol "
    "ps:pus pt:por qu:que ro:ron ru:rus sa:san sd:snd si:sin sk:slk sl:slv sq:sqi sr:srp su:sun sv:swe sw:swa "
    "ta:tam te:tel tg:tgk th:tha ti:tir tl:tgl to:ton tr:tur tt:tat ug:uig uk:ukr ur:urd uz:uzb vi:vie yi:yid "
    "yo:yor zh:chi_sim iw:heb alb:sqi arm:hye baq:eus bur:mya chi:chi_sim cze:ces dut:nld fre:fra geo:kat ger:deu "
    "gre:ell ice:isl mac:mkd mao:mri may:msa nno:nor nob:nor per:fas rum:ron slo:slk tib:bod wel:cym zho:chi_sim "
    "zh-hans:chi_sim zh-hant:chi_tra zh-tw:chi_tra zh-hk:chi_tra zh-mo:chi_tra az-cyrl:aze_cyrl ku-arab:kur_ara "
    "sr-latn:srp_latn uz-cyrl:uzb_cyrl"
)
_NAMES = {name: code for name, _, code in (pair.partition(":") for pair in _PAIRS.split())}
# Those of Tesseract's codes that no name above stands for.
_FURTHER = "ceb chi_tra_vert chi_sim_vert chr enm fil frk frm grc jpn_vert kor_vert spa_old ita_old syr"
#: The codes of languages that some engine may know.
CODES = frozenset(_NAMES.values()) | frozenset(_FURTHER.split())

_SEPARATORS = re.compile(r"[,+;\s]+")
_TAG = re.compile(r"[a-z]{2,8}([-_][a-z0-9]{1,8}){0,4}")
_MAX_CHARACTERS = 200
_EXAMPLE = 'Name languages by their codes, for example "en,de" or "eng+deu".'


def parse_languages(text: str) -> tuple[str, ...]:
    """The codes of the languages that the text names, each once, in order; none where it is empty.

    Raises `ValueError` with a sentence for the user.
    """
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(f"The list of languages is longer than {_MAX_CHARACTERS} characters. {_EXAMPLE}")
    codes = dict.fromkeys(_code(tag) for tag in _SEPARATORS.split(text.strip().lower()) if tag)
    if len(codes) > MAX_LANGUAGES:
        raise ValueError(f"There are more than {MAX_LANGUAGES} languages. {_EXAMPLE}")
    return tuple(codes)


def _code(tag: str) -> str:
    """The code for one name: by language and script or region, else by the language alone."""
    if not _TAG.fullmatch(tag):
        raise ValueError(f"{tag[:20]!r} is not the code of a language. {_EXAMPLE}")
    if tag in CODES:
        return tag
    parts = tag.replace("_", "-").split("-")
    for known in ("-".join(parts[:2]), parts[0]):
        if known in _NAMES:
            return _NAMES[known]
        if known in CODES:
            return known
    raise ValueError(f"{tag[:20]!r} is not the code of a language that can be read. {_EXAMPLE}")
