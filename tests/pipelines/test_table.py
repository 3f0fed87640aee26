"""Three formats, one table; and every way in which a file is no table."""

import json
import os

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sensorimotor.errors import DataError
from sensorimotor.pipelines import table as table_module
from sensorimotor.pipelines.table import column_names, read_table

ROWS = [
    {"count": 1, "level": 1.5, "word": "go", "joints": [1, 2.5], "on": True, "never": None},
    {"count": None, "level": None, "word": " ", "joints": None, "on": None, "never": None},
    {"count": 300, "level": float("nan"), "word": 'say "stop", now', "joints": [3, None], "on": False, "never": None},
]
COLUMNS = {
    "count": [1, None, 300],
    "level": [1.5, None, None],
    "word": ["go", None, 'say "stop", now'],
    "joints": [[1.0, 2.5], None, [3.0, None]],
    "on": [True, None, False],
    "never": [None, None, None],
}


def write(path, rows):
    """Rows of equal keys in the format that the path ends in."""
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        cells = [list(rows[0])] + [[_cell(value) for value in row.values()] for row in rows]
        separator = "\t" if path.suffix == ".tsv" else ","
        path.write_text("".join(separator.join(row) + "\r\n" for row in cells))
    return path


def _cell(value):
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\t') else text


def plain(table):
    return {name: column.to_pylist() for name, column in table.columns.items()}


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv", "tsv"])
def test_equal_rows_are_equal_tables_in_each_format(tmp_path, suffix):
    table = read_table(write(tmp_path / f"t.{suffix}", ROWS))
    assert table.rows == 3
    assert plain(table) == COLUMNS
    types = {name: str(column.type) for name, column in table.columns.items()}
    assert types == {
        "count": "int64",
        "level": "double",
        "word": "large_string",
        "joints": "large_list<item: double>",
        "on": "bool",
        "never": "large_string",
    }


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_only_the_columns_that_are_wanted_are_read(tmp_path, suffix):
    path = write(tmp_path / f"t.{suffix}", ROWS)
    assert list(read_table(path, ["word", "count"], also=["on", "time"]).columns) == ["count", "word", "on"]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_a_column_may_be_kept_as_it_is_written(tmp_path, suffix):
    path = write(tmp_path / f"t.{suffix}", [{"code": 7}, {"code": None}, {"code": 12}])
    assert plain(read_table(path, texts=["code"])) == {"code": ["7", None, "12"]}
    path = write(path, [{"on": True, "x": 0.5}, {"on": False, "x": float("nan")}])
    assert plain(read_table(path, texts=["on", "x"])) == {"on": ["true", "false"], "x": ["0.5", None]}


def test_other_types_of_parquet_are_read_as_what_they_mean(tmp_path):
    columns = {
        "small": pa.array([1, 2], pa.uint8()),
        "half": pa.array([0.5, 1.5], pa.float16()),
        "label": pa.array(["a", "b"]).dictionary_encode(),
        "fixed": pa.array([[1, 2], [3, 4]], pa.list_(pa.float32(), 2)),
    }
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    expected = {"small": [1, 2], "half": [0.5, 1.5], "label": ["a", "b"], "fixed": [[1, 2], [3, 4]]}
    assert plain(read_table(tmp_path / "t.parquet")) == expected


def test_a_key_that_a_line_lacks_is_missing_there(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1}\n{"b": "x"}\n{"a": 2}\n\n')
    assert plain(read_table(path)) == {"a": [1, None, 2], "b": [None, "x", None]}


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path):
    for name, body in (("t.csv", "a,b\n1,2\n"), ("t.jsonl", '{"a": 1, "b": 2}\n')):
        (tmp_path / name).write_text(body, encoding="utf-8-sig")
        assert plain(read_table(tmp_path / name)) == {"a": [1], "b": [2]}


def test_what_is_quoted_is_text_even_if_it_says_null(tmp_path):
    (tmp_path / "t.csv").write_text('word,x\n"null",1\nnull,2\n"",3\n"two\nlines",4\n')
    assert plain(read_table(tmp_path / "t.csv"))["word"] == ["null", None, None, "two\nlines"]


@settings(max_examples=15)
@given(st.lists(st.one_of(st.none(), st.floats(width=32, allow_infinity=False)), min_size=1, max_size=20))
def test_numbers_are_the_same_in_text_and_in_binary(tmp_path_factory, numbers):
    folder = tmp_path_factory.mktemp("numbers")
    rows = [{"x": number, "row": f"r{at}"} for at, number in enumerate(numbers)]
    read = {
        suffix: plain(read_table(write(folder / f"t.{suffix}", rows)))["x"] for suffix in ("parquet", "jsonl", "csv")
    }
    assert read["parquet"] == read["jsonl"] == read["csv"]


# Bad input


@pytest.mark.parametrize("name", ["gone.csv", "gone.parquet", "gone.jsonl"])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(DataError, match=rf"{name} cannot be read: No such file"):
        read_table(tmp_path / name)


def test_a_pipe_is_no_table_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"t\.csv is no regular file"):
        read_table(tmp_path / "t.csv")


def test_an_extension_that_is_no_table_lists_those_that_are(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"")
    with pytest.raises(DataError, match=r"t\.xlsx: a table ends in \.parquet.*\.csv"):
        read_table(tmp_path / "t.xlsx")


@pytest.mark.parametrize("keep", [0, 3, 200, -1, -9])
def test_a_truncated_parquet_file_is_refused(tmp_path, keep):
    path = write(tmp_path / "t.parquet", ROWS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"t\.parquet is damaged or no Parquet file: write it again"):
        read_table(path)


def test_a_parquet_file_with_holes_is_refused(tmp_path):
    path = write(tmp_path / "t.parquet", ROWS * 50)
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(196)
    path.write_bytes(data)
    with pytest.raises(DataError, match="is damaged or no Parquet file: write it again"):
        read_table(path)


def test_rows_of_different_length_are_counted_as_a_person_counts(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n5\n6,7\n")
    with pytest.raises(DataError, match=r"row 3: 1 cells, but the header has 2: '5'\. Quote cells"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("a,say\n1,hello, world\n")
    with pytest.raises(DataError, match=r"row 1: 3 cells, but the header has 2"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("[1, 2]", "expected an object"),
        ("5", "expected an object"),
        ('{"a": ', "is no JSON"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_a_line_that_is_no_object_is_named(tmp_path, line, why):
    (tmp_path / "t.jsonl").write_text(f'{{"a": 1}}\n{{"a": 2}}\n{line}\n')
    with pytest.raises(DataError, match=rf"t\.jsonl, line 3.*{why}"):
        read_table(tmp_path / "t.jsonl")


def test_an_empty_line_between_others_is_named(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n\n{"a": 2}\n')
    with pytest.raises(DataError, match="line 2 is empty"):
        read_table(tmp_path / "t.jsonl")


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_a_missing_column_suggests_the_nearest(tmp_path, suffix):
    path = write(tmp_path / f"t.{suffix}", ROWS)
    with pytest.raises(DataError, match="has no column 'joint'; did you mean 'joints'?"):
        read_table(path, ["joint"])
    with pytest.raises(DataError, match="has no column 'zzz'; it has count, level, word"):
        read_table(path, ["zzz"])


def test_a_table_without_rows_is_refused(tmp_path):
    parquet.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("a,b\n")
    (tmp_path / "t.jsonl").write_text("\n")
    for suffix in ("parquet", "csv", "jsonl"):
        with pytest.raises(DataError, match="has no rows"):
            read_table(tmp_path / f"t.{suffix}")
    (tmp_path / "t.csv").write_text("")
    with pytest.raises(DataError, match="has nothing in its first line"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("values", "row", "message"),
    [
        ([1, 2, "three"], 3, "expected int '1', as in the rows before, got str 'three'"),
        (["a", True], 2, "expected str 'a', as in the rows before, got bool"),
        ([[1, 2], [1, "x"]], 2, "expected a list of numbers, got a list with str 'x'"),
        ([[1, 2], [[1], [2]]], 2, "expected a list of numbers, got a list with list"),
        ([None, {"deep": 1}], 2, "expected a number, a text or a list of numbers, got dict"),
    ],
)
def test_mixed_types_in_json_name_the_row(tmp_path, values, row, message):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"x": value}) + "\n" for value in values))
    with pytest.raises(DataError, match=rf"row {row}, column 'x': {message}"):
        read_table(path)


def test_a_word_among_numbers_in_csv_names_the_row_unless_it_is_declared_a_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x\n1\n2.5\nn/a\n4\n")
    with pytest.raises(
        DataError, match=r"row 3, column 'x': expected a number, as in most rows, got 'n/a'.*leave the cell"
    ):
        read_table(path)
    assert plain(read_table(path, texts=["x"])) == {"x": ["1", "2.5", "n/a", "4"]}


def test_a_number_among_words_is_a_word(tmp_path):
    (tmp_path / "t.csv").write_text("x\ngo\n2\nstop\n")
    assert plain(read_table(tmp_path / "t.csv")) == {"x": ["go", "2", "stop"]}


def test_a_cell_that_is_nearly_a_list_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text('x\n"[1, 2]"\n"[1, 2"\n')
    with pytest.raises(DataError, match=r"row 2, column 'x': expected a list of numbers such as"):
        read_table(tmp_path / "t.csv")


def test_a_cell_of_lists_in_lists_without_end_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("x\n" + "[" * 100_000 + "\n")
    with pytest.raises(DataError, match=r"row 1, column 'x': expected a list of numbers such as .*, got '\[{59}\. "):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n\n\n", "has nothing in its first line, which names the columns"),
        (b"a;b\n1;2\n", "has ';' between the names of its columns: expected ','"),
        (b"a\tb\n1\t2\n", r"has '\\t' between the names of its columns: expected ','"),
        (bytes(1000), "is no text, but binary data"),
        (b'a,b\n1,"' + b"x" * 3_000_000 + b"\n", "has a row of more than 1 MiB: close its quotes"),
        (b"a,b\n" + bytes(3_000_000) + b"\n", "has a row of more than 1 MiB"),
    ],
)
def test_what_is_no_csv_is_said_in_plain_words(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"t\.csv {message}"):
        read_table(tmp_path / "t.csv")


def test_types_that_nothing_can_be_learnt_from_are_refused(tmp_path):
    for column in (pa.array([0], pa.timestamp("s")), pa.array([b"x"]), pa.array([{"a": 1}]), pa.array([["a"]])):
        parquet.write_table(pa.table({"x": column, "y": [1]}), tmp_path / "t.parquet")
        with pytest.raises(DataError, match="column 'x': .* is no type that can be learnt from.*leave the column out"):
            read_table(tmp_path / "t.parquet")
        assert plain(read_table(tmp_path / "t.parquet", ["y"])) == {"y": [1]}


def test_two_columns_of_one_name_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,a\n1,2\n")
    with pytest.raises(DataError, match="two columns 'a'"):
        read_table(tmp_path / "t.csv")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,2\n3,\xff\n")
    (tmp_path / "t.jsonl").write_bytes(b'{"a": 1}\n{"a": "\xff"}\n')
    with pytest.raises(DataError, match="save it again as UTF-8"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(DataError, match="line 2 is no JSON"):
        read_table(tmp_path / "t.jsonl")


@pytest.mark.parametrize("value", ["1e400", "1" * 400, '"\\ud800"'])
def test_values_that_fit_nowhere_are_missing_or_refused(tmp_path, value):
    (tmp_path / "t.jsonl").write_text(f'{{"x": {value}}}\n')
    if value == "1e400":  # infinite: refused where a vector is made of it
        assert plain(read_table(tmp_path / "t.jsonl")) == {"x": [float("inf")]}
    else:
        with pytest.raises(DataError, match="column 'x'"):
            read_table(tmp_path / "t.jsonl")


def test_tables_beyond_the_limits_are_refused_before_they_are_read(tmp_path, monkeypatch):
    path = write(tmp_path / "t.parquet", ROWS)
    monkeypatch.setattr(table_module, "MAX_ROWS", 2)
    with pytest.raises(DataError, match="has 3 rows, more than 2: split it"):
        read_table(path)
    monkeypatch.setattr(table_module, "MAX_TABLE_BYTES", 10)
    with pytest.raises(DataError, match="GiB, more than .*: split it"):
        read_table(path)


def test_a_line_that_does_not_end_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(table_module, "MAX_LINE_BYTES", 2**20)
    with (tmp_path / "t.jsonl").open("wb") as file:
        file.write(b'{"x": 1}\n')
        file.truncate(2**31)
    with pytest.raises(DataError, match=r"t\.jsonl, line 2 is longer than 1 MiB: split it"):
        read_table(tmp_path / "t.jsonl")


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_the_columns_of_a_table_are_known_without_its_values(tmp_path, ending):
    path = tmp_path / f"rows.{ending}"
    match ending:
        case "jsonl":
            path.write_text('{"a": 1}\n{"b": "x", "a": 2}\n')
        case "parquet":
            parquet.write_table(pa.table({"a": [1], "b": ["x"]}), path)
        case _:
            path.write_text("a,b\n1,x\n".replace(",", "," if ending == "csv" else "\t"))
    assert column_names(path) == ["a", "b"]


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere.parquet", "nowhere.jsonl", "rows.parquet", "rows.xls"])
def test_a_table_that_is_none_has_no_columns(tmp_path, name):
    (tmp_path / "rows.parquet").write_text("no")
    with pytest.raises(DataError, match=name):
        column_names(tmp_path / name)
