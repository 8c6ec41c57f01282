"""What changes with every version: images, services and the sweep, roll-backs, and the models."""

import re

from deploy import manifest
from deploy.command import Command, Secret, Step, Word, gcloud
from deploy.settings import REGISTRY, DeploySettings
from libs.config import ConfigError
from libs.internal_token import HEADER

PULLED_MODELS = "build/models"
COMMIT = re.compile("[0-9a-f]{40}")


def images(settings: DeploySettings) -> list[Step]:
    """Both images, built and stored by Cloud Build."""
    if settings.gpu and not settings.torch_index_url:
        raise ConfigError("WORKER_DEVICE=gpu needs TORCH_INDEX_URL: PyTorch's index of wheels for CUDA 12.6.")
    worker = "worker-gpu" if settings.gpu else "worker"
    extras = "worker,cpu,gpu,gcp" if settings.gpu else "worker,cpu,gcp"
    baked = settings.model_name if settings.gpu and settings.model_source == "image" else ""
    commands = (
        *_registry(settings),
        _build(settings, "web", settings.image("web"), extras="web,gcp", torch="", model=""),
        _build(settings, "worker", settings.image(worker), extras=extras, torch=settings.torch_index_url, model=baked),
    )
    return [Step(title="The images", commands=commands)]


def worker(settings: DeploySettings) -> list[Step]:
    """The worker, and the queue's right to call it."""
    commands = (
        *_registry(settings),
        _replace(settings, manifest.worker(settings)),
        _invoker(settings, settings.worker_service, f"serviceAccount:{settings.account(settings.tasks_account)}"),
    )
    return [Step(title="The worker: private, called by its queue alone", commands=commands)]


def web(settings: DeploySettings) -> list[Step]:
    """The private half of web, then the public one."""
    private = (
        *_registry(settings),
        _replace(settings, manifest.extract(settings)),
        _invoker(settings, settings.extract_service, f"serviceAccount:{settings.account(settings.tasks_account)}"),
    )
    public = (_replace(settings, manifest.web(settings)), *_admission(settings))
    return [
        Step(title="Extraction: private, called by its queue and the sweep", commands=private),
        Step(title="Web: public", commands=public),
    ]


def sweep(settings: DeploySettings) -> list[Step]:
    """The scheduler job of the sweep, which wakes jobs that make no progress."""
    job = ("scheduler", "jobs")
    base = settings.url(settings.extract_service)
    place = (f"--location={settings.region}", f"--project={settings.project}")
    # Cloud Run removes the token's signature, so the service requires the secret too (docs/deploy.md).
    token = f"={HEADER}="
    target: tuple[Word, ...] = (
        f"--schedule={settings.sweep_schedule}",
        f"--uri={base}/internal/sweep",
        "--http-method=POST",
        f"--oidc-service-account-email={settings.account(settings.tasks_account)}",
        f"--oidc-token-audience={base}",
        # The next sweep starts after a minute anyway.
        "--attempt-deadline=60s",
        *place,
    )
    secret = {"name": settings.token_secret, "project": settings.project}
    create = ("create", "http", settings.sweep_job, *target, Secret(before=f"--headers{token}", **secret))
    update = ("update", "http", settings.sweep_job, *target, Secret(before=f"--update-headers{token}", **secret))
    command = Command(
        words=gcloud(*job, *create),
        unless=gcloud(*job, "describe", settings.sweep_job, *place),
        instead=gcloud(*job, *update),
    )
    return [Step(title="The sweep", commands=(command,))]


def revisions(settings: DeploySettings) -> list[Step]:
    """The revisions of each service, newest first."""
    commands = (
        Command(
            words=gcloud(
                *("run", "revisions", "list", f"--service={service}", "--limit=5"),
                *("--sort-by=~metadata.creationTimestamp", *place(settings)),
            )
        )
        for service in (settings.web_service, settings.extract_service, settings.worker_service)
    )
    return [Step(title="The newest revisions", commands=(*commands,))]


def rollback(settings: DeploySettings) -> list[Step]:
    """All traffic of one service to an earlier revision. Raises `ConfigError` when it is not named."""
    if not settings.service or not settings.revision:
        raise ConfigError(
            "SERVICE (web, extract or worker) and REVISION are needed; `make deploy-revisions` lists the revisions."
        )
    services = {
        "web": settings.web_service,
        "extract": settings.extract_service,
        "worker": settings.worker_service,
    }
    update = gcloud(
        *("run", "services", "update-traffic", services[settings.service]),
        *(f"--to-revisions={settings.revision}=100", *place(settings)),
    )
    return [Step(title=f"Back to {settings.revision}", commands=(Command(words=update),))]


def models(settings: DeploySettings) -> list[Step]:
    """Fill the bucket of models: the model at its revision, laid out as a hub cache."""
    folder = f"models--{settings.model_name.replace('/', '--')}"
    source = f"{PULLED_MODELS}/hub/{folder}"
    target = f"gs://{settings.model_bucket}/hub/{folder}"
    pull = ("hf", "download", settings.model_name, f"--revision={settings.chosen_revision}")
    # The copy follows links, so the blobs that they point to need not be copied. The ref is copied last: a model counts
    # as present once its ref resolves. A commit has no ref, and `hf` makes none for it.
    parts = ("snapshots",) if COMMIT.fullmatch(settings.chosen_revision) else ("snapshots", "refs")
    copies = (Command(words=gcloud("storage", "cp", "--recursive", f"{source}/{part}", f"{target}/")) for part in parts)
    commands = (Command(words=(*pull, f"--cache-dir={PULLED_MODELS}/hub")), *copies)
    return [Step(title=f"The model {settings.model_name}", commands=commands)]


def _registry(settings: DeploySettings) -> tuple[Command, ...]:
    """The command that reads the address of the images from their repository, unless a setting has it."""
    if settings.image_registry:
        return ()
    describe = gcloud(
        *("artifacts", "repositories", "describe", settings.repository, "--format=value(registryUri)"),
        *(f"--location={settings.region}", f"--project={settings.project}"),
    )
    return (Command(words=describe, into=REGISTRY.strip("${}")),)


def _build(settings: DeploySettings, service: str, image: str, *, extras: str, torch: str, model: str) -> Command:
    # Not separated by commas, since the extras contain them.
    chosen = (
        f"^;^_SERVICE={service};_IMAGE={image};_EXTRAS={extras};_TORCH_INDEX_URL={torch}"
        f";_MODEL_NAME={model};_MODEL_REVISION={settings.chosen_revision}"
    )
    return Command(
        words=gcloud(
            *("builds", "submit", ".", "--config=deploy/cloudbuild.yaml", f"--substitutions={chosen}"),
            # Uploads what the images are made of, and no other file of the folder.
            *("--ignore-file=.dockerignore", f"--project={settings.project}"),
        )
    )


def _replace(settings: DeploySettings, text: str) -> Command:
    return Command(words=gcloud("run", "services", "replace", "-", *place(settings)), text=text)


def _admission(settings: DeploySettings) -> tuple[Command, ...]:
    """Who may reach the public service; the service itself checks who its users are."""
    if settings.identity != "iap":
        return (_invoker(settings, settings.web_service, "allUsers"),)
    agent = f"service-{settings.project_number}@gcp-sa-iap.iam.gserviceaccount.com"
    identity = gcloud(
        "beta", "services", "identity", "create", "--service=iap.googleapis.com", f"--project={settings.project}"
    )
    members = (
        Command(
            words=gcloud(
                *("beta", "iap", "web", "add-iam-policy-binding", "--resource-type=cloud-run"),
                *(f"--service={settings.web_service}", f"--member={member}"),
                *("--role=roles/iap.httpsResourceAccessor", *place(settings)),
            )
        )
        for member in settings.iap_members.split(",")
    )
    return (Command(words=identity), _invoker(settings, settings.web_service, f"serviceAccount:{agent}"), *members)


def _invoker(settings: DeploySettings, service: str, member: str) -> Command:
    return Command(
        words=gcloud(
            *("run", "services", "add-iam-policy-binding", service, f"--member={member}"),
            *("--role=roles/run.invoker", *place(settings)),
        )
    )


def place(settings: DeploySettings) -> tuple[str, ...]:
    """The flags that say where a service of Cloud Run is."""
    return (f"--region={settings.region}", f"--project={settings.project}")
