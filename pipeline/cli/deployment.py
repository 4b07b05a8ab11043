"""`crosscheck deploy`: what a Prefect server needs to run a project on a schedule."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.console import DEFAULT_CONFIG, AsJson, Config, explained, output, settings_from


@explained
def deploy(
    config: Config = DEFAULT_CONFIG,
    pool: Annotated[str, typer.Option(help="Work pool that the workers serve.")] = "local",
    gpu_pool: Annotated[
        str, typer.Option(help="Work pool of machines with a GPU: what trains or mines goes there. Default: --pool.")
    ] = "",
    notify: Annotated[
        str,
        typer.Option(
            help='Address that gets a POST of {"text": ...} when a run fails, is late or stuck, a certificate is '
            "withdrawn, nothing is left to ask, or the disk fills up.",
            envvar="CROSSCHECK_NOTIFY_URL",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Set up the Prefect server of PREFECT_API_URL: deployments with their schedules, a work pool, automations.

    Run it again after changing anything; what is there is brought up to date. A cycle runs every night, a harvest every
    hour of the working day, a report every Monday. A run that crashed or fell silent is started
    again, three times at most.
    """
    from flows.deploy import deploy as set_up

    settings_from(config, None)
    deployed = set_up(config, pool, gpu_pool, notify)
    output(
        deployed,
        as_json,
        f"Deployed: {', '.join(deployed.deployments)}.",
        f"Automations: {', '.join(deployed.automations)}.",
        *(f"Next: prefect worker start --pool {each}" for each in deployed.pools),
    )
