"""The reference of every key of the configuration."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from msgspec import Meta

from drivers.settings_schema import json_schema
from drivers.strict_yaml import decode, parse
from gateway.cli.commands.check import destination_kinds, schema_of
from gateway.cli.configuration_page import page, undocumented
from gateway.site.config import schema
from gateway.site.devices import DeviceFile
from gateway.site.settings import GatewayFile

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_committed_page_is_the_one_the_schemas_make(run):
    code, out, err = run("check", "--markdown")
    assert (code, err) == (0, "")
    assert PAGE.read_text(encoding="utf-8") == out, (
        "write it anew: meter-gateway check --markdown > docs/configuration.md"
    )


@pytest.mark.parametrize("file", ["gateway", "device"])
def test_every_key_has_a_description_and_an_example(file):
    assert undocumented(schema_of(file)) == []


def test_every_key_of_every_kind_of_destination_has_a_description_and_an_example():
    for kind, settings in destination_kinds().items():
        assert undocumented(json_schema(settings, kind)) == [], kind


def test_the_page_names_every_key_of_the_files_dataclasses():
    text = PAGE.read_text(encoding="utf-8")
    for file in (GatewayFile, DeviceFile):
        for name in file.__dataclass_fields__:
            assert f"| `{name}` |" in text


def test_the_examples_of_the_sections_are_right():
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 6
    document = parse("".join(blocks), "examples.yaml")
    assert decode(GatewayFile, document) is not None, document.problems


@dataclass(frozen=True)
class Fleet:
    """Settings of a kind that is new."""

    host: Annotated[str, Meta(description="where it is", examples=["fleet.example"])]
    pace: int = 3


def test_a_new_kind_of_destination_is_on_the_page_and_in_the_schema_by_itself():
    fleet = json_schema(Fleet, "fleet")
    text = page(
        schema_of("gateway"), schema_of("device"), {"fleet": fleet}, {}, {"ask": {"token": "t"}}
    )
    assert "## A destination of kind fleet" in text
    assert "| `host` | text | **needed** | where it is | `fleet.example` |" in text
    assert "### A meter that speaks ask" in text
    assert undocumented(fleet) == [".pace"]

    section = schema("gateway", {"fleet": Fleet})["$defs"]["fleet"]
    assert section["properties"]["kind"] == {"const": "fleet"}
    assert section["required"] == ["kind", "host"]
