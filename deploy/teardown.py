"""Removal of everything that a deployment made."""

from deploy.command import Command, Step, Word, gcloud
from deploy.foundation import AUDIT_LOG
from deploy.settings import DeploySettings
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, WEBHOOK_QUEUE


def down(settings: DeploySettings) -> list[Step]:
    """Remove all but the data; with `DELETE_DATA=yes` the buckets and all that is in them too."""
    project = f"--project={settings.project}"
    region, location = f"--region={settings.region}", f"--location={settings.region}"
    steps = [
        # Callers first, so that nothing calls a service that is gone.
        Step(
            title="Sweep and queues (a queue's name stays taken for some days)",
            commands=(
                _gone(("scheduler", "jobs"), settings.sweep_job, location, project),
                *(
                    _gone(("tasks", "queues"), name, location, project)
                    for name in (OCR_QUEUE, EXTRACT_QUEUE, WEBHOOK_QUEUE)
                ),
            ),
        ),
        Step(
            title="Services",
            commands=tuple(
                _gone(("run", "services"), name, region, project)
                for name in (settings.web_service, settings.extract_service, settings.worker_service)
            ),
        ),
        Step(
            title="Audit events: the sink, and with it no new ones (the log bucket stays for its days)",
            commands=(_gone(("logging", "sinks"), AUDIT_LOG, project),),
        ),
        Step(
            title="Images, secrets, accounts",
            commands=(
                _gone(("artifacts", "repositories"), settings.repository, location, project),
                _gone(("secrets",), settings.token_secret, project),
                _gone(("secrets",), settings.operator_secret, project),
                *(
                    _gone(("iam", "service-accounts"), settings.account(name), project)
                    for name in (
                        settings.web_account,
                        settings.extract_account,
                        settings.worker_account,
                        settings.tasks_account,
                    )
                ),
            ),
        ),
    ]
    if settings.delete_data:
        commands = tuple(
            Command(
                words=gcloud("storage", "rm", "--recursive", bucket),
                where=gcloud("storage", "buckets", "describe", bucket),
            )
            for bucket in (
                f"gs://{settings.bucket}",
                f"gs://{settings.state_bucket}",
                f"gs://{settings.model_bucket}",
            )
        )
        steps.append(Step(title="All uploads, results, API keys and models", commands=commands))
    return steps


def _gone(kind: tuple[str, ...], name: str, *place: Word) -> Command:
    """Delete it where it exists."""
    return Command(words=gcloud(*kind, "delete", name, *place), where=gcloud(*kind, "describe", name, *place))
