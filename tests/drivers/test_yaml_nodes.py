"""`drivers.yaml_nodes`: libyaml is only a faster way to the nodes of PyYAML's own parser."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from drivers import yaml_nodes
from drivers.yaml_nodes import compose
from tests.draws import draws

ROOT = Path(__file__).parents[2]
FILES = sorted([*ROOT.glob("hardware_profiles/**/*.yaml"), *ROOT.glob("docs/examples/**/*.yaml")])
TEXTS = [path.read_text() for path in FILES]

PIECES = (
    *(": ", "- ", ":", "-", "\n", "\r\n", "\t", "\r", " ", "  ", " #", "#", ",", "? ", "?"),
    *('"', "'", "[", "]", "{", "}", "&a ", "*a", "<<: ", "---\n", "...\n", "!!int ", "!odd "),
    *("~", "0x", "1_0", "on", "%", "%YAML 1.2\n", "@", "`", "\\", '"\\u12"', '"\\UFFFFFFFF"'),
    *("é", "\x00", "\x7f", "\x80", "\x85", "\u2028", "\ufeff", "\ud800", "😀"),
)
"""What is put into a file. Without the heads of block texts, of which libyaml takes some where no
value can stand: four of 80,000 such texts are read otherwise.
"""


def outcome(text: str | bytes, *, with_libyaml: bool) -> object:
    """What a text holds, with the lines, or what is wrong with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "__with_libyaml__", with_libyaml)
        try:
            return written_out(compose(text))
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            return type(error), str(error)
        except RecursionError:
            return RecursionError


def written_out(node: yaml.Node | None) -> object:
    if node is None:
        return None
    if isinstance(node, yaml.ScalarNode):
        return node.tag, node.value, node.start_mark.line
    if isinstance(node, yaml.SequenceNode):
        return node.tag, node.start_mark.line, [written_out(each) for each in node.value]
    pairs = [(written_out(key), written_out(value)) for key, value in node.value]
    return node.tag, node.start_mark.line, pairs


def test_libyaml_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert yaml.__with_libyaml__, "this PyYAML has been installed without it"
    monkeypatch.delattr(yaml, "SafeLoader")
    assert written_out(compose("a: 1")) is not None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_of_ours_is_read_alike(path: Path) -> None:
    for text in (path.read_text(), path.read_bytes()):
        assert outcome(text, with_libyaml=True) == outcome(text, with_libyaml=False)


@given(
    text=st.sampled_from(TEXTS),
    begin=st.integers(0, 20_000),
    edits=st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from((0, 0, 1, 5)), st.sampled_from(PIECES)),
        min_size=1,
        max_size=4,
    ),
)
@draws(500)
def test_a_file_with_mistakes_is_read_alike(
    text: str, begin: int, edits: list[tuple[int, int, str]]
) -> None:
    text = text[begin % len(text) :][:400]
    for at, dropped, piece in edits:
        text = text[:at] + piece + text[at + dropped :]
    assert outcome(text, with_libyaml=True) == outcome(text, with_libyaml=False)


@pytest.mark.parametrize(
    "text", ["a\tb: 1", "{a? : 1}", "{a?b: 1}", "a: b\rc: d", "- \ufeffa: b", "---", "--- # c"]
)
def test_what_libyaml_takes_otherwise_is_not_left_to_it(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(stream: str) -> None:
        raise AssertionError("libyaml was asked")

    monkeypatch.setattr(yaml_nodes, "_Libyaml", refuse)
    assert outcome(text, with_libyaml=True) == outcome(text, with_libyaml=False)


@pytest.mark.parametrize("level", ["[", "- ", "{a: ", "? ", "!!seq ["])
def test_no_depth_ends_the_process(level: str) -> None:
    """libyaml's own composer calls itself in C for each level."""
    assert outcome(level * 5_000, with_libyaml=True) is RecursionError


@pytest.mark.parametrize(
    "content", [b"\xff\xfea\x00:\x00 \x001\x00", b"\xef\xbb\xbfa: 1", b"a: \xff", b"\xc3", b""]
)
def test_bytes_that_are_no_plain_text_are_read_alike(content: bytes) -> None:
    assert outcome(content, with_libyaml=True) == outcome(content, with_libyaml=False)
