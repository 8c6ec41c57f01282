"""The command offers what the service does."""

import pytest

from libs.jobstate.intake import OcrMode
from services.local.__main__ import _parser
from services.web.outputs.result import ResultForm


@pytest.mark.parametrize(("option", "values"), [("--format", ResultForm), ("--ocr", OcrMode)])
def test_every_form_and_way_of_the_service_can_be_asked_for(option: str, values: type[ResultForm | OcrMode]) -> None:
    for value in values:
        given = _parser().parse_args(["ocr", "a.pdf", option, value.value])
        assert vars(given)[option.removeprefix("--")] == value
