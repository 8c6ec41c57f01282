"""`processing.json` on the wire: one encode, one decode, one decode error."""

import msgspec

from libs.jobstate.job import Job


class TornRecord(ValueError):
    """The stored record cannot be decoded."""


_decoder = msgspec.json.Decoder(Job)


def encode(job: Job) -> bytes:
    """The record as stored."""
    return msgspec.json.encode(job)


def decode(data: bytes) -> Job:
    """Read a stored record. Raises `TornRecord`."""
    try:
        return _decoder.decode(data)
    except (ValueError, RecursionError) as error:  # msgspec recurses into what it skips
        raise TornRecord(str(error)) from error
