"""Gene tables by name, from a JSON file, and as the text that is stored in the state of a run."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from records import InputError
from records.canonical import canonical_json, shown
from records.documents import parse_json, read_text
from records.runs import DataFacts
from search_space.encoding import Encoding
from search_space.genes import EXTENDED, STANDARD, TRAITS, Gene, GeneTable, gray

NAMED = {"standard": STANDARD, "extended": EXTENDED}
MOST_TABLE_BYTES = 4 << 20
MOST_SHOWN = 60  # characters of a value in a message
Place = tuple[str | int, ...]  # the keys and indices that lead to a part of the text


def gene_table(name: str) -> GeneTable:
    """The table that `--encoding` names: standard, extended, or a file. Raises `InputError` for an invalid one.

    A name of a table takes precedence over a file of that name; write ./standard for the file.
    """
    if name in NAMED:
        return NAMED[name]
    if not Path(name).is_file():
        close = difflib.get_close_matches(name, NAMED, n=1)
        advice = f"did you mean {close[0]}?" if close else "see docs/encoding.md"
        raise InputError(f"no gene table {name!r}: expected {', '.join(NAMED)} or a JSON file; {advice}")
    return load_gene_table(Path(name))


def load_gene_table(path: Path) -> GeneTable:
    """The table in a JSON file, see `parse_gene_table`; errors name the file."""
    try:
        return parse_gene_table(read_text(path, MOST_TABLE_BYTES), str(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path} is not a JSON file: {error}") from error


def gene_table_text(table: GeneTable) -> str:
    """The canonical JSON of a table, in the format of a table file; equal tables have equal texts."""
    genes = [{"name": gene.name, "loci": gene.loci, "values": gene.values} for gene in table.genes]
    unused = sorted(set(range(table.length)) - set(table.coding_loci))
    return canonical_json({"length": table.length, "unused": unused, "genes": genes})


def encoding_of(facts: DataFacts, text: str) -> Encoding:
    """The encoding of a run: the table of its state (the text of one) for its data. The inverse of `gene_table_text`.

    Raises `InputError` for an invalid table.
    """
    return Encoding(facts.input_shape, len(facts.class_names), parse_gene_table(text, "the gene table"))


def refuse_coded(table: GeneTable, given: Iterable[str]) -> None:
    """Raises `InputError` if a setting of the training that a gene codes for was given as a flag as well."""
    for name in given:
        if name in table.hyperparameters:
            raise InputError(f"--{name} is a gene of this --encoding and differs by network; leave the flag out")


def parse_gene_table(text: str, name: str) -> GeneTable:
    """The table that a JSON text describes, such as

        {"length": 3, "unused": [2], "genes": [{"name": "dropout", "loci": [0, 1], "values": [0, 0.1, 0.2, 0.4]}]}

    A gene's first locus is its most significant bit; its values are in the order of their codes,
    or, with "gray": true, in the order of their Gray codes. Traits of the network without a gene
    are those of a small, sound one (`NETWORK_TRAITS`: 16 to 128 filters, kernels of 3, ReLU, early
    max pooling, one convolution a block, nothing else); settings of the training without a gene are
    what their flags say. Raises `InputError` that names `name` and the line of what is not sound.
    """
    source = _Source(name, text)
    content = source.mapping((), source.content, {"length": int, "genes": list}, {"unused": list})
    length = content["length"]
    if length < 1:
        source.refuse(("length",), f"a chromosome has at least 1 bit, but length is {length}")
    if not content["genes"]:
        source.refuse(("genes",), "expected at least one gene, found none")
    owners: dict[int, str] = {}  # who reads a locus, in words
    genes: list[Gene] = []
    for index, item in enumerate(content["genes"]):
        gene = _gene(source, ("genes", index), item)
        if gene.name in {other.name for other in genes}:
            source.refuse(("genes", index, "name"), f"there is a gene {gene.name} already; each trait has one")
        _claim(source, ("genes", index, "loci"), gene.loci, length, owners, f"gene {gene.name}")
        genes.append(gene)
    unused = [_whole(source, ("unused", index), item) for index, item in enumerate(content.get("unused", ()))]
    _claim(source, ("unused",), unused, length, owners, "unused")
    if len(owners) < length:
        locus = next(locus for locus in range(length) if locus not in owners)
        source.refuse(
            ("unused",) if "unused" in content else ("length",),
            f"no gene reads bit {locus}; give it to one, list it under unused, or make the chromosome shorter",
        )
    return GeneTable(tuple(genes), length)


def _gene(source: _Source, place: Place, item: Any) -> Gene:
    content = source.mapping(place, item, {"name": str, "loci": list, "values": list}, {"gray": bool})
    name, values = content["name"], content["values"]
    if name not in TRAITS:
        close = difflib.get_close_matches(name, TRAITS, n=1)
        advice = f"did you mean {close[0]}?" if close else f"known are {', '.join(TRAITS)}"
        source.refuse((*place, "name"), f"there is no gene {shown(name)}; {advice}")
    loci = [_whole(source, (*place, "loci", index), locus) for index, locus in enumerate(content["loci"])]
    if not loci:
        source.refuse((*place, "loci"), f"gene {name} reads no bit; expected at least one")
    if len(values) != 2 ** len(loci):
        codes = " = ".join([f"2^{len(loci)}", *([str(2 ** len(loci))] if len(loci) < 10 else [])])
        source.refuse((*place, "values"), f"gene {name}: bits {_shown(loci)} need {codes} values, found {len(values)}")
    read = []
    for index, value in enumerate(values):
        try:
            read.append(TRAITS[name].read(value))
        except ValueError as error:
            source.refuse((*place, "values", index), f"gene {name}: expected {error}, found {_shown(value)}")
    return Gene(name, tuple(loci), gray(*read) if content.get("gray") else tuple(read))


def _whole(source: _Source, place: Place, value: Any) -> int:
    if type(value) is not int:
        source.refuse(place, f"expected the number of a bit, found {_shown(value)}")
    number: int = value
    return number


def _claim(source: _Source, place: Place, loci: Iterable[int], length: int, owners: dict[int, str], owner: str) -> None:
    """Notes that these loci have an owner; refuses those that have one already, or are not there."""
    for index, locus in enumerate(loci):
        if not 0 <= locus < length:
            source.refuse((*place, index), f"{owner}: bit {locus} is not there; bits are numbered 0 to {length - 1}")
        if locus in owners:
            again = "is listed twice" if owners[locus] == owner else f"belongs to {owners[locus]} already"
            source.refuse((*place, index), f"{owner}: bit {locus} {again}")
        owners[locus] = owner


KINDS = {int: "a whole number", str: "a text", list: "a list", bool: "true or false"}
DECODER = json.JSONDecoder()


class _Source:
    """A JSON text that knows on which line each of its parts stands.

    Raises `InputError` for a text that is not JSON, or in which a key stands twice.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text
        self.positions: dict[Place, int] = {}
        try:
            self.content: Any = parse_json(text)
            self._note((), self._skip(0))
        except json.JSONDecodeError as error:
            raise InputError(f"{name}, line {error.lineno}: this is not JSON ({error.msg})") from error
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"{name} is not a gene table: {error}") from error

    def refuse(self, place: Place, message: str) -> NoReturn:
        line = self.text.count("\n", 0, self.positions[place]) + 1
        raise InputError(f"{self.name}, line {line}: {message}")

    def mapping(self, place: Place, value: Any, needed: dict[str, type], possible: dict[str, type]) -> dict[str, Any]:
        """The value, if it is an object with all needed keys and none but these and the possible, of such types."""
        known = needed | possible
        if not isinstance(value, dict):
            self.refuse(place, f"expected an object with {', '.join(known)}, found {_shown(value)}")
        for key, item in value.items():
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                advice = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
                self.refuse((*place, key), f"there is no key {_shown(key)}; {advice}")
            if type(item) is not known[key]:
                self.refuse((*place, key), f"{key} must be {KINDS[known[key]]}, but is {_shown(item)}")
        for key in needed:
            if key not in value:
                self.refuse(place, f"the key {key} is missing here")
        return value

    def _note(self, place: Place, start: int) -> int:
        """Notes where the value that begins at `start` stands, and all in it; returns where it ends.

        A part of an object stands where its key does. The text is known to be JSON.
        """
        self.positions.setdefault(place, start)
        if self.text[start] not in "{[":
            return DECODER.raw_decode(self.text, start)[1]
        position, step = self._skip(start + 1), 0
        while self.text[position] not in "}]":
            part: Place = (*place, step)
            if self.text[start] == "{":
                key, end = DECODER.raw_decode(self.text, position)
                part = (*place, key)
                is_new = part not in self.positions
                self.positions[part] = position
                if not is_new:
                    self.refuse(part, f"the key {_shown(key)} stands here for the second time")
                position = self._skip(self._skip(end) + 1)  # over the colon
            position, step = self._skip(self._note(part, position)), step + 1
            if self.text[position] == ",":
                position = self._skip(position + 1)
        return position + 1

    def _skip(self, position: int) -> int:
        """The first position from here that is not white space."""
        while self.text[position] in " \t\r\n":
            position += 1
        return position


def _shown(value: Any) -> str:
    """A part of a file, shortened."""
    text = json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()  # a lone surrogate is no text
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"
