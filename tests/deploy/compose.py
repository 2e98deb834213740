# SPDX-License-Identifier: MIT
"""The project of docker-compose.yml that a test brings up: its commands and its containers.

Environment: COMPOSE is the command (`docker compose` or `docker-compose`); COMPOSE_PROJECT_NAME,
CHAT_PORT, STATUS_PORT and PROMETHEUS_PORT are its name and ports.
"""

import json
import os

from checks import ROOT, command, gateways_up, gateways_used, wait_for

COMPOSE = os.environ["COMPOSE"].split()
PROJECT = os.environ["COMPOSE_PROJECT_NAME"]
CHAT_PORT = int(os.environ["CHAT_PORT"])
STATUS_PORT = int(os.environ["STATUS_PORT"])


def compose(*words):
    return command(*COMPOSE, *words, cwd=ROOT)


def containers(service):
    """What Docker knows of each container of that service, by its number; also of stopped ones."""
    ids = command("docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}",
                  "--filter", f"label=com.docker.compose.service={service}").split()
    found = json.loads(command("docker", "inspect", *ids)) if ids else []
    return sorted(found, key=lambda one: int(one["Config"]["Labels"][
        "com.docker.compose.container-number"]))


def health(service):
    return [one["State"].get("Health", {}).get("Status") for one in containers(service)]


def wait_healthy(service, count):
    wait_for(f"{count} healthy {service}", lambda: health(service) == ["healthy"] * count)


def scale(count):
    """That many gateways, all of them taken by the load balancer."""
    compose("up", "-d", "--no-build", "--scale", f"gateway={count}")
    wait_gateways(count)


def wait_gateways(count):
    wait_for(f"{count} gateways behind the load balancer",
             lambda: gateways_up(STATUS_PORT) == count == gateways_used(STATUS_PORT))
