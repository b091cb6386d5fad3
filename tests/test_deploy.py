"""The rights in deploy/rbac.yaml are those of what is read, no fewer and no more."""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from situation.kinds import BY_NAME

_DOCUMENTS: Final[list[dict[str, Any]]] = [
    item for item in yaml.safe_load_all((Path(__file__).parent.parent / "deploy" / "rbac.yaml").read_text()) if item
]
_ROLES: Final = {item["metadata"]["name"]: item["rules"] for item in _DOCUMENTS if "rules" in item}


def test_every_kind_may_be_read_and_nothing_else() -> None:
    given = {
        (group, resource)
        for rule in _ROLES["midwatch"]
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
    }
    read = {(kind.group_version.rpartition("/")[0], kind.resource) for kind in BY_NAME.values()}
    assert given == read


@pytest.mark.parametrize("role", _ROLES)
def test_no_role_can_change_anything_or_read_secrets(role: str) -> None:
    for rule in _ROLES[role]:
        assert set(rule["verbs"]) <= {"get", "list", "watch"}
        assert not {"secrets", "configmaps", "*"} & set(rule.get("resources", ()))
        assert "*" not in rule.get("apiGroups", ())


def test_the_extra_rights_are_bound_to_nobody() -> None:
    extras = {"midwatch-gpu-exporters", "midwatch-model-servers", "midwatch-logs"}
    assert set(_ROLES) == {"midwatch", *extras}
    assert [item["roleRef"]["name"] for item in _DOCUMENTS if "roleRef" in item] == ["midwatch"]


def test_it_can_be_applied_to_a_cluster_without_any_namespace_of_ours() -> None:
    assert all("namespace" not in item["metadata"] for item in _DOCUMENTS)
