"""The pages for people: what they link to is there, what they tell to type works, and what there is
to know is on one of them.
"""

import argparse
import contextlib
import importlib
import io
import json
import re
import runpy
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import pytest

from gateway.cli.main import Command, command_names, main
from gateway.delivery.kinds import load
from gateway.monitoring import metrics, report

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
HISTORY = "CHANGELOG.md"

MOST_COLUMNS = 100
MOST_README_LINES = 150

FOLDERS = ("", "docs", "hardware_profiles", "docs/examples", "tests")
PAGES = sorted(page for folder in FOLDERS for page in (ROOT / folder).glob("*.md"))
GLOBAL_OPTIONS = {"--help", "-h", "--config", "--version"}


@dataclass(frozen=True, slots=True)
class Page:
    """A Markdown file, taken apart."""

    path: Path
    lines: tuple[str, ...]
    """All of them."""
    prose: tuple[tuple[int, str], ...]
    """Lines outside code blocks, with their numbers."""
    blocks: tuple[str, ...]
    """Code blocks."""

    @property
    def name(self) -> str:
        """Its path from the root of the checkout."""
        return str(self.path.relative_to(ROOT))

    @property
    def code(self) -> list[str]:
        """What is written as code: lines of blocks, and spans within the text."""
        text = "\n".join(line for _, line in self.prose)
        spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
        return [*spans, *(line for block in self.blocks for line in block.splitlines())]

    @property
    def anchors(self) -> set[str]:
        """What a link can name behind `#`: the headings, as GitHub makes anchors of them."""
        anchors: list[str] = []
        for _, line in self.prose:
            if heading := re.match(r"#+ (.*)", line):
                anchor = _anchor(heading[1])
                number = sum(each == anchor for each in anchors)
                anchors.append(f"{anchor}-{number}" if number else anchor)
        return set(anchors)


def _anchor(heading: str) -> str:
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


@cache
def page(path: Path) -> Page:
    """Reads a page. A line that is indented by four begins a code block after an empty line, where
    no list is open.
    """
    lines = tuple(path.read_text(encoding="utf-8").splitlines())
    prose: list[tuple[int, str]] = []
    blocks: list[list[str]] = []
    fenced = indented = in_list = False
    before = ""

    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
            if fenced:
                blocks.append([])
        elif fenced:
            blocks[-1].append(line)
        elif line.startswith("    ") and (indented or (not before.strip() and not in_list)):
            if not indented:
                blocks.append([])
            indented = True
            blocks[-1].append(line[4:])
        else:
            indented = indented and not line.strip()
            if line.strip() and not line.startswith(" "):
                in_list = bool(re.match(r"[-*] |\d+\. ", line))
            prose.append((number, line))
        before = line

    return Page(path, lines, tuple(prose), tuple("\n".join(block) for block in blocks))


def all_pages(*, history: bool = False) -> list[Page]:
    """Every page, but the changelog, which tells of what was."""
    return [page(path) for path in PAGES if history or path.name != HISTORY]


def the(name: str) -> Page:
    """One page of docs/."""
    return page(DOCS / name)


# --- The form ---


def test_there_are_pages() -> None:
    assert {ROOT / "README.md", DOCS / "install.md", ROOT / "hardware_profiles/README.md"} <= set(
        PAGES
    )


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len(page(ROOT / "README.md").lines) <= MOST_README_LINES


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_of_prose_are_short_enough_to_read(path: Path) -> None:
    """Tables and code are left out, and the target of a link does not count."""
    long = [
        f"{path.name}:{number}: {len(line)} columns"
        for number, line in page(path).prose
        if not line.lstrip().startswith("|")
        and len(re.sub(r"\]\([^)]*\)", "]", line)) > MOST_COLUMNS
    ]
    assert long == []


# --- Links and paths ---


def _links(of: Page) -> Iterator[str]:
    text = "\n".join(line for _, line in of.prose)
    yield from re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text))
    # A link whose text is code.
    yield from re.findall(r"\[`[^`\n]*`\]\(([^)\s]+)\)", text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(path: Path) -> None:
    lost = []
    for link in _links(page(path)):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = unquote(link).partition("#")
        there = (path.parent / target).resolve() if target else path
        if not there.exists():
            lost.append(link)
        elif anchor and anchor not in page(there).anchors:
            lost.append(f"{link}: there is no such heading")
    assert lost == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached.add(path)
        targets = (link.partition("#")[0] for link in _links(page(path)))
        waiting += [
            there
            for target in targets
            if target.endswith(".md") and (there := (path.parent / target).resolve()).exists()
        ]
    assert set(PAGES) - reached == set()


def test_files_and_folders_that_are_named_are_there() -> None:
    lost = []
    for each in all_pages():
        text = "\n".join(line for _, line in each.prose)
        for span in re.findall(r"`([^`\s]+)`", text):
            named = re.fullmatch(r"((?:gateway|drivers|tests|docs|systemd)/[\w./-]*)", span)
            if named and not (ROOT / named[1]).exists() and "/acme" not in span:
                lost.append(f"{each.name}: {span}")
    assert lost == []


# --- What they tell to type ---


def _parsers() -> Mapping[str, argparse.ArgumentParser]:
    parsers = {}
    for name in command_names():
        module = importlib.import_module(f"gateway.cli.commands.{name.replace('-', '_')}")
        parsers[name] = argparse.ArgumentParser(name, allow_abbrev=False)
        cast(Command, module).arguments(parsers[name])
    return parsers


PARSERS = _parsers()


def _options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


def _typed(line: str, program: str) -> Iterator[list[str]]:
    """The words behind each `program` in a line of code, up to the end of that command."""
    for part in re.split(r"\s*(?:&&|\|\||;|\||(?<!-)>)\s*", line):
        found = re.match(rf"(?:\$ |sudo )?(?:[\w./]*/)?{re.escape(program)}(?=\s|$)", part.strip())
        if found is None:
            continue
        words = re.split(r"\s+(?:#|\()|[…]", part.strip()[found.end() :])[0].replace("'", '"')
        # A quotation that goes on in the next line is of no interest here.
        with contextlib.suppress(ValueError):
            yield shlex.split(words)


def _mistake(words: list[str]) -> str:
    """What is wrong with the words behind `meter-gateway`; empty where nothing is."""
    while words and words[0] in GLOBAL_OPTIONS:
        words = words[2:] if words[0] == "--config" else words[1:]
    if not words or words[0].isupper() or words[0].startswith(("<", "[")):
        return ""
    name, *rest = words
    if name not in PARSERS:
        return f"there is no command {name}"
    known = _options(PARSERS[name]) | GLOBAL_OPTIONS
    if wrong := [word for word in rest if word.startswith("--") and word not in known]:
        return f"{name} has no {', '.join(wrong)}"
    chosen = next((action for action in PARSERS[name]._actions if action.choices), None)
    if chosen is not None and not chosen.option_strings and rest and rest[0].islower():
        choices = list(cast(Any, chosen.choices))
        if rest[0] not in choices and not rest[0].startswith("-"):
            return f"{name} has no {rest[0]}, but {', '.join(choices)}"
    return ""


def test_every_command_that_is_shown_is_one_with_the_options_shown() -> None:
    wrong = []
    seen = 0
    for each in all_pages():
        for line in each.code:
            for words in _typed(line, "meter-gateway"):
                seen += 1
                # CONTRIBUTING shows how to add this one.
                mistake = "" if words[:1] == ["meters"] else _mistake(words)
                if mistake:
                    wrong.append(f"{each.name}: {line.strip()}: {mistake}")
    assert seen > 50
    assert wrong == []


def test_a_command_that_is_not_one_is_noticed() -> None:
    def mistakes(line: str) -> list[str]:
        return [_mistake(words) for words in _typed(line, "meter-gateway")]

    assert mistakes("meter-gateway chekc") == ["there is no command chekc"]
    assert mistakes("x && .venv/bin/meter-gateway read pv --wach | cat") == ["read has no --wach"]
    assert mistakes("meter-gateway --config DIR outbox again") == [
        "outbox has no again, but list, retry, give-up"
    ]
    assert mistakes("systemctl stop meter-gateway && meter-gateway slots --last 3") == [""]


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_every_command_is_explained_with_all_its_options(name: str) -> None:
    text = "\n".join(the("commands.md").lines)
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    lacking = {
        option
        for option in _options(PARSERS[name]) - GLOBAL_OPTIONS
        if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", section[1])
    }
    assert lacking == set()


def _make() -> tuple[set[str], set[str]]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))
    return targets, set(re.findall(r"^([A-Z_]+) \?=", text, re.MULTILINE))


def test_every_target_of_make_that_is_shown_is_there() -> None:
    targets, variables = _make()
    wrong = []
    for each in all_pages():
        for line in each.code:
            for words in _typed(line, "make"):
                shown = [word for word in words if re.fullmatch(r"[a-z][a-z-]+", word)]
                given = [word.partition("=")[0] for word in words if "=" in word]
                if set(shown) - targets or set(given) - variables:
                    wrong.append(f"{each.name}: {line.strip()}")
    assert wrong == []


def test_every_target_of_make_is_in_contributing() -> None:
    text = " ".join(page(ROOT / "CONTRIBUTING.md").code)
    targets, _ = _make()
    assert {name for name in targets if not re.search(rf"make {name}\b", text)} <= {"help", "ci"}


def test_every_module_that_is_run_is_there() -> None:
    wrong = []
    for each in all_pages():
        for line in each.code:
            for module in re.findall(r"python3? -m ([\w.]+)", line):
                folder = ROOT / module.replace(".", "/")
                ours = module.startswith(("tests", "gateway", "drivers"))
                there = (folder / "__main__.py").exists() or folder.with_suffix(".py").exists()
                if ours and not there:
                    wrong.append(f"{each.name}: {line.strip()}")
    assert wrong == []


def test_every_scenario_that_is_run_is_there() -> None:
    for each in all_pages():
        for line in each.code:
            for path in re.findall(r"tests/scenarios/[\w-]+\.yaml", line):
                assert (ROOT / path).exists(), f"{each.name}: {path}"


# --- What there is to know ---


def _settings(kind: str) -> set[str]:
    """The name of every setting of a kind of file, but those that no person writes."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["check", "--schema", kind]) == 0
    found: set[str] = set()
    schema = json.loads(out.getvalue())
    for name, definition in schema["$defs"].items():
        if name != "Term":
            found |= definition.get("properties", {}).keys()
    return found


@pytest.mark.parametrize("kind", ["gateway", "device"])
def test_every_setting_is_explained(kind: str) -> None:
    explained = set(re.findall(r"`([\w.]+)(?::[^`]*)?`", "\n".join(the("configuration.md").lines)))
    names = {name.rpartition(".")[2] for name in explained} | explained
    assert _settings(kind) - names == set()


def test_the_configuration_that_install_shows_is_right(tmp_path: Path) -> None:
    blocks = "\n".join(block for block in the("install.md").blocks if "profile:" in block)
    files = re.split(r"^# (devices/\w+\.yaml)$", blocks, flags=re.MULTILINE)[1:]
    gateway = next(block for block in the("install.md").blocks if block.startswith("site:"))
    (tmp_path / "gateway.yaml").write_text(gateway, encoding="utf-8")
    (tmp_path / "devices").mkdir()
    for name, text in zip(files[::2], files[1::2], strict=True):
        (tmp_path / name).write_text(text, encoding="utf-8")
    settings = load(tmp_path, logins=False)
    assert {device.name for device in settings.devices} == {"grid", "pv"}
    assert len(settings.assets) == 2


def test_every_metric_is_explained() -> None:
    source = Path(str(metrics.__file__)).read_text(encoding="utf-8")
    calls = re.findall(r'families\.(gauge|counter)\(\s*"([a-z_]+)"', source)
    assert len(calls) > 30
    names = {f"meter_gateway_{name}{'_total' * (kind == 'counter')}" for kind, name in calls}
    told = set(re.findall(r"^\| `(meter_gateway_\w+)`", _text("status-api.md"), re.MULTILINE))
    assert names == told


def test_every_key_of_the_status_is_explained() -> None:
    told = set(re.findall(r"`(\w+)`", _text("status-api.md")))
    for kind in vars(report).values():
        if isinstance(kind, type) and kind.__module__ == report.__name__:
            assert set(cast(Any, kind).__struct_fields__) - told == set(), kind.__name__


def test_the_slot_that_is_worked_out_comes_out_so() -> None:
    out = io.StringIO()
    example = runpy.run_path(str(DOCS / "examples" / "slot" / "one_slot.py"))
    with contextlib.redirect_stdout(out):
        example["main"]()
    assert out.getvalue().rstrip() in the("how-energy-is-known.md").blocks


def test_the_names_in_the_code_that_the_glossary_explains_are_there() -> None:
    folders = ("gateway", "drivers", "tests")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    words = {path.stem for path in paths}
    for path in paths:
        words |= set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    section = _text("glossary.md").partition("## In the code")[2]
    names = set(re.findall(r"`(\w+)`", section))
    assert len(names) > 20
    assert {name for name in names if not {name, f"_{name}"} & words} == set()


def test_every_profile_that_is_named_is_there() -> None:
    shipped = {
        str(path.relative_to(ROOT / "hardware_profiles").with_suffix(""))
        for path in (ROOT / "hardware_profiles").glob("*/*.yaml")
    }
    makers = {name.partition("/")[0] for name in shipped}
    wrong = []
    for each in all_pages():
        for span in re.findall(r"`([a-z0-9_]+/[a-z0-9_.]+)`", "\n".join(each.lines)):
            if span.partition("/")[0] in makers and span.removesuffix(".yaml") not in shipped:
                wrong.append(f"{each.name}: {span}")
    assert wrong == []


def _text(name: str) -> str:
    return "\n".join(the(name).lines)
