import pytest
from starlette.datastructures import Headers

from libs.config import ConfigError
from services.serving.metrics import new_registry
from services.serving.operator import Operator, check_operator_token
from services.serving.problem import Problem
from services.web.app import assemble as assemble_web
from services.web.config import WebConfig
from services.worker.app import assemble as assemble_worker
from services.worker.config import WorkerConfig

TOKEN = "o" * 40
RIGHT = [("authorization", f"Bearer {TOKEN}")]
WRONG = [
    [],
    [("authorization", "Bearer ")],
    [("authorization", TOKEN)],
    [("authorization", f"Bearer {TOKEN[:-1]}")],
    [("authorization", f"Bearer {TOKEN}x")],
    [("x-api-key", TOKEN)],
    [("x-internal-token", TOKEN)],
]


def headers(given: list[tuple[str, str]]) -> Headers:
    return Headers(raw=[(name.encode(), value.encode()) for name, value in given])


def test_the_token_opens_and_nothing_else_does() -> None:
    operator = Operator(TOKEN, is_open=False)
    assert operator.admits(headers(RIGHT))
    operator.require(headers(RIGHT))
    for given in WRONG:
        assert not operator.admits(headers(given)), given
        with pytest.raises(Problem) as refused:
            operator.require(headers(given))
        assert refused.value.status == 401
        assert TOKEN not in f"{refused.value.detail} {refused.value.hint}"


def test_two_authorization_headers_are_refused_whichever_is_right() -> None:
    with pytest.raises(Problem) as refused:
        Operator(TOKEN, is_open=False).admits(headers([*RIGHT, ("authorization", "Bearer other")]))
    assert refused.value.status == 400


def test_a_token_that_is_set_is_asked_for_even_where_all_else_is_open() -> None:
    assert not Operator(TOKEN, is_open=True).is_open
    assert not Operator(TOKEN, is_open=True).admits(headers([]))


def test_without_a_token_nobody_is_the_operator_of_a_service_that_is_not_open() -> None:
    closed = Operator("", is_open=False)
    for given in [*WRONG, RIGHT]:
        assert not closed.admits(headers(given)), given


@pytest.mark.parametrize(
    ("config", "is_open"),
    [
        (WebConfig(), True),
        (WebConfig(operator_token=TOKEN), False),
        (WebConfig(api_keys=True), False),
        (WebConfig(running_in_cloud=True, api_keys=True), False),
        (WebConfig(running_in_cloud=True, web_routes="internal"), False),
    ],
    ids=["local", "with a token", "with proofs", "cloud", "extract"],
)
def test_web_is_open_only_where_it_believes_everybody(config: WebConfig, is_open: bool) -> None:
    assert assemble_web(config, registry=new_registry()).state.operator.is_open == is_open


def test_the_worker_is_open_in_local_mode_alone() -> None:
    configs = [WorkerConfig(), WorkerConfig(operator_token=TOKEN), WorkerConfig(running_in_cloud=True)]
    found = [assemble_worker(config, registry=new_registry()).state.operator.is_open for config in configs]
    assert found == [True, False, False]


def test_a_token_that_could_be_guessed_stops_the_start() -> None:
    check_operator_token("")
    check_operator_token("o" * 32)
    with pytest.raises(ConfigError, match="openssl rand -hex 32"):
        check_operator_token("o" * 31)
