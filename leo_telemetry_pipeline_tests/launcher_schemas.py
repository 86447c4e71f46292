"""A program that checks configuration against the schemas of Dagster's launchers and of Kubernetes.

It reads a list from standard input, and prints for each part why it is refused, or an empty text. It is a process of
its own because only that finds the packages (launcher_packages).
"""

import importlib
import json
import re
import sys
from typing import Any

from dagster._config import process_config, resolve_to_config_type


def check_launcher(block: dict[str, Any]) -> None:
    """Check ``run_launcher`` of a dagster.yaml."""
    launcher = getattr(importlib.import_module(block["module"]), block["class"])
    result = process_config(resolve_to_config_type(launcher.config_type()), block["config"])
    if not result.success:
        raise ValueError("; ".join(error.message for error in result.errors or ()))


def check_manifest(manifest: dict[str, Any]) -> None:
    """Check the manifest of an object: that its API creates such objects, and the names and types of its fields."""
    client = importlib.import_module("kubernetes.client")
    models = importlib.import_module("dagster_k8s.models")
    group, _, version = manifest["apiVersion"].rpartition("/")
    words = [word.capitalize() for word in (group.removesuffix(".k8s.io") or "core").split(".")]
    kind = re.sub(r"(?<=.)(?=[A-Z])", "_", manifest["kind"]).lower()
    getattr(getattr(client, f"{''.join(words)}{version.capitalize()}Api"), f"create_namespaced_{kind}")
    model = getattr(client, version.capitalize() + manifest["kind"])
    models.k8s_model_from_dict(model, models.k8s_snake_case_dict(model, manifest))


def refusal(given: dict[str, Any]) -> str:
    """Return why configuration is refused."""
    try:
        (check_manifest if "kind" in given else check_launcher)(given)
    except Exception as error:  # noqa: BLE001  # the packages raise various errors, also plain ones
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    print(json.dumps([refusal(given) for given in json.load(sys.stdin)]))
