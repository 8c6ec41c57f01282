"""A model's answer: read by its profile, and the verdict on it."""

from services.worker.engines.guard.attempts import Verdict
from services.worker.engines.guard.repetition import has_loop
from services.worker.engines.profiles.profile import Answer, Profile, View
from services.worker.engines.profiles.wrapping import clean
from services.worker.engines.transcriber import Ending, Transcript


def judge(transcript: Transcript, profile: Profile, width: int, height: int) -> tuple[Answer, Verdict]:
    """The answer as blocks, and the verdict; only an answer that counts is read. The page's sides are in pixels.

    Every text is searched for loops: some models stop by themselves after one.
    """
    if transcript.ending is Ending.LOOP or has_loop(clean(transcript.text)):
        return Answer(blocks=()), Verdict.LOOP
    if transcript.ending is Ending.LENGTH:
        return Answer(blocks=()), Verdict.LENGTH
    shown_width, shown_height = transcript.shown or (width, height)
    view = View(width=width, height=height, shown_width=shown_width, shown_height=shown_height)
    answer = profile.read(transcript.text, view)
    return answer, Verdict.STOP if answer.blocks else Verdict.EMPTY
