import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, WEBHOOK_QUEUE
from libs.taskqueue.queue_settings import (
    DEFAULT_QUEUE_FILE,
    SHIPPED_QUEUE_FILE,
    BadQueueFile,
    QueueSettings,
    queue_path,
    read_queue_settings,
)

QUEUE: dict[str, Any] = {
    "rateLimits": {"maxDispatchesPerSecond": 10, "maxConcurrentDispatches": 2},
    "retryConfig": {
        "maxAttempts": 7,
        "maxRetryDuration": "120s",
        "minBackoff": "0.5s",
        "maxBackoff": "60s",
        "maxDoublings": 4,
    },
    "dispatchDeadline": "600s",
}


def written(path: Path, *changes: tuple[str, object]) -> Path:
    """A queue file in which the dotted keys of `ocr-processing` have other values; `...` removes one."""
    queue = copy.deepcopy(QUEUE)
    for key, value in changes:
        *sections, last = key.split(".")
        place = queue
        for section in sections:
            place = place[section]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    file = path / "queue.yaml"
    file.write_text(yaml.safe_dump({"queues": {OCR_QUEUE: queue, EXTRACT_QUEUE: QUEUE}}))
    return file


def test_the_shipped_file_serialises_ocr_and_never_gives_a_task_up() -> None:
    settings = read_queue_settings(SHIPPED_QUEUE_FILE)

    assert settings.keys() == {OCR_QUEUE, EXTRACT_QUEUE, WEBHOOK_QUEUE}
    assert settings[OCR_QUEUE].max_concurrent_dispatches == 1
    pages = [settings[OCR_QUEUE], settings[EXTRACT_QUEUE]]
    assert all(queue.max_attempts is None and queue.max_retry_seconds is None for queue in pages)
    assert all(queue.dispatch_deadline_seconds == 600 for queue in pages)


def test_a_file_from_before_there_were_webhooks_has_the_shipped_queue_for_them(tmp_path: Path) -> None:
    assert (
        read_queue_settings(written(tmp_path))[WEBHOOK_QUEUE] == read_queue_settings(SHIPPED_QUEUE_FILE)[WEBHOOK_QUEUE]
    )


def test_every_key_reaches_its_setting(tmp_path: Path) -> None:
    file = written(tmp_path, ("rateLimits.maxBurstSize", 3))

    assert read_queue_settings(file)[OCR_QUEUE] == QueueSettings(
        max_dispatches_per_second=10.0,
        max_concurrent_dispatches=2,
        max_burst_size=3,
        max_attempts=7,
        max_retry_seconds=120.0,
        min_backoff_seconds=0.5,
        max_backoff_seconds=60.0,
        max_doublings=4,
        dispatch_deadline_seconds=600.0,
    )


def test_minus_one_attempts_and_zero_duration_mean_unlimited(tmp_path: Path) -> None:
    file = written(tmp_path, ("retryConfig.maxAttempts", -1), ("retryConfig.maxRetryDuration", "0s"))

    settings = read_queue_settings(file)[OCR_QUEUE]

    assert settings.max_attempts is None
    assert settings.max_retry_seconds is None


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("rateLimits.maxDispatchesPerSecond", 0, "0: must be a number above 0, at most 500"),
        ("rateLimits.maxDispatchesPerSecond", 501, "501: must be"),
        ("rateLimits.maxDispatchesPerSecond", float("nan"), "nan: must be"),
        ("rateLimits.maxDispatchesPerSecond", True, "True: must be"),
        ("rateLimits.maxConcurrentDispatches", 0, "0: must be a whole number from 1 to 5000"),
        ("rateLimits.maxConcurrentDispatches", 1.5, "1.5: must be a whole number"),
        ("rateLimits.maxConcurrentDispatches", ..., "is missing"),
        ("rateLimits.maxBurstSize", "2", "'2': must be a whole number"),
        ("retryConfig.maxAttempts", 0, "0: must be -1 (unlimited) or at least 1"),
        ("retryConfig.maxAttempts", -2, "-2: must be"),
        ("retryConfig.minBackoff", "1", "'1': must be seconds with an \"s\", such as 0.5s"),
        ("retryConfig.minBackoff", 1, "1: must be seconds"),
        ("retryConfig.minBackoff", "0s", "'0s': must be from 0.001s"),
        ("retryConfig.maxBackoff", "0.1s", "'0.1s': must not be below minBackoff (0.5s)"),
        ("retryConfig.maxDoublings", 17, "17: must be a whole number from 0 to 16"),
        ("retryConfig.maxRetryDuration", "-5s", "'-5s': must be seconds"),
        ("retryConfig.maxRetries", 3, "is not a known key"),
        ("dispatchDeadline", "14s", "'14s': must be from 15s to 1800s"),
        ("dispatchDeadline", "1801s", "'1801s': must be from"),
        ("rateLimits", 5, "5: must be a mapping"),
        ("priority", 1, "is not a known key"),
    ],
)
def test_a_wrong_value_is_named_with_its_file_queue_and_key(
    tmp_path: Path, key: str, value: object, fault: str
) -> None:
    file = written(tmp_path, (key, value))

    with pytest.raises(BadQueueFile) as error:
        read_queue_settings(file)

    assert str(error.value).startswith(f'{file}: queue "{OCR_QUEUE}": {key} ')
    assert fault in str(error.value)


def test_a_missing_queue_and_an_unknown_one_are_errors(tmp_path: Path) -> None:
    file = tmp_path / "queue.yaml"

    file.write_text(yaml.safe_dump({"queues": {OCR_QUEUE: QUEUE}}))
    with pytest.raises(BadQueueFile, match="ocr-extraction is missing"):
        read_queue_settings(file)

    file.write_text(yaml.safe_dump({"queues": {OCR_QUEUE: QUEUE, EXTRACT_QUEUE: QUEUE, "ocr-other": QUEUE}}))
    with pytest.raises(BadQueueFile, match="ocr-other is not a known key"):
        read_queue_settings(file)


def test_a_key_written_twice_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "queue.yaml"
    file.write_text(SHIPPED_QUEUE_FILE.read_text().replace("maxDoublings: 5", "maxDoublings: 5\n      maxDoublings: 6"))

    with pytest.raises(BadQueueFile, match="'maxDoublings' is there twice"):
        read_queue_settings(file)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "{", "queues: []\n", "?\n? [a]\n: b\n"])
def test_a_file_of_another_shape_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "queue.yaml"
    file.write_text(text)

    with pytest.raises(BadQueueFile, match=str(file)):
        read_queue_settings(file)


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadQueueFile, match=r"absent\.yaml: cannot be read"):
        read_queue_settings(tmp_path / "absent.yaml")


def test_the_default_queue_file_is_found_from_any_folder_and_a_file_of_ones_own_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert queue_path(DEFAULT_QUEUE_FILE) == SHIPPED_QUEUE_FILE
    assert queue_path("mine.yaml") == Path("mine.yaml")
    own = tmp_path / DEFAULT_QUEUE_FILE
    own.parent.mkdir()
    own.touch()
    assert queue_path(DEFAULT_QUEUE_FILE).resolve() == own
