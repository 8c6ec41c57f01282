"""Replacing the token that the services share, while they run: `libs/internal_token.py` says why none is refused."""

from deploy import release
from deploy.command import Command, Step, Word, gcloud
from deploy.settings import DeploySettings
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, WEBHOOK_QUEUE


def rotate(settings: DeploySettings) -> list[Step]:
    """A new token for the services, which all accept before one sends it; the token before stays accepted.

    May be repeated after an interruption: every value is kept until `rotate_end`.
    """
    current, new = "${TOKENS}", "${NEW_TOKEN}"
    return [
        Step(
            title="A new token, accepted beside the present one",
            commands=(
                _stored_token(settings),
                Command(words=("openssl", "rand", "-hex", "32"), into="NEW_TOKEN"),
                _new_version(settings, f"{current},{new}"),
                *_restarted(settings, "announced"),
            ),
        ),
        Step(
            title="The new token is sent, the one before is accepted",
            commands=(_new_version(settings, f"{new},{current}"), *_restarted(settings, "sent")),
        ),
        *release.sweep(settings),
    ]


def rotate_end(settings: DeploySettings) -> list[Step]:
    """Accept only the token that is sent, once no request and no task can carry another."""
    # A request that began before the exchange may, until it ends, enqueue tasks with the token before.
    longest = max(settings.web_request_seconds, settings.extract_request_seconds, settings.worker_request_seconds)
    project = f"--project={settings.project}"
    described = gcloud(
        *("secrets", "versions", "describe", "latest", f"--secret={settings.token_secret}", project),
        "--format=value(createTime.date('%s'))",
    )
    checks = [
        Command(words=("cut", "-d.", "-f1"), fed_by=described, into="ROTATED"),
        Command(words=("expr", "${ROTATED}", "+", str(2 * longest)), into="EARLIEST"),
        Command(words=("date", "+%s"), into="NOW"),
        _stop_unless(
            ("test", "${NOW}", "-ge", "${EARLIEST}"), f"The token was changed less than {2 * longest} s ago: try later."
        ),
    ]
    for queue in (OCR_QUEUE, EXTRACT_QUEUE, WEBHOOK_QUEUE):
        listed = gcloud(
            *("tasks", "list", f"--queue={queue}", f"--location={settings.region}", project),
            *(f"--filter=createTime<-PT{longest}S", "--format=value(name)"),
        )
        checks += [
            Command(words=listed, into="OLD_TASKS"),
            _stop_unless(("test", "-z", "${OLD_TASKS}"), f"Tasks of {queue} may carry the token before: try later."),
        ]
    return [
        Step(title="Whether a request or a task may still carry the token before", commands=(*checks,)),
        Step(
            title="Only the token that is sent is accepted",
            commands=(
                _stored_token(settings),
                Command(words=("cut", "-d,", "-f1"), fed_by=("printf", "%s", "${TOKENS}"), into="TOKEN"),
                _new_version(settings, "${TOKEN}"),
                *_restarted(settings, "alone"),
            ),
        ),
    ]


def _stored_token(settings: DeploySettings) -> Command:
    secret = (f"--secret={settings.token_secret}", f"--project={settings.project}")
    return Command(words=gcloud("secrets", "versions", "access", "latest", *secret), into="TOKENS")


def _new_version(settings: DeploySettings, value: str) -> Command:
    # printf is the shell's own: what it is given shows in no list of processes.
    add = gcloud("secrets", "versions", "add", settings.token_secret, "--data-file=-", f"--project={settings.project}")
    return Command(words=add, fed_by=("printf", "%s", value))


def _restarted(settings: DeploySettings, phase: str) -> tuple[Command, ...]:
    """New revisions of all services, whose instances read the secret at their start. Each command waits for its own."""
    return tuple(
        Command(
            words=gcloud("run", "services", "update", name, f"--update-labels=token={phase}", *release.place(settings))
        )
        for name in (settings.web_service, settings.extract_service, settings.worker_service)
    )


def _stop_unless(holds: tuple[Word, ...], advice: str) -> Command:
    return Command(words=("sh", "-c", 'echo "$1" >&2; exit 1', "sh", advice), unless=holds)
