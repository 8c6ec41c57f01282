"""What is left when nothing happens any more, held against what went in."""

from collections.abc import Callable, Iterable, Mapping

from libs.jobstate.ending import section
from libs.jobstate.job import Job
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.jobstate.page import PageStatus
from libs.jobstate.plan import batches
from libs.jobstate.status import JobStatus
from libs.storage import layout
from services.web.webhooks.delivery import OPERATOR, message_id
from tests.simulation import script
from tests.simulation.facts import Facts, Shelf, outcome_at


class LastState:
    """The objects at the end. `accepted`: how often the receiver of webhooks accepted each message."""

    def __init__(self, bucket: Shelf, accepted: Mapping[str, int], fail: Callable[[str, str], None]) -> None:
        self._bucket = bucket
        self._accepted = accepted
        self._fail = fail

    def check(self, sessions: Iterable[Facts]) -> None:
        """Every job, as it is left."""
        for facts in sessions:
            if facts.buried:
                left = self._bucket.list(facts.prefix) + self._bucket.list(
                    layout.active_path(facts.user_hash, facts.session_id)
                )
                if left:
                    self._fail(f"a deleted job left {left[0].path}", facts.session_id)
            elif facts.job is not None:
                self._check_job(facts, facts.job)
            elif facts.accepted:
                self._fail("an accepted job has no record", facts.session_id)
            elif (left := self._bucket.list(facts.prefix)) and not self._bucket.peek(
                layout.active_path(facts.user_hash, facts.session_id)
            ):
                self._fail(f"a refused upload left {left[0].path}, and nobody will look there", facts.session_id)

    def _check_job(self, facts: Facts, job: Job) -> None:
        assert facts.document is not None
        # Where a record is lost, how an earlier run ended may be lost with it.
        for run in ({job.run} if facts.torn else facts.ended_runs) if job.notify else ():
            if not self._accepted.get(message_id(facts.session_id, run, OPERATOR)):
                self._fail(f"the end of run {run} was not told", facts.session_id)
        if self._bucket.peek(facts.prefix + layout.PASSWORD) is not None:
            self._fail("the password of a job that has ended is still there", facts.session_id)
        for (run, page_no), count in facts.readings.items():
            if count > 1 + facts.excuses:
                why = f"with {facts.excuses} reasons to repeat it"
                self._fail(f"page {page_no} was read {count} times in run {run} {why}", facts.session_id)
        if job.status is JobStatus.CANCELLED:
            if not facts.cancelled:
                self._fail("nobody cancelled this job", facts.session_id)
            return
        if not job.pages:
            if job.status is not JobStatus.FAILED or not (facts.document.unreadable or facts.forgotten):
                self._fail(f"a good document ended as {job.status}: {job.error}", facts.session_id)
            return
        if tuple(job.pages) != facts.document.requested():
            self._fail("the plan is not what was asked for", facts.session_id)
        failed = job.count(PageStatus.FAILED)
        due = JobStatus.PARTIAL if failed else JobStatus.COMPLETED
        if job.status is not (JobStatus.FAILED if failed == len(job.pages) else due):
            self._fail(f"{failed} of {len(job.pages)} pages failed and the job is {job.status}", facts.session_id)
        self._check_pages(facts, job)

    def _check_pages(self, facts: Facts, job: Job) -> None:
        sections = []
        for page_no, page in job.pages.items():
            found = outcome_at(self._bucket, facts, page_no)
            if found is None or found.status.value != page.status.value:
                self._fail(f"page {page_no} is not accounted for", facts.session_id)
                continue
            sections.append(section(page_no, found))
            if found.run == page.run and found.engine != page.engine:
                self._fail(f"the record names another engine of page {page_no} than its outcome", facts.session_id)
            self._check_asked(facts, page_no, found)
            stored = self._bucket.peek(facts.prefix + layout.PAGE_RESULT.format(page_no))
            if found.status is OutcomeStatus.COMPLETED and (stored is None or stored.data.decode() != found.text):
                self._fail(f"the text file of page {page_no} is not its text", facts.session_id)
        combined = self._bucket.peek(facts.prefix + layout.COMBINED)
        if combined is None or combined.data.decode() != "\n".join(sections):
            self._fail("the combined result is not its pages in order", facts.session_id)
        for batch in batches(job):
            if not all(job.pages[n].ended for n in batch.pages):
                self._fail(f"batch {batch.name} has not ended", facts.session_id)

    def _check_asked(self, facts: Facts, page_no: int, found: PageOutcome) -> None:
        """What its user asked for last was read, and as it was asked for."""
        asked = {run: options for (run, number), options in facts.asked.items() if number == page_no}
        if found.run < max(asked, default=0):
            self._fail(f"page {page_no} was not read again in run {max(asked)}", facts.session_id)
        for run, options in asked.items():
            reading = facts.good[page_no].get(run)
            if reading is None or reading.blank or reading.engine == "spare":
                continue
            if reading.engine != options.get("engine", script.ENGINE):
                self._fail(f"page {page_no} was read in run {run} by {reading.engine}", facts.session_id)
            if not reading.text.endswith(f" at {options.get('dpi', script.DPI)} dpi"):
                self._fail(f"page {page_no} was read in run {run} from another image", facts.session_id)
