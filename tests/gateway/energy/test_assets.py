"""Formulas of assets: what they say, and what is wrong with those that say nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.energy.assets import Direction, Formula, Term, involved

DEVICES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
DIRECTIONS: st.SearchStrategy[Direction] = st.sampled_from(["import", "export"])
TERMS = st.lists(
    st.builds(Term, st.sampled_from([1, -1]), DEVICES, DIRECTIONS), min_size=1, max_size=6
)


@given(TERMS)
def test_a_formula_reads_back_what_it_writes(terms: list[Term]) -> None:
    formula = Formula(tuple(terms))
    assert Formula.parse(str(formula)) == formula


@given(TERMS, st.sampled_from(["", " ", "  ", "\t"]))
def test_spaces_mean_nothing_where_a_name_cannot_swallow_a_sign(
    terms: list[Term], space: str
) -> None:
    text = "".join(
        f"{space}{'-' if term.sign < 0 else '+'}{space}{term.device}.{term.direction}"
        for term in terms
    )
    assert Formula.parse(text + space).terms == tuple(terms)


def test_a_formula_adds_and_subtracts() -> None:
    formula = Formula.parse("grid.import - grid.export + pv.export")
    energies: dict[tuple[str, Direction], int] = {
        ("grid", "import"): 100,
        ("grid", "export"): 30,
        ("pv", "export"): 7,
    }
    assert formula.total(energies) == 77
    assert formula.devices == {"grid", "pv"}
    assert str(formula) == "grid.import - grid.export + pv.export"


def test_a_formula_may_begin_with_a_sign() -> None:
    assert str(Formula.parse("-grid.export+grid.import")) == "- grid.export + grid.import"


def test_what_is_missing_is_not_zero() -> None:
    with pytest.raises(KeyError):
        Formula.parse("grid.import + pv.export").total({("grid", "import"): 1})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "expected a formula"),
        (7, "expected a formula"),
        ("", "expected a formula"),
        ("   ", "expected a formula"),
        ("grid", "cannot read 'grid'"),
        ("grid.import pv.export", "cannot read 'pv.export'"),
        ("grid.import +", "cannot read '+'"),
        ("grid.import * 2", "cannot read '* 2'"),
        ("grid.import - - pv.export", "cannot read '- - pv.export'"),
        ("2 grid.import", "cannot read '2 grid.import'"),
        ("grid.power", "grid.power: a meter has .import and .export"),
        ("grid.Import", "grid.Import: a meter has .import and .export"),
        ("grid.import_t1", "cannot read '_t1'"),
        ("grid.import;", "cannot read ';'"),
    ],
)
def test_what_is_no_formula_is_refused_with_what_to_write(text: object, words: str) -> None:
    with pytest.raises(ValueError, match="write sums and differences of") as caught:
        Formula.parse(text)
    assert words in str(caught.value)


def test_blanks_mean_nothing_however_many() -> None:
    blanks = " \n" * 100_000
    assert Formula.parse(f"{blanks}a.import{blanks}-{blanks}b.export{blanks}") == Formula.parse(
        "a.import - b.export"
    )
    with pytest.raises(ValueError, match="cannot read '!'"):
        Formula.parse(f"{blanks}!")


@given(st.text(max_size=40))
def test_any_text_is_a_formula_or_a_clear_error(text: str) -> None:
    try:
        formula = Formula.parse(text)
    except ValueError as error:
        assert " — " in str(error)
    else:
        assert Formula.parse(str(formula)) == formula


def test_two_formulas_may_share_a_meter() -> None:
    load, pv = Formula.parse("grid.import + pv.export"), Formula.parse("pv.export")
    assert involved([load, pv], "pv") == [load, pv]
    assert involved([load, pv], "grid") == [load]
    assert involved([load, pv], "heat") == []
