"""`processing.json` as stored."""

from libs.codec import Codec, TornObject
from libs.jobstate.job import Job


class TornRecord(TornObject):
    """The stored record cannot be decoded."""


_codec = Codec(Job, TornRecord)
encode, decode = _codec.encode, _codec.decode
