"""Damage for the fuzzers: valid files, spoiled at byte, token and structure level, by a seed.

Everything is drawn from the generator that is passed, so that an input is known by its number.
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq

Random = random.Random
Mutator = Callable[[bytes, Random], bytes]

NUMBERS = ("0", "-0", "-1", "1e999", "-1e999", "nan", "NaN", "inf", "-Infinity", "9" * 30,
           "9" * 400, "9" * 5000, "1e-400", "0x7fffffff", "2147483648", "18446744073709551616",
           "1_000", "٣", "½", "1,5", "--3", "+", ".", "1e", "0.1.2")  # fmt: skip
TEXTS = ("", " ", "\0", "\t", "\r", "\n", "\x1b[2J", "\x85", "\u2028", "\ufeff", "\ufffe",
         "\u202e", "\u200b", "\U0001f600", "a\u0301", "ﬁ", "ß", "İ", "..", "../",
         "../../../etc/passwd",
         "/etc/passwd", "C:\\con", "CON", "nul.txt", "com1", "aux", ".", "~", "file:///etc/passwd",
         "http://127.0.0.1:1/", "\\\\host\\share", "=1+1", "+1", "-1", "@SUM(A1)", "|cmd",
         "<b>", "</script><script>", "&amp;", "&#0;", "&x;", "]]>", "<![CDATA[", "<!DOCTYPE a>",
         "<!--", '"', "'", "''", '"""', "`", "${x}", "{{7*7}}", "%s", "%n", "{}", "{0}", "\\",
         "\\u0000", "\\ud800", "a" * 300, "x" * 10_000, "1" * 10_000, "\u0301" * 50,
         "a/b/c/d" * 20, "null", "None", "true", "[]", "{}", "-", "*", "?", ";",
         ",", "|", "=")  # fmt: skip
BYTES = (b"\x00", b"\xff", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80",
         b"\xc0\x80", b"\xf4\x90\x80\x80", b"\x80", b"\r", b"\n", b"\r\n", b'"', b"\\", b"\x1a",
         b"\x7f",
         b"\x00" * 64, b"[" * 3000, b"{" * 3000, b'"' * 3, b"\xff\xff\xff\xff",
         b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\x00\x00\x00\x00")  # fmt: skip
_TOKEN = re.compile(rb"-?\d+(?:\.\d+)?|[A-Za-z_][\w.\-]*|\"[^\"\n]{0,80}\"|[<>{}\[\]=,:;&#/]")


def hostile_text(rng: Random) -> str:
    """A text that breaks something somewhere: one of the known, or a random one."""
    if rng.random() < 0.8:
        return rng.choice(TEXTS)
    spans = ((0, 0x80), (0x80, 0x800), (0x2000, 0x2100), (0xE000, 0xFFFF), (0x10000, 0x10FFFF))
    low, high = rng.choice(spans)
    return "".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(12)))


def hostile_value(rng: Random) -> Any:
    """A value of JSON that nobody asked for."""
    numbers = (0, -1, 1.5, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, float("nan"),
               float("inf"), 10**17)  # fmt: skip
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: None, lambda: rng.random() < 0.5, lambda: rng.choice(numbers),
        lambda: rng.choice(NUMBERS), lambda: hostile_text(rng), list, dict, lambda: [[]],
        lambda: [hostile_text(rng)], lambda: {hostile_text(rng): hostile_text(rng)},
        lambda: chr(rng.randrange(0xD800, 0xE000)), lambda: [None] * 4,
    )  # fmt: skip
    return rng.choice(kinds)()


def damaged(content: bytes, rng: Random) -> bytes:
    """Bytes flipped, cut out, put in, repeated, moved, or cut off."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        start = rng.randrange(len(found) + 1)
        end = min(len(found), start + rng.choice((1, 1, 2, 4, 8, 30, 200)))
        act = rng.randrange(7)
        if act == 0 and start < len(found):
            found[start] ^= 1 << rng.randrange(8)
        elif act == 1:
            del found[start:end]
        elif act == 2:
            found[start:start] = rng.choice(BYTES)
        elif act == 3:
            found[start:end] = rng.randbytes(end - start)
        elif act == 4:
            found[start:start] = found[start:end] * rng.choice((1, 2, 20))
        elif act == 5:
            place, piece = rng.randrange(len(found) + 1), found[start:end]
            found[place : place + len(piece)] = piece
        elif rng.random() < 0.5:
            del found[start:]
    return bytes(found)


def spoiled(content: bytes, rng: Random) -> bytes:
    """Numbers, words, strings and signs replaced by hostile ones."""
    tokens = list(_TOKEN.finditer(content))
    if not tokens:
        return damaged(content, rng)
    for token in sorted(rng.choices(tokens, k=rng.choice((1, 1, 2, 4))),
                        key=lambda found: -found.start()):  # fmt: skip
        old = token[0]
        number = old[:1].isdigit() or old[:1] == b"-"
        if rng.random() < 0.15:
            new = rng.choice(tokens)[0]
        elif number and rng.random() < 0.7:
            new = rng.choice(NUMBERS).encode()
        else:
            new = hostile_text(rng).encode("utf-8", "surrogatepass")
            new = b'"' + new + b'"' if old[:1] == b'"' and rng.random() < 0.7 else new
        content = content[: token.start()] + new + content[token.end() :]
    return content


def json_mutant(content: bytes, rng: Random) -> bytes:
    """A JSON value with nodes replaced, dropped, doubled or buried."""
    try:
        value = json.loads(content)
    except ValueError:
        return spoiled(content, rng)
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = _changed(value, rng)
    deep = rng.random()
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    if deep < 0.01:
        depth = rng.choice((900, 100_000))
        text = "[" * depth + text + "]" * depth
    return text.encode("utf-8", "surrogatepass")


def _changed(value: Any, rng: Random) -> Any:
    """The value with one place in it changed."""
    if not isinstance(value, list | dict) or not value or rng.random() < 0.1:
        return hostile_value(rng)
    if isinstance(value, list):
        place = rng.randrange(len(value))
        act = rng.random()
        if act < 0.1:
            return value[:place] + value[place + 1 :]
        if act < 0.2:
            return [*value, value[place]]
        return [*value[:place], _changed(value[place], rng), *value[place + 1 :]]
    key = rng.choice(list(value))
    act = rng.random()
    if act < 0.12:
        return {name: own for name, own in value.items() if name != key}
    if act < 0.2:
        return {hostile_text(rng) if name == key else name: own for name, own in value.items()}
    if act < 0.25:
        return {**value, hostile_text(rng): hostile_value(rng)}
    return {**value, key: _changed(value[key], rng)}


def jsonl_mutant(content: bytes, rng: Random) -> bytes:
    """Lines of JSON, some changed, doubled or dropped."""
    lines = content.split(b"\n")
    place = rng.randrange(len(lines))
    lines[place] = json_mutant(lines[place], rng) if lines[place].strip() else b"{}"
    if rng.random() < 0.2:
        lines.insert(rng.randrange(len(lines)), lines[place])
    return rng.choice((b"\n", b"\n", b"\n", b"\r\n", b"\r")).join(lines)


def xml_mutant(content: bytes, rng: Random) -> bytes:
    """An XML file with elements moved, doubled, dropped, and hostile attributes and texts."""
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError:
        return spoiled(content, rng)
    for _ in range(rng.choice((1, 1, 2, 4))):
        nodes = list(root.iter())
        node = rng.choice(nodes)
        act = rng.randrange(7)
        if act == 0 and len(node):
            node.remove(rng.choice(list(node)))
        elif act == 1 and len(node):
            node.extend([rng.choice(list(node))] * rng.choice((1, 5)))
        elif act == 2:
            _bury(node, rng.choice(nodes))
        elif act == 3 and node.attrib:
            node.set(rng.choice(list(node.attrib)), _xml_text(rng))
        elif act == 4 and node.attrib:
            del node.attrib[rng.choice(list(node.attrib))]
        elif act == 5:
            node.text = _xml_text(rng)
        else:
            node.tag = rng.choice(nodes).tag
    return ElementTree.tostring(root, encoding=rng.choice(("utf-8", "utf-8", "utf-16", "latin-1")))


def _bury(node: ElementTree.Element, other: ElementTree.Element) -> None:
    """Put one element into another, unless that makes a ring."""
    if node not in list(other.iter()):
        node.append(other)


def _xml_text(rng: Random) -> str:
    text = rng.choice(NUMBERS) if rng.random() < 0.5 else hostile_text(rng)
    return "".join(sign for sign in text if sign >= " " and not "\ud800" <= sign <= "\udfff")


def csv_mutant(content: bytes, rng: Random) -> bytes:
    """A table with cells, rows and columns spoiled, and another dialect."""
    rows = list(csv.reader(io.StringIO(content.decode("utf-8", "replace"))))
    for _ in range(rng.choice((1, 1, 2, 4))):
        row = rng.choice(rows) if rows else []
        act = rng.randrange(6)
        if act == 0 and row:
            row[rng.randrange(len(row))] = rng.choice(NUMBERS)
        elif act == 1 and row:
            row[rng.randrange(len(row))] = hostile_text(rng)
        elif act == 2 and row:
            del row[rng.randrange(len(row))]
        elif act == 3:
            row.append(hostile_text(rng))
        elif act == 4 and rows:
            rows.insert(rng.randrange(len(rows)), list(rng.choice(rows)))
        elif rows and row:
            row[0] = rng.choice((rows[0][0] if rows[0] else "", "z" * 140_000))
    out = io.StringIO()
    ends = rng.choice(("\n", "\n", "\n", "\r\n", "\r"))
    delimiter = rng.choice((",", ",", ",", ";", "\t"))
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    csv.writer(out, lineterminator=ends, delimiter=delimiter, quoting=quoting).writerows(rows)
    encoding = rng.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"))
    return out.getvalue().encode(encoding, "replace")


def toml_mutant(content: bytes, rng: Random) -> bytes:
    """A recipe with values, keys and sections of other kinds."""
    lines = content.decode().split("\n")
    values = ("1", "-1", "0", "1.5", "inf", "nan", "true", '"x"', "[]", "[1, [2]]", "{}", "''",
              "{a = 1}", "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00", "9" * 5000,
              "0x" + "f" * 5000, "1e400", "[" * 2000, "[" * 2000 + "]" * 2000, '"\\u0000"',
              '["a", 1, {}]', "-9223372036854775809", '"\\ud800"')  # fmt: skip
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(lines))
        key, equals, value = lines[place].partition("=")
        act = rng.randrange(5)
        if act == 0 and equals:
            lines[place] = f"{key}= {rng.choice(values)}"
        elif act == 1 and equals:
            lines[place] = f"{key}= {json.dumps(hostile_text(rng))}"
        elif act == 2 and equals:
            lines[place] = f"{hostile_text(rng)} ={value}"
        elif act == 3:
            lines.insert(rng.randrange(len(lines)), lines[place])
        else:
            lines.insert(place, f"[{rng.choice(('model', 'score', 'a.b', 'collection.label'))}]")
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def png_mutant(content: bytes, rng: Random) -> bytes:
    """A PNG with chunks changed and their checksums made right again; else `damaged`."""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or rng.random() < 0.3:
        return wide_numbers(content, rng) if rng.random() < 0.5 else damaged(content, rng)
    chunks, place = [], 8
    while place + 12 <= len(content):
        (size,) = struct.unpack(">I", content[place : place + 4])
        chunks.append([content[place + 4 : place + 8], content[place + 8 : place + 8 + size]])
        place += 12 + size
    for _ in range(rng.choice((1, 1, 2, 3))):
        chunk = rng.choice(chunks)
        act = rng.randrange(5)
        if act == 0:
            chunk[1] = damaged(chunk[1], rng) if chunk[1] else b"\0" * 9
        elif act == 1:
            chunk[1] = wide_numbers(chunk[1], rng)
        elif act == 2:
            chunk[0] = rng.choice((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"zTXt", b"iTXt",
                                   b"acTL", b"fcTL", b"iCCP", b"gAMA", b"pHYs"))  # fmt: skip
        elif act == 3:
            chunks.insert(rng.randrange(len(chunks)), list(chunk))
        else:
            text = b"a\0\0" + zlib.compress(b"0" * rng.choice((10, 3_000_000)))
            chunks.insert(1, [rng.choice((b"zTXt", b"iCCP")), text])
    out = content[:8]
    for name, data in chunks:
        out += struct.pack(">I", len(data)) + name + data
        out += struct.pack(">I", zlib.crc32(name + data))
    return out


def wide_numbers(content: bytes, rng: Random) -> bytes:
    """Two or four bytes somewhere made the largest, the least or another number of their size."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if len(found) < 4:
            break
        place = rng.randrange(len(found) - 3)
        value = rng.choice((0, 1, 2, 0x7F, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF,
                            0xFFFFFFFF, rng.randrange(1 << 32)))  # fmt: skip
        order = rng.choice("<>")
        found[place : place + 4] = struct.pack(f"{order}I", value)
        if value < 0x10000 and rng.random() < 0.5:
            found[place : place + 2] = struct.pack(f"{order}H", value)
    return bytes(found)


def parquet_mutant(content: bytes, rng: Random) -> bytes:
    """A Parquet file with columns of other types and names, or damaged bytes."""
    if rng.random() < 0.4:
        return rng.choice((damaged, wide_numbers))(content, rng)
    table = pq.read_table(pa.BufferReader(content))
    for _ in range(rng.choice((1, 1, 2))):
        table = _other_columns(table, rng)
    sink = io.BytesIO()
    try:
        pq.write_table(table, sink, row_group_size=rng.choice((1, 2, 1000)),
                       compression=rng.choice(("none", "zstd", "snappy")))  # fmt: skip
    except (pa.ArrowException, ValueError):
        return damaged(content, rng)
    return sink.getvalue()


def _other_columns(table: pa.Table, rng: Random) -> pa.Table:
    place = rng.randrange(table.num_columns) if table.num_columns else 0
    name = table.column_names[place] if table.num_columns else "x"
    act = rng.randrange(6)
    if act == 0 and table.num_columns:
        return table.drop_columns([name]) if table.column_names.count(name) == 1 else table
    if act == 1:
        return table.append_column(hostile_text(rng) if rng.random() < 0.7 else name,
                                   _strange_array(table.num_rows, rng))  # fmt: skip
    if act == 2 and table.num_columns:
        return table.set_column(place, hostile_text(rng), table[place])
    if act == 3:
        key = rng.choice((b"huggingface", b"typika.notes", b"pandas"))
        named = b'{"info": {"features": {"label": {"names": [1, null, {}]}}}}'
        value = rng.choice((b"", b"{", b"[" * 100_000, b'{"info": {}}', b"\xff", named))
        return table.replace_schema_metadata({key: value})
    if act == 4:
        return table.slice(0, rng.randrange(table.num_rows + 1))
    if not table.num_columns:
        return table
    return table.set_column(place, name, _strange_array(table.num_rows, rng))


def _strange_array(n: int, rng: Random) -> pa.Array:
    """N values of some type."""
    kinds: Sequence[Callable[[], pa.Array]] = (
        lambda: pa.array([hostile_text(rng) for _ in range(n)], pa.string()),
        lambda: pa.array([None] * n, pa.null()),
        lambda: pa.array([rng.choice((None, 2**63 - 1, -1, 0)) for _ in range(n)], pa.int64()),
        lambda: pa.array([rng.choice((float("nan"), float("inf"), -1e308)) for _ in range(n)]),
        lambda: pa.array([[1, None]] * n, pa.list_(pa.int32())),
        lambda: pa.array([{"bytes": b"x", "path": "../x"}] * n),
        lambda: pa.array([rng.randbytes(5) for _ in range(n)], pa.binary()),
        lambda: pa.array([True, False, None][:1] * n, pa.bool_()),
        lambda: pa.array([0] * n, pa.timestamp("ns", "UTC")),
        lambda: pa.array([hostile_text(rng) for _ in range(n)]).dictionary_encode(),
        lambda: pa.array([[("k", "v")]] * n, pa.map_(pa.string(), pa.string())),
        lambda: pa.array([b"\xff\xfe" for _ in range(n)], pa.binary()).view(pa.string()),
        lambda: pa.array([0] * n, pa.decimal128(38, 10)),
        lambda: pa.array([0] * n, pa.duration("us")),
        lambda: pa.array([0] * n, pa.uint64()),
        lambda: pa.array([0] * n, pa.date32()),
    )
    return rng.choice(kinds)()
