"""Settings files: every mistake is named, with file, line, key and the nearest right word; nothing
is ever raised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from drivers.settings_schema import json_schema
from drivers.strict_yaml import (
    MAX_FILE_BYTES,
    MAX_MESSAGE,
    MAX_NODES,
    Document,
    Problem,
    Seconds,
    decode,
    nearest,
    parse,
)
from tests.draws import draws


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    baud: Annotated[int, Meta(ge=300, le=115200, description="bits per second")] = 9600
    parity: Literal["none", "even", "odd"] = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    name: Annotated[str, Meta(min_length=1, description="what this site calls the meter")]
    uuid: UUID | None = None
    interval: Seconds = field(default_factory=lambda: Seconds(10))
    invert: bool = False
    scale: Annotated[float, Meta(gt=0)] | None = None
    port: Port | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    site: str
    meters: Annotated[list[Meter], Meta(min_length=1, description="one meter or more")]
    prices: Mapping[str, float] = field(default_factory=dict)
    limits: dict[Literal["low", "high"], int] = field(default_factory=dict)


def read(text: str | bytes) -> tuple[Site | None, list[str]]:
    document = parse(text, "site.yaml")
    value = decode(Site, document)
    return value, [str(problem) for problem in document.problems]


def problems(text: str | bytes) -> list[str]:
    return read(text)[1]


GOOD = """\
site: home
meters:
  - name: grid
    uuid: 26090dea-0c5f-4a6c-9a6e-1f2d3c4b5a69
    interval: 500ms
    invert: true
    scale: 0.5
    port: {baud: 2400, parity: even}
    tags: [a, b]
  - {name: pv}
prices: {day: 0.3, night: 1}
limits: {low: 1}
"""


@dataclass(frozen=True)
class Holes:
    a: list[str] = field(default_factory=list)
    b: dict[str, int] = field(default_factory=dict)


def test_a_right_file_becomes_frozen_settings() -> None:
    value, found = read(GOOD)
    assert found == []
    grid = Meter(
        name="grid",
        uuid=UUID("26090dea-0c5f-4a6c-9a6e-1f2d3c4b5a69"),
        interval=Seconds(0.5),
        invert=True,
        scale=0.5,
        port=Port(baud=2400, parity="even"),
        tags=("a", "b"),
    )
    assert value == Site(
        site="home",
        meters=[grid, Meter(name="pv")],
        prices={"day": 0.3, "night": 1},
        limits={"low": 1},
    )


def test_every_kind_of_mistake_is_named_in_one_run() -> None:
    text = """\
sites: home
meters:
  - nam: grid
    uuid: 26090dea
    interval: 5 parsecs
    invert: maybe
    scale: 0
    port:
      baud: 100
      parity: evn
    tags: solo
  - name: 12
  - name: ""
  - just text
prices: [1, 2]
limits:
  low: a
  hihg: 2
"""
    assert problems(text) == [
        "site.yaml:1: sites: unknown key — did you mean 'site'?",
        "site.yaml:3: meters[0].nam: unknown key — did you mean 'name'?",
        "site.yaml:4: meters[0].uuid: invalid UUID, found the text '26090dea' — "
        "copy it from the exchange's page, 8-4-4-4-12 hexadecimal digits",
        "site.yaml:5: meters[0].interval: expected a length of time, found the text '5 parsecs' — "
        "write a number and ms, s, min, h or d, such as 10s",
        "site.yaml:6: meters[0].invert: expected true or false, found the text 'maybe'",
        "site.yaml:7: meters[0].scale: expected a number > 0.0, found 0",
        "site.yaml:9: meters[0].port.baud: expected a whole number >= 300, found 100 — bits "
        "per second",
        "site.yaml:10: meters[0].port.parity: 'evn' is not one of the allowed words — did you "
        "mean 'even'?",
        "site.yaml:11: meters[0].tags: expected a list, found the text 'solo' — write it as [a, "
        "b] or as lines that begin with '- '",
        "site.yaml:3: meters[0]: key 'name' is missing — it is what this site calls the meter",
        "site.yaml:12: meters[1].name: expected text, found 12 — put it in quotes",
        "site.yaml:13: meters[2].name: expected text of length >= 1, found the text '' — what this "
        "site calls the meter",
        "site.yaml:14: meters[3]: expected key: value pairs, found the text 'just text' — its keys "
        "are name, uuid, interval, invert, scale, port, tags",
        "site.yaml:15: prices: expected key: value pairs, found a list",
        "site.yaml:18: limits.hihg: unknown key — did you mean 'high'?",
        "site.yaml:17: limits.low: expected a whole number, found the text 'a'",
        "site.yaml:1: key 'site' is missing",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "scale: 1e3",
            "site.yaml:4: meters[0].scale: expected a number, found the text '1e3' — write 1000",
        ),
        (
            "port: {baud: 09600}",
            "site.yaml:4: meters[0].port.baud: expected a whole number, found the text '09600' — "
            "write 9600",
        ),
        (
            "port: {baud: 1:30}",
            "site.yaml:4: meters[0].port.baud: expected a whole number, found the text '1:30' — "
            "bits per second",
        ),
        (
            "port: {baud: yes}",
            "site.yaml:4: meters[0].port.baud: expected a whole number, found true (yes/no) — "
            "bits per second",
        ),
        (
            "port: {baud: 9600.5}",
            "site.yaml:4: meters[0].port.baud: expected a whole number, found 9600.5 — bits per "
            "second",
        ),
        (
            "tags: [no]",
            "site.yaml:4: meters[0].tags[0]: expected text, found false (yes/no) — put it in "
            "quotes",
        ),
        (
            "scale: .nan",
            "site.yaml:4: meters[0].scale: '.nan' is not a finite number — write plain digits",
        ),
        (
            "scale: 1.0e+999",
            "site.yaml:4: meters[0].scale: '1.0e+999' is not a finite number — write plain digits",
        ),
        (
            "scale: !!int x",
            "site.yaml:4: meters[0].scale: 'x' cannot be read as int — write plain digits, or "
            "put text in quotes",
        ),
        (
            "invert: !!bool x",
            "site.yaml:4: meters[0].invert: 'x' cannot be read as bool — write plain digits, or "
            "put text in quotes",
        ),
        (
            "tags: [!secret x]",
            "site.yaml:4: meters[0].tags[0]: the tag '!secret' is not used here — write the "
            "value without it",
        ),
        (
            "[a]: b",
            "site.yaml:4: meters[0]: a list or mapping stands as a key — keys are plain words",
        ),
        (
            'tags: ["a\\0b"]',
            "site.yaml:4: meters[0].tags[0]: 'a\\x00b' holds a control character — write plain "
            "text",
        ),
        (
            'tags: ["\\e[2J"]',
            "site.yaml:4: meters[0].tags[0]: '\\x1b[2J' holds a control character — write plain "
            "text",
        ),
        (
            f"scale: 0x{'f' * 17}",
            f"site.yaml:4: meters[0].scale: '0x{'f' * 17}' is too large a number — at most 64 bits",
        ),
        (
            f"scale: 0x{'f' * 5000}",
            f"site.yaml:4: meters[0].scale: '0x{'f' * 58}'… is too large a number — at most 64 "
            "bits",
        ),
        (
            'tags: ["\\uD800"]',
            "site.yaml:4: meters[0].tags[0]: '\\ud800' holds half a character — write the "
            "character itself",
        ),
        (
            '"a\\nb": 1',
            "site.yaml:4: meters[0].'a\\nb': unknown key — known: interval, invert, name, port, "
            "scale, tags, uuid",
        ),
    ],
)
def test_what_yaml_would_quietly_turn_into_something_else_is_named(
    line: str, expected: str
) -> None:
    assert problems(f"site: home\nmeters:\n  - name: grid\n    {line}\n") == [expected]


@pytest.mark.parametrize(
    "text", ["a: [x, !!float y, z]", "b: {k: !!int l, m: 1}", "a: !!bool x", "!!float x"]
)
def test_what_cannot_be_read_is_named_and_nothing_is_made_of_the_rest(text: str) -> None:
    document = parse(text, "site.yaml")
    assert len(document.problems) == 1
    assert decode(Holes, document) is None
    assert len(document.problems) == 1


def test_dates_times_and_leading_zeros_stay_text_where_text_is_meant() -> None:
    value, found = read("site: 2024-13-45\nmeters: [{name: 0123, tags: [12:30, 2024-01-01]}]\n")
    assert found == []
    assert value is not None
    assert value.site == "2024-13-45"
    assert (value.meters[0].name, value.meters[0].tags) == ("0123", ("12:30", "2024-01-01"))


def test_a_doubled_key_is_named_with_both_lines_and_the_rest_is_still_checked() -> None:
    document = parse("site: home\nmeters: []\nsite: away\nmeterz: 1\n", "site.yaml")
    decode(Site, document)
    assert [str(p) for p in document.problems] == [
        "site.yaml:3: site: key appears twice, first in line 1 — keep one of them",
        "site.yaml:2: meters: needs at least 1 entry, found 0 — it is one meter or more",
        "site.yaml:4: meterz: unknown key — did you mean 'meters'?",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b: c\n", "site.yaml:1: not valid YAML: mapping values are not allowed here"),
        (
            "a: 1\nb: [1, 2\n",
            "site.yaml:3: not valid YAML: expected ',' or ']', but got '<stream end>'",
        ),
        (
            "a: 1\n\tb: 2\n",
            "site.yaml:2: not valid YAML: found character '\\t' that cannot start any token",
        ),
        ("a: *b\n", "site.yaml:1: not valid YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 1\n", "site.yaml:2: not valid YAML: but found another document"),
        (
            b"a: 1\nb: \xff\n",
            "site.yaml:2: not valid YAML: unreadable character (invalid start byte)",
        ),
        ("a: 1\nb: \x00\n", "site.yaml:2: not valid YAML: unreadable character"),
        (b"SQLite format 3\x00\x10\x00", "site.yaml:1: not valid YAML: unreadable character"),
        ('a: "\\UFFFFFFFF"', "site.yaml:1: not valid YAML: "),
        ("", "site.yaml:1: file is empty"),
        ("# only a comment\n", "site.yaml:1: file is empty"),
        ("just words", "site.yaml:1: expected key: value pairs, found the text 'just words'"),
        ("- 1\n- 2\n", "site.yaml:1: expected key: value pairs, found a list"),
        ("---\n", "site.yaml:2: expected key: value pairs, found nothing"),
    ],
)
def test_what_is_not_a_settings_file_gives_one_clear_line(text: str | bytes, expected: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith(expected)
    assert len(problem) < 300


@pytest.mark.parametrize(
    "text",
    [
        "x" * (MAX_FILE_BYTES + 1),
        "[" * 10_000,
        "- " * 10_000,
        "{a: " * 10_000,
        "".join(" " * i + "a:\n" for i in range(200)),
        "- a\n" * (MAX_NODES + 1),
        "&a [*a]",
        "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        + "".join(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
            for a, b in zip("abcdefghi", "bcdefghij", strict=True)
        ),
    ],
    ids=[
        "huge",
        "flow lists",
        "block lists",
        "flow mappings",
        "block mappings",
        "many values",
        "alias of itself",
        "alias bomb",
    ],
)
def test_huge_deep_and_exploding_files_are_refused_within_bounds(text: str) -> None:
    document = parse(text, "site.yaml")
    assert document.data is None
    assert len(document.problems) == 1
    assert len(str(document.problems[0])) < 200


def test_a_message_never_repeats_a_long_value_or_key() -> None:
    found = problems(
        f"site: home\nmeters: [{{name: grid, {'k' * 900}: 1, invert: {'v' * 5000}}}]\n"
    )
    assert len(found) == 2
    assert all(len(line) < 300 for line in found)


@draws(150)
@given(st.text() | st.binary() | st.text(alphabet="ab:-[]{}&*!|>'\"%@`#?,\n \t0x.~<=\\uUD8é"))
def test_no_text_or_bytes_make_it_raise(text: str | bytes) -> None:
    document = parse(text, "any.yaml")
    value = decode(Site, document)
    assert value is not None or document.problems
    for problem in document.problems:
        assert problem.line >= 1
        assert "\n" not in str(problem)
        str(problem).encode()


yaml_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*Site.__slots__, *Meter.__slots__, "x"]), inner, max_size=5
        )
    ),
    max_leaves=20,
)


@draws(150)
@given(yaml_like)
def test_any_data_is_decoded_or_explained(data: object) -> None:
    document = Document("any.yaml", data)
    value = decode(Site, document)
    assert (value is None) == bool(document.problems)


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        ("500ms", 0.5),
        ("10s", 10),
        ("10 s", 10),
        ("15min", 900),
        ("2h", 7200),
        ("30d", 2_592_000),
        (7, 7),
        (0.25, 0.25),
    ],
)
def test_a_length_of_time_is_read_in_its_unit(raw: object, seconds: float) -> None:
    assert Seconds.parse(raw) == seconds


@pytest.mark.parametrize(
    "raw",
    [
        "10",
        "s",
        "-1s",
        -1,
        "1h30",
        "10 seconds",
        True,
        None,
        [],
        "1e3s",
        1e300,
        "",
        "9" * 400 + "h",
    ],
)
def test_what_is_no_length_of_time_is_refused(raw: object) -> None:
    with pytest.raises(ValueError, match="expected a length of time"):
        Seconds.parse(raw)


def test_the_nearest_word_or_the_few_there_are_is_the_hint() -> None:
    assert nearest("adress", ["address", "interval"]) == "did you mean 'address'?"
    assert nearest("qqq", ["b", "a"]) == "known: a, b"
    assert nearest("qqq", [f"w{n:02}" for n in range(20)]).endswith("w11, …")
    assert nearest("qqq", []) == "there are none"


def test_a_problem_reads_as_file_line_key_message_and_hint() -> None:
    assert (
        str(Problem("f.yaml", 3, "a.b", "is wrong", "do this"))
        == "f.yaml:3: a.b: is wrong — do this"
    )
    assert str(Problem("f.yaml", 0, "", "is wrong")) == "f.yaml: is wrong"


def test_a_problem_is_one_printable_line_of_bounded_length() -> None:
    assert (
        str(Problem("f.yaml", 3, "a", "is \x1b[2Jwrong\n", "write \u202e"))
        == "f.yaml:3: a: is ·[2Jwrong· — write ·"
    )
    assert len(str(Problem("f.yaml", 3, "a", "x" * 10_000, "y" * 10_000))) == MAX_MESSAGE + 1


def test_the_json_schema_knows_every_key_and_refuses_others() -> None:
    schema = json_schema(Site, "Site")
    assert schema["title"] == "Site"
    site = schema["$defs"]["Site"]
    assert site["additionalProperties"] is False
    assert site["required"] == ["site", "meters"]
    assert schema["$defs"]["Meter"]["properties"]["interval"]["anyOf"][0]["pattern"]


def test_the_json_schema_tells_defaults_as_they_would_be_written() -> None:
    meter = json_schema(Site, "Site")["$defs"]["Meter"]["properties"]
    assert meter["interval"]["default"] == "10s"
    assert meter["invert"]["default"] is False
    assert "default" not in meter["name"]


@given(st.floats(min_value=0.001, max_value=1e9) | st.integers(0, 10**9).map(float))
def test_a_length_of_time_is_written_as_it_is_read(seconds: float) -> None:
    written = Seconds(seconds).as_written()
    assert Seconds.parse(written) == pytest.approx(seconds, rel=1e-6)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (900, "15min"),
        (7200, "2h"),
        (5400, "90min"),
        (86400 * 400, "400d"),
        (0.5, "500ms"),
        (1.5, "1500ms"),
        (0, "0s"),
    ],
)
def test_a_length_of_time_is_written_in_the_largest_whole_unit(
    seconds: float, written: str
) -> None:
    assert Seconds(seconds).as_written() == written


# A bare value for a section
