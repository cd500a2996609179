"""The JSON Schema of `grid_operator:`, with the keys of every tariff model. Pure."""

from typing import Any

from drivers.settings_schema import json_schema
from gateway.operator.models import settings_by_model
from gateway.operator.settings import Settings
from gateway.site.config import sections_by_kind
from gateway.site.settings import GRID_OPERATOR

NAME = "GridOperator"


def with_operator(gateway: dict[str, Any]) -> dict[str, Any]:
    """The schema of gateway.yaml, with that of the section in its place."""
    models = settings_by_model()
    schema = json_schema(Settings, NAME)
    section = schema["$defs"].pop(schema["$ref"].rpartition("/")[2])
    section["title"] = NAME

    any_model = {"anyOf": [_ref(name) for name in models]}
    keys = section["properties"]
    for key in ("model", "models"):
        note = {k: v for k, v in keys[key].items() if k in ("description", "examples", "title")}
        keys[key] = {"title": "a tariff model", **any_model, **note}
    keys["models"] |= {"type": "object", "additionalProperties": any_model, "title": "by market"}
    del keys["models"]["anyOf"]

    gateway["$defs"] |= schema["$defs"] | sections_by_kind(models) | {NAME: section}
    of_file = gateway["$defs"]["GatewayFile"]["properties"]
    of_file[GRID_OPERATOR] = {"anyOf": [_ref(NAME), {"type": "null"}], "default": None}
    return gateway


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}
