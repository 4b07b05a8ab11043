"""What a Prefect server needs to run a project: deployments, a work pool and automations, set up anew or again.

Deployments name flows as modules, so that a worker runs them from any folder of any machine that has crosscheck.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow
from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.deployments.runner import RunnerDeployment
from prefect.events.schemas.deployment_triggers import DeploymentTriggerTypes
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron, Schedule
from prefect.types import SecretDict
from prefect.types.entrypoint import EntrypointType
from pydantic import SecretStr, TypeAdapter

from flows.server import has_server
from pipeline.errors import SettingsError

PROJECT = Path(__file__).parents[1]
NOTICES = "crosscheck-notices"
COMPUTES = "computes"
"""The tag of deployments that train or mine."""
FORMER_AUTOMATIONS = ("crosscheck crashed runs go on", "crosscheck runs that never began go on")
"""Of earlier releases, which `flows/recover.py` replaced."""
DEPLOYMENTS, AUTOMATIONS = PROJECT / "prefect.yaml", PROJECT / "automations.yaml"


@dataclass(frozen=True)
class Deployed:
    """What a server has after it.

    Attributes:
        deployments: Names, `flow/deployment`.
        automations: Names.
        pools: Work pools that workers must serve.
    """

    deployments: tuple[str, ...]
    automations: tuple[str, ...]
    pools: tuple[str, ...]


def deploy(config: Path, pool: str, gpu_pool: str = "", notify: str = "") -> Deployed:
    """Set up everything; what is there already is brought up to date.

    Args:
        config: Settings file that runs use unless they name another; workers find it at this absolute path.
        pool: Name of the work pool; made for processes where there is none.
        gpu_pool: That of machines with a GPU, for whatever trains or mines; `pool` without it.
        notify: Address that notices are posted to; without one nobody is told.

    Raises:
        SettingsError: No Prefect server is named.
    """
    if not has_server():
        raise SettingsError(
            "Expected a Prefect server in PREFECT_API_URL, found none. Start one with `prefect server start`, then "
            "export PREFECT_API_URL=http://127.0.0.1:4200/api."
        )
    described = yaml.safe_load(DEPLOYMENTS.read_text(encoding="utf-8"))["deployments"]
    with get_client(sync_client=True) as client:
        pools = tuple(dict.fromkeys([pool, gpu_pool or pool]))
        for each in pools:
            _ready_pool(client, each)
        names = tuple(
            _deploy(client, description, config, pools[-1] if COMPUTES in description["tags"] else pool)
            for description in described
        )
    block = _webhook(notify) if notify else None
    automations = [_calling(each, block) for each in yaml.safe_load(AUTOMATIONS.read_text(encoding="utf-8"))]
    for former in FORMER_AUTOMATIONS:
        _forget(former)
    return Deployed(names, tuple(_automate(each) for each in automations if each is not None), pools)


def _ready_pool(client: SyncPrefectClient, pool: str) -> None:
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    else:
        # A limit of an earlier release would be kept by a machine that has died.
        client.update_work_pool(pool, WorkPoolUpdate(concurrency_limit=None))


def _deploy(client: SyncPrefectClient, description: dict[str, Any], config: Path, pool: str) -> str:
    flow, parameters = _flow(description["entrypoint"]), description["parameters"]
    if "config" in parameters:
        parameters = {**parameters, "config": str(config.resolve())}
    triggers: list[Any] = TypeAdapter(list[DeploymentTriggerTypes]).validate_python(description.get("triggers", []))
    deployment: RunnerDeployment = flow.to_deployment(  # type: ignore[assignment]
        name=description["name"],
        description=description["description"],
        tags=description["tags"],
        parameters=parameters,
        schedules=[_schedule(schedule) for schedule in description.get("schedules", [])],
        triggers=triggers,
        work_pool_name=pool,
        job_variables=description["work_pool"]["job_variables"],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    made = deployment.apply()
    client.request("PATCH", "/deployments/{id}", path_params={"id": made}, json={"concurrency_limit": None})
    return f"{flow.name}/{description['name']}"


def _flow(entrypoint: str) -> Flow[..., Any]:
    file, name = entrypoint.split(":")
    flow: Flow[..., Any] = getattr(import_module(file.removesuffix(".py").replace("/", ".")), name)
    return flow


def _schedule(described: dict[str, str]) -> Schedule:
    return Cron(described["cron"], timezone=described["timezone"], slug=described["slug"])


def _webhook(url: str) -> str:
    """Save where notices go; returns the block's id."""
    # The address may hold a secret: Prefect keeps it encrypted.
    webhook: Any = Webhook(url=SecretStr(url), headers=SecretDict({"Content-Type": "application/json"}))
    return str(webhook.save(NOTICES, overwrite=True))


def _calling(description: dict[str, Any], block: str | None) -> dict[str, Any] | None:
    """An automation whose webhook is the saved one; None for one that has none to call."""
    calls = any(action.get("block_document_id") == NOTICES for action in description["actions"])
    if not calls:
        return description
    actions = [{**action, "block_document_id": block} for action in description["actions"]]
    return {**description, "actions": actions} if block else None


def _automate(description: dict[str, Any]) -> str:
    wanted = Automation.model_validate(description)
    known = _automation(wanted.name)
    if known is None:
        wanted.create()
    else:
        wanted.id = known.id
        wanted.update()
    return wanted.name


def _forget(name: str) -> None:
    known = _automation(name)
    if known is not None:
        known.delete()


def _automation(name: str) -> Automation | None:
    try:
        known: Any = Automation.read(name=name)
    except ValueError:  # no automation of this name
        return None
    return known  # type: ignore[no-any-return]
