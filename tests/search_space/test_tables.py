"""Gene tables by name, from files of people's own, and as text: sound ones come back, others are refused by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records import InputError
from records.runs import DataFacts
from records.texts import Chromosome
from search_space.encoding import Encoding
from search_space.genes import EXTENDED, STANDARD, TRAITS, Gene, GeneTable, gray
from search_space.tables import (
    encoding_of,
    gene_table,
    gene_table_text,
    load_gene_table,
    parse_gene_table,
    refuse_coded,
)

OWN = """{
  "length": 7,
  "unused": [2],
  "genes": [
    {"name": "kernel", "loci": [0, 1], "values": [1, 3, 5, 7]},
    {"name": "learning_rate", "loci": [3, 4],
     "values": [0.1, 0.2, 0.4, 1], "gray": true},
    {
      "name": "residual",
      "loci": [6],
      "values": [false, true]
    },
    {"name": "optimizer", "loci": [5], "values": ["sgd", "adamw"]}
  ]
}
"""
OWN_TABLE = GeneTable(
    (
        Gene("kernel", (0, 1), (1, 3, 5, 7)),
        Gene("learning_rate", (3, 4), (0.1, 0.2, 1.0, 0.4)),
        Gene("residual", (6,), (False, True)),
        Gene("optimizer", (5,), ("sgd", "adamw")),
    ),
    7,
)
FACTS = DataFacts(
    fingerprint="f", input_shape=(1, 8, 8), class_names=("0", "1"), train_images=8, val_images=4, test_images=4
)


def write(folder: Path, text: str) -> Path:
    path = folder / "my_genes.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_ones_own_is_what_its_file_says(tmp_path: Path) -> None:
    assert load_gene_table(write(tmp_path, OWN)) == OWN_TABLE


def test_gray_values_are_listed_in_their_order(tmp_path: Path) -> None:
    gene = load_gene_table(write(tmp_path, OWN)).genes[1]
    rates = {code: gene.value(Chromosome(f"000{code}00")) for code in ("00", "01", "11", "10")}
    assert rates == {"00": 0.1, "01": 0.2, "11": 0.4, "10": 1.0}


@pytest.mark.parametrize("begin", ["", "\ufeff", "\n \t\r\n"])
def test_white_space_and_byte_order_marks_do_no_harm(tmp_path: Path, begin: str) -> None:
    assert load_gene_table(write(tmp_path, begin + OWN)) == OWN_TABLE


def test_named_tables_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path, OWN).parent)
    assert gene_table("standard") is STANDARD
    assert gene_table("extended") is EXTENDED
    assert gene_table("my_genes.json") == OWN_TABLE


# Text and back


def a_value(name: str) -> st.SearchStrategy[Any]:
    trait = TRAITS[name]
    if trait.kind is int:
        return st.integers(1, 16).map(lambda number: 2 * number - 1 if name == "kernel" else number)
    if trait.kind is float:
        return st.floats(0, 0.999, exclude_min=True)
    if trait.kind is bool:
        return st.booleans()
    return st.sampled_from(trait.expected.removeprefix("one of ").split(", "))


@st.composite
def tables(draw: st.DrawFn) -> GeneTable:
    names = draw(st.lists(st.sampled_from(sorted(TRAITS)), min_size=1, max_size=6, unique=True))
    bits = [draw(st.integers(1, 3)) for _ in names]
    length = sum(bits) + draw(st.integers(0, 3))
    free = list(draw(st.permutations(range(length))))
    genes = []
    for name, count in zip(names, bits, strict=True):
        loci = tuple(free.pop() for _ in range(count))
        genes.append(Gene(name, loci, tuple(draw(a_value(name)) for _ in range(2**count))))
    return GeneTable(tuple(genes), length)


@given(tables())
@settings(deadline=None)
def test_the_text_of_a_table_gives_it_back(table: GeneTable) -> None:
    text = gene_table_text(table)
    assert parse_gene_table(text, "text") == table
    assert gene_table_text(parse_gene_table(text, "text")) == text


@pytest.mark.parametrize("table", [STANDARD, EXTENDED, OWN_TABLE])
def test_the_text_of_a_table_is_a_file_of_ones_own(tmp_path: Path, table: GeneTable) -> None:
    """Also when it is laid out for people, and it lists the bits that code for nothing."""
    content = json.loads(gene_table_text(table))
    assert load_gene_table(write(tmp_path, json.dumps(content, indent=2))) == table
    assert content["unused"] == ([2] if table is OWN_TABLE else [2, 5, 8, 11])


def test_the_encoding_of_a_run_needs_its_state_alone() -> None:
    for table in (STANDARD, EXTENDED, OWN_TABLE):
        assert encoding_of(FACTS, gene_table_text(table)) == Encoding((1, 8, 8), 2, table)
    with pytest.raises(InputError, match="the gene table, line 1: this is not JSON"):
        encoding_of(FACTS, "")


# What is refused, with its line


BAD: dict[str, tuple[str, str, int, str]] = {
    "a missing comma": ('"length": 7,', '"length": 7', 3, "this is not JSON"),
    "a missing bracket": ("  ]\n}", "  ]", 15, "this is not JSON"),
    "a single quote": ('"kernel"', "'kernel'", 5, "this is not JSON"),
    "an unknown gene": ('"kernel"', '"kernal"', 5, "there is no gene 'kernal'; did you mean kernel?"),
    "an unknown setting": ('"learning_rate"', '"momentum"', 6, "there is no gene 'momentum'; known are filter_multip"),
    "an even kernel": (
        "[1, 3, 5, 7]",
        "[1, 3, 5,\n 6]",
        6,
        "gene kernel: expected an odd whole number from 1 to 63, found 6",
    ),
    "a kernel that is a text": ("[1, 3, 5, 7]", '[1, 3, 5, "7"]', 5, 'found "7"'),
    "a learning rate of 0": ("0.1, 0.2, 0.4", "0, 0.2, 0.4", 7, "gene learning_rate: expected a number over 0"),
    "an infinite learning rate": ("0.4, 1]", "0.4, 1e999]", 7, "expected a number over 0, found Infinity"),
    "a huge learning rate": ("0.4, 1]", f"0.4, 1{'0' * 400}]", 7, "a number in it has more than 40 digits"),
    "a learning rate that is no number": ("0.4, 1]", "0.4, NaN]", 7, "no number in JSON"),
    "a bit for a truth": ("[false, true]", "[0, 1]", 11, "gene residual: expected true or false, found 0"),
    "an unknown optimizer": ('"adamw"]', '"lion"]', 13, 'expected one of sgd, adamw, found "lion"'),
    "too few values": ("[1, 3, 5, 7]", "[1, 3, 5]", 5, "gene kernel: bits [0, 1] need 2^2 = 4 values, found 3"),
    "too many values": ("[false, true]", "[false, true, true]", 11, "gene residual: bits [6] need 2^1 = 2 values"),
    "overlapping genes": ('"loci": [6]', '"loci": [1]', 10, "gene residual: bit 1 belongs to gene kernel already"),
    "a bit twice in a gene": ("[0, 1]", "[0, 0]", 5, "gene kernel: bit 0 is listed twice"),
    "a bit outside": ('"loci": [6]', '"loci": [7]', 10, "gene residual: bit 7 is not there; bits are numbered 0 to 6"),
    "a bit before the first": ("[0, 1]", "[-1, 1]", 5, "gene kernel: bit -1 is not there"),
    "a bit that is no number": ('"loci": [6]', '"loci": [\n"6"]', 11, 'expected the number of a bit, found "6"'),
    "a bit that is a truth": ('"loci": [6]', '"loci": [true]', 10, "expected the number of a bit, found true"),
    "a gene without bits": ('"loci": [6]', '"loci": []', 10, "gene residual reads no bit"),
    "a bit without a gene": ('"unused": [2]', '"unused": []', 3, "no gene reads bit 2"),
    "nothing on unused bits": ('  "unused": [2],\n', "", 2, "no gene reads bit 2; give it to one"),
    "an unused bit that a gene reads": ('"unused": [2]', '"unused": [2, 3]', 3, "bit 3 belongs to gene learning_r"),
    "an unused bit outside": ('"unused": [2]', '"unused": [2, 9]', 3, "unused: bit 9 is not there"),
    "an unused bit twice": ('"unused": [2]', '"unused": [2, 2]', 3, "unused: bit 2 is listed twice"),
    "no length": ('  "length": 7,\n', "", 1, "the key length is missing here"),
    "no values": (', "values": [1, 3, 5, 7]', "", 5, "the key values is missing here"),
    "no name": ('      "name": "residual",\n', "", 8, "the key name is missing here"),
    "a key too many": ('"gray": true', '"grey": true', 7, 'there is no key "grey"; did you mean gray?'),
    "a strange key": ('"unused": [2]', '"comment": ""', 3, 'there is no key "comment"; known are length, genes'),
    "a key twice": ('"loci": [6],', '"loci": [6],\n"loci": [6],', 11, 'the key "loci" stands here for the second time'),
    "a length in words": ('"length": 7', '"length": "7"', 2, 'length must be a whole number, but is "7"'),
    "a length that is a truth": ('"length": 7', '"length": true', 2, "length must be a whole number, but is true"),
    "no bits at all": ('"length": 7', '"length": 0', 2, "a chromosome has at least 1 bit, but length is 0"),
    "a huge length": ('"length": 7', f'"length": {10**18}', 3, "no gene reads bit 7"),
    "genes that are no list": ('"genes": [', '"genes": 5, "more": [', 4, "genes must be a list, but is 5"),
    "a gene that is no object": ('{"name": "optimizer"', '5, {"name": "optimizer"', 13, "expected an object with name"),
    "a name that is no text": ('"residual"', "null", 9, "name must be a text, but is null"),
    "gray in words": ('"gray": true', '"gray": "yes"', 7, 'gray must be true or false, but is "yes"'),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_table_is_refused_with_file_line_and_fault(fault: str, tmp_path: Path) -> None:
    old, new, line, said = BAD[fault]
    assert OWN.count(old) == 1
    path = write(tmp_path, OWN.replace(old, new))
    with pytest.raises(InputError) as refusal:
        load_gene_table(path)
    message = str(refusal.value)
    assert message.startswith(f"{path}, line {line}: ")
    assert said in message
    assert "\n" not in message
    assert len(message) < 500 + len(str(path))


def test_a_trait_has_one_gene() -> None:
    gene = '{"name": "dropout", "loci": [%d], "values": [0, 0.1]}'
    with pytest.raises(InputError, match=r"^file, line 3: there is a gene dropout already; each trait has one$"):
        parse_gene_table('{"length": 2, "genes": [\n' + gene % 0 + ",\n" + gene % 1 + "]}", "file")


@pytest.mark.parametrize("text", ["", "[1]", '"genes"', "null", "{}", '{"length": 1, "genes": []}', "[" * 10**5])
def test_a_text_that_is_something_else_is_refused(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError) as refusal:
        load_gene_table(path)
    assert str(refusal.value).startswith(str(path))


@given(st.text(alphabet='{}[]":,0157 \nabcl\\u', max_size=40) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["length", "genes", "unused", "name", "loci", "values", "gray", "\ud800"]), inner, max_size=5
    ),
).map(json.dumps))  # fmt: skip
@settings(deadline=None, max_examples=300)
def test_whatever_a_file_holds_the_answer_is_a_refusal_in_one_printable_line(text: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_gene_table(text, "file")
    assert str(refusal.value).startswith("file")
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).encode()


def test_files_that_cannot_be_read_as_text_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "genes.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        load_gene_table(path)
    with pytest.raises(InputError, match="cannot read"):
        load_gene_table(tmp_path)


@pytest.mark.parametrize(
    ("name", "advice"), [("extnded", "did you mean extended?"), ("nowhere.json", "see docs/encoding.md")]
)
def test_a_table_that_is_not_there_is_refused_with_advice(name: str, advice: str) -> None:
    with pytest.raises(InputError) as refusal:
        gene_table(name)
    assert str(refusal.value) == f"no gene table {name!r}: expected standard, extended or a JSON file; {advice}"


def test_a_flag_that_a_gene_would_overrule_is_refused() -> None:
    refuse_coded(STANDARD, ["learning_rate", "optimizer"])
    refuse_coded(OWN_TABLE, ["weight_decay", "epochs"])
    with pytest.raises(InputError, match="--optimizer is a gene of this --encoding"):
        refuse_coded(OWN_TABLE, ["epochs", "optimizer"])


# The documentation


DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "encoding.md").read_text()


def test_the_example_of_the_documentation_is_a_sound_table() -> None:
    example = DOCUMENT.split("```json\n")[1].split("```")[0]
    table = parse_gene_table(example, "docs/encoding.md")
    assert {"learning_rate", "residual"} <= {gene.name for gene in table.genes}


def test_the_documented_extended_table_is_the_real_one() -> None:
    rows = [line.strip("| ").split(" | ") for line in DOCUMENT.splitlines() if line.startswith("| ")]
    documented = {row[1].strip("`"): row for row in rows if row[0][:2].isdigit() and int(row[0][:2]) >= 19}
    further = EXTENDED.genes[len(STANDARD.genes) :]
    assert list(documented) == [gene.name for gene in further]
    for gene in further:
        row = documented[gene.name]
        first, last = gene.loci[0], gene.loci[-1]
        assert row[0] == (str(first) if first == last else f"{first}–{last}")
        values = [TRAITS[gene.name].read(json.loads(value.strip("` "))) for value in row[2].split(", ")]
        is_plain = len(values) == 2
        assert (tuple(values) if is_plain else gray(*values)) == gene.values


def test_the_documented_traits_are_the_real_ones() -> None:
    named = {word.strip("` ") for line in DOCUMENT.splitlines() if line.startswith("| `") for word in line.split("|")}
    shown = {"block_1" if name.startswith("block_") else name for name in TRAITS}
    assert shown <= {word.split("`")[0] for word in named}
