"""What the services of a deployment need: APIs, accounts, buckets, the secrets, the queues."""

import json
from collections.abc import Mapping

from deploy import queues as queue_flags
from deploy.command import Command, Step, Word, gcloud
from deploy.settings import DeploySettings
from libs.taskqueue.queue import OCR_QUEUE, WEBHOOK_QUEUE
from libs.taskqueue.queue_settings import QueueSettings

APIS = ("run", "cloudtasks", "cloudscheduler", "storage", "secretmanager", "artifactregistry", "cloudbuild", "iam")
LOG_RATIO = 1.0
#: The log bucket of audit events, and the sink that fills it.
AUDIT_LOG = "gnosis-ocr-audit"


def setup(settings: DeploySettings) -> list[Step]:
    """APIs, accounts, image repository, buckets and secrets, with who may do what on each."""
    return [_apis(settings), _accounts(settings), _repository(settings), _buckets(settings), _secrets(settings)]


def queues(settings: DeploySettings, limits: Mapping[str, QueueSettings]) -> list[Step]:
    """The queues, and who may put tasks on them. Raises `NotDeployable`."""
    place = (f"--location={settings.region}", f"--project={settings.project}")
    commands: list[Command] = []
    for name, queue in limits.items():
        create, update = (
            queue_flags.command(verb, name, queue, place=place, log_ratio=LOG_RATIO) for verb in ("create", "update")
        )
        described = gcloud("tasks", "queues", "describe", name, *place)
        commands.append(Command(words=(*create, "--quiet"), unless=described, instead=(*update, "--quiet")))
    # Readiness reads the queue's state, which the role of an enqueuer does not allow.
    grants = [
        (name, account, role)
        for account in (settings.web_account, settings.extract_account)
        for name in limits
        for role in ("roles/cloudtasks.enqueuer", "roles/cloudtasks.viewer")
    ]
    grants += [(name, settings.worker_account, "roles/cloudtasks.enqueuer") for name in (OCR_QUEUE, WEBHOOK_QUEUE)]
    commands += [
        _grant(settings, ("tasks", "queues"), name, account, role, f"--location={settings.region}")
        for name, account, role in grants
    ]
    return [Step(title=f"The queues {', '.join(limits)}, as {settings.queue_file} says", commands=(*commands,))]


def audit(settings: DeploySettings) -> list[Step]:
    """Audit events in a log bucket of their own, kept for longer than other lines."""
    project, name = f"--project={settings.project}", AUDIT_LOG
    place = (f"--location={settings.region}", project)
    days = f"--retention-days={settings.audit_days}"
    described = gcloud("logging", "buckets", "describe", name, *place)
    bucket = Command(
        words=gcloud("logging", "buckets", "create", name, days, *place),
        unless=described,
        instead=gcloud("logging", "buckets", "update", name, days, *place),
    )
    target = f"logging.googleapis.com/projects/{settings.project}/locations/{settings.region}/buckets/{name}"
    wanted = '--log-filter=resource.type="cloud_run_revision" AND jsonPayload.log="audit"'
    sink = Command(
        words=gcloud("logging", "sinks", "create", name, target, wanted, project),
        unless=gcloud("logging", "sinks", "describe", name, project),
        instead=gcloud("logging", "sinks", "update", name, target, wanted, project),
    )
    return [Step(title=f"Audit events: kept for {settings.audit_days} days", commands=(bucket, sink))]


def lifecycle(retention_days: int) -> str:
    """The bucket's rules as JSON: a job's files are deleted so many days after they were written."""
    rule = {"action": {"type": "Delete"}, "condition": {"age": retention_days, "matchesPrefix": ["users/"]}}
    return json.dumps({"rule": [rule]})


def browsers(settings: DeploySettings) -> str:
    """The bucket's CORS settings as JSON: the web page may send large files there itself."""
    origins = [settings.url(settings.web_service), *filter(None, settings.web_origins.split(","))]
    rule = {
        "origin": origins,
        "method": ["PUT"],
        "responseHeader": ["Content-Type", "Content-Range", "Range"],
        "maxAgeSeconds": 3600,
    }
    return json.dumps([rule])


def _apis(settings: DeploySettings) -> Step:
    names = (*APIS, "iap") if settings.identity == "iap" else APIS
    enable = gcloud(
        "services", "enable", *(f"{name}.googleapis.com" for name in names), f"--project={settings.project}"
    )
    return Step(title="The APIs", commands=(Command(words=enable),))


def _accounts(settings: DeploySettings) -> Step:
    project = f"--project={settings.project}"
    purposes = {
        settings.web_account: "Gnosis OCR web: takes uploads, answers users",
        settings.extract_account: "Gnosis OCR extraction: renders pages, sweeps",
        settings.worker_account: "Gnosis OCR worker: reads pages",
        settings.tasks_account: "Gnosis OCR queues and sweep: may call the private services",
    }
    commands = [
        Command(
            words=gcloud("iam", "service-accounts", "create", name, f"--display-name={purpose}", project),
            unless=gcloud("iam", "service-accounts", "describe", settings.account(name), project),
        )
        for name, purpose in purposes.items()
    ]
    # A service that enqueues a task names the account that pushes it, and needs the right to act as that account.
    commands += [
        _grant(
            settings,
            ("iam", "service-accounts"),
            settings.account(settings.tasks_account),
            account,
            "roles/iam.serviceAccountUser",
        )
        for account in (settings.web_account, settings.extract_account, settings.worker_account)
    ]
    return Step(title="The accounts: one a service, and one as which the queues push", commands=(*commands,))


def _repository(settings: DeploySettings) -> Step:
    place = (f"--location={settings.region}", f"--project={settings.project}")
    create = gcloud("artifacts", "repositories", "create", settings.repository, "--repository-format=docker", *place)
    describe = gcloud("artifacts", "repositories", "describe", settings.repository, *place)
    return Step(title="The repository of images", commands=(Command(words=create, unless=describe),))


def _buckets(settings: DeploySettings) -> Step:
    jobs, state, models = (f"gs://{name}" for name in (settings.bucket, settings.state_bucket, settings.model_bucket))
    if settings.retention_days:
        rules = Command(
            words=gcloud("storage", "buckets", "update", jobs, "--lifecycle-file=/dev/stdin"),
            text=lifecycle(settings.retention_days),
        )
    else:
        rules = Command(words=gcloud("storage", "buckets", "update", jobs, "--clear-lifecycle"))
    sharing = Command(
        words=gcloud("storage", "buckets", "update", jobs, "--cors-file=/dev/stdin"), text=browsers(settings)
    )
    commands = (
        _bucket(settings, jobs),
        rules,
        sharing,
        _bucket(settings, state),
        _bucket(settings, models),
        *(
            _grant(settings, ("storage", "buckets"), jobs, account, "roles/storage.objectUser")
            for account in (settings.web_account, settings.extract_account, settings.worker_account)
        ),
        # A bucket of its own and no condition on object names: a condition does not restrict listing, and a role on the
        # bucket of jobs for the services that open documents would have to exclude the keys by name.
        _grant(settings, ("storage", "buckets"), state, settings.web_account, "roles/storage.objectViewer"),
        _grant(settings, ("storage", "buckets"), models, settings.worker_account, "roles/storage.objectViewer"),
    )
    return Step(title="The buckets: of jobs, of API keys for web, of models for the worker", commands=commands)


def _bucket(settings: DeploySettings, url: str) -> Command:
    create = gcloud(
        *("storage", "buckets", "create", url, f"--project={settings.project}", f"--location={settings.region}"),
        *("--uniform-bucket-level-access", "--public-access-prevention"),
        # What a user deletes must be gone; and every version of a record that is written each second would be kept.
        "--soft-delete-duration=0",
    )
    return Command(words=create, unless=gcloud("storage", "buckets", "describe", url))


def _secrets(settings: DeploySettings) -> Step:
    # A service gets a secret only where it uses it: extraction has no route of the operator.
    readers = {
        settings.token_secret: (settings.web_account, settings.extract_account, settings.worker_account),
        settings.operator_secret: (settings.web_account, settings.worker_account),
    }
    role = "roles/secretmanager.secretAccessor"
    commands: list[Command] = []
    for name, accounts in readers.items():
        commands.append(_secret(settings, name))
        commands += [_grant(settings, ("secrets",), name, account, role) for account in accounts]
    return Step(title="The secrets: of the services and their queue, and of the operator", commands=(*commands,))


def _secret(settings: DeploySettings, name: str) -> Command:
    """A secret of 256 random bits."""
    project = f"--project={settings.project}"
    return Command(
        words=gcloud("secrets", "create", name, "--replication-policy=automatic", "--data-file=-", project),
        unless=gcloud("secrets", "describe", name, project),
        fed_by=("openssl", "rand", "-hex", "32"),
    )


def _grant(
    settings: DeploySettings, kind: tuple[Word, ...], name: str, account: str, role: str, *more: Word
) -> Command:
    """A role on one thing for one account."""
    # The names of buckets are global; all other names are looked up in a project.
    project = () if name.startswith("gs://") else (f"--project={settings.project}",)
    member = f"--member=serviceAccount:{settings.account(account)}"
    return Command(words=gcloud(*kind, "add-iam-policy-binding", name, member, f"--role={role}", *more, *project))
