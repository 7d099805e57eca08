"""What is in ``infra/`` agrees with the code, as far as that can be seen without a cluster."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import yaml

from pipelines.home import FIRM, environment

INFRA = Path(__file__).resolve().parents[2] / "infra"


def settings(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\s*(?:ENV )?((?:PREFECT|DO_NOT)[A-Z_]*)=(\S+)", text, re.MULTILINE))


def test_workers_get_the_promises_of_the_embedded_server():
    promised = {k: v for k, v in environment(Path("/w")).items() if k in FIRM and not v.startswith("/")}
    assert settings((INFRA / "worker.env").read_text()) == promised
    assert settings((INFRA / "Dockerfile").read_text()) == promised


def test_the_deployment_names_parameters_that_the_flow_has():
    source = (INFRA.parent / "pipelines" / "flow.py").read_text()
    signature = source[source.index("def augment("):source.index(") -> None:", source.index("def augment("))]
    (deployment,) = yaml.safe_load((INFRA / "prefect.yaml").read_text())["deployments"]
    assert deployment["entrypoint"] == "pipelines.flow.augment"
    for name in deployment["parameters"]:
        assert re.search(rf"\b{name}: ", signature), name


def test_the_job_s_command_is_one_that_the_command_line_has():
    from pipelines import cli

    job, worker = yaml.safe_load_all((INFRA / "kubernetes.yaml").read_text())
    command, _, *options = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert command == "run"
    known = inspect.getsource(cli)
    assert all(o in known or o.removeprefix("--") + ":" in known for o in options if o.startswith("--"))
    for pod in (job, worker):
        container = pod["spec"]["template"]["spec"]["containers"][0]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


def test_compose_keeps_the_server_off_the_network():
    services = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]
    assert set(services) == {"server", "worker", "deploy"}
    assert not any("ports" in service for service in services.values())
