"""Reads the text of a compiled program (optimised HLO): what runs how often, and what it costs."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_BITS = {"pred": 8, "s4": 4, "u4": 4, "bf16": 16, "f16": 16, "c64": 64, "c128": 128}
# Name the data of others, or are decided when compiling.
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all",
         "partition-id", "replica-id", "opt-barrier", "add-dependency", "domain"}  # fmt: skip
# Custom calls that a TPU compiler uses to name memory, not to do something.
_FREE_CALL = re.compile(r'custom_call_target="(AllocateBuffer|ConcatBitcast|Assume\w+)"')
# Beginnings and ends of work that runs beside the rest.
_BESIDE = re.compile(r".*-(start|done|update)$")
COLLECTIVE = re.compile(
    r"(all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute|collective-broadcast"
    r"|send|recv)(-start)?$"
)
_HEADER = re.compile(r"^(ENTRY )?%?([^\s(]+) \(.*\) -> .* \{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([^\s=]+) = (.*)$")
_ARRAY = re.compile(
    r"([a-z]\w*)\[([\d,]*)\](?:\{([\d,]*)(?::((?:[A-Z]\w*\([^)]*\)|\([^)]*\))*))?\})?"
)


@dataclass(frozen=True)
class Instruction:
    """One instruction that takes time.

    Attributes:
      name: as the program's text and a trace call it.
      opcode: "fusion", "convolution", "copy", ...
      scope: where it comes from (named scopes and the primitive); empty where the compiler made it.
      cycles: a TPU compiler's estimate for one run of it; None where the text has none.
      times: how often the program runs it: the product of the trip counts of the loops around it.
      bytes: read and written in the chip's large memory, with the padding of tiles; a fusion that
        reads only a part of an operand is counted with all of it.
      shape: of the result, as the text has it.
    """

    name: str
    opcode: str
    scope: str
    cycles: int | None
    times: int
    bytes: int
    shape: str

    @property
    def total_cycles(self) -> int:
        return (self.cycles or 0) * self.times


@dataclass(frozen=True)
class Message:
    """One instruction by which devices talk.

    Attributes:
      kind: "all-reduce", "all-gather", "collective-permute", ...
      bytes: of its result on one device, for one run.
      times: how often the program runs it.
      beside: whether other work may run between its beginning and its end (`…-start`, `…-done`).
      scope: where it comes from, as of an Instruction.
      attributes: its text behind the operands: who talks with whom.
    """

    kind: str
    bytes: int
    times: int
    beside: bool
    scope: str
    attributes: str


@dataclass
class Program:
    """What a program runs: instructions, and its communication (a step's)."""

    instructions: list[Instruction] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    @property
    def collectives(self) -> Counter[str]:
        """How often each kind of communication runs."""
        return self._sum(lambda each: each.times)

    @property
    def collective_bytes(self) -> Counter[str]:
        """Bytes of the results of each kind of communication."""
        return self._sum(lambda each: each.times * each.bytes)

    def _sum(self, value: Callable[[Message], int]) -> Counter[str]:
        total: Counter[str] = Counter()
        for each in self.messages:
            total[each.kind] += value(each)
        return total


@dataclass(frozen=True)
class Line:
    """One line of a computation; rest: its attributes and metadata as text."""

    name: str
    shape: str
    opcode: str
    operands: tuple[str, ...]
    rest: str


def read(text: str) -> Program:
    """The program of an executable's `as_text()`.

    Fusions count as one instruction. Loops without a known trip count count once; of a conditional
    the branch with the most estimated cycles.
    """
    found, entry = computations(text)
    program = Program()
    _walk(found, entry, 1, program)
    program.instructions.sort(key=lambda each: -each.total_cycles)
    return program


def computations(text: str) -> tuple[dict[str, list[Line]], str]:
    """The lines of each computation by its name, operands before their users, and the name of the
    entry. Raises ValueError for a text that is no HLO module."""
    computations: dict[str, list[Line]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if current is None:
            header = _HEADER.match(line)
            if header:
                current = computations.setdefault(header[2], [])
                entry = header[2] if header[1] else entry
        elif line.startswith("}"):
            current = None
        elif found := _INSTRUCTION.match(line):
            shape, rest = _split_shape(found[2])
            opcode, _, rest = rest.partition("(")
            operands, rest = _split_operands(rest)
            current.append(Line(found[1], shape, opcode, operands, rest))
    if not entry:
        raise ValueError("this text is no HLO module: it has no ENTRY computation")
    return computations, entry


def _split_shape(text: str) -> tuple[str, str]:
    end = _closing(text, 1) + 1 if text.startswith("(") else text.index(" ")
    return text[:end], text[end:].lstrip()


def _split_operands(text: str) -> tuple[tuple[str, ...], str]:
    end = _closing(text, 0)
    return tuple(re.findall(r"%([^\s,()]+)", text[:end])), text[end + 1 :]


def _closing(text: str, start: int) -> int:
    """Index of the parenthesis that closes one opened just before `start`."""
    depth = 1
    for index in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if not depth:
            return index
    return len(text)


def _walk(computations: dict[str, list[Line]], name: str, times: int, program: Program) -> None:
    lines = computations[name]
    shapes = {line.name: line.shape for line in lines}
    for line in lines:
        if line.opcode in _FREE:
            continue
        if COLLECTIVE.match(line.opcode):
            program.messages.append(_message(line, times))
        if line.opcode == "while":
            trips = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', line.rest)
            body = _called(line.rest, "body")[0]
            _walk(computations, body, times * (int(trips[1]) if trips else 1), program)
        elif line.opcode == "conditional":
            branches = _called(line.rest, "branch_computations") or [
                *_called(line.rest, "true_computation"),
                *_called(line.rest, "false_computation"),
            ]
            programs = [Program() for _ in branches]
            for branch, into in zip(branches, programs, strict=True):
                _walk(computations, branch, times, into)
            costliest = max(programs, key=lambda p: sum(i.total_cycles for i in p.instructions))
            program.instructions += costliest.instructions
            program.messages += costliest.messages
        elif line.opcode == "call":
            for called in _called(line.rest, "to_apply"):
                _walk(computations, called, times, program)
        else:
            cycles = re.search(r'"estimated_cycles":"(\d+)"', line.rest)
            elsewhere = _BESIDE.match(line.opcode) or COLLECTIVE.match(line.opcode)
            if cycles is None and (elsewhere or _FREE_CALL.search(line.rest)):
                continue
            moved = shape_bytes(line.shape)
            moved += sum(shape_bytes(shapes.get(operand, "")) for operand in set(line.operands))
            program.instructions.append(
                Instruction(
                    name=line.name,
                    opcode=line.opcode,
                    scope=_scope(line),
                    cycles=int(cycles[1]) if cycles else None,
                    times=times,
                    bytes=moved * times,
                    shape=line.shape,
                )
            )


def _scope(line: Line) -> str:
    found = re.search(r'op_name="([^"]*)"', line.rest)
    return found[1] if found else ""


def _message(line: Line, times: int) -> Message:
    beside = line.opcode.endswith("-start")
    kind = line.opcode.removesuffix("-start")
    shape = line.shape
    if beside and kind != "all-reduce":
        # (operands, results, and what the end needs to know).
        shape = parts_of(shape)[1]
    return Message(kind, data_bytes(shape), times, beside, _scope(line), line.rest)


def parts_of(shape: str) -> list[str]:
    """The shapes that a tuple's shape is made of."""
    parts, depth, start = [], 0, 1
    for index, letter in enumerate(shape):
        depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(letter, 0)
        if depth == (1 if letter == "," else 0) and letter in ",)":
            parts.append(shape[start:index].strip())
            start = index + 1
    return parts


def _called(attributes: str, key: str) -> list[str]:
    found = re.search(rf"\b{key}=(?:\{{([^}}]*)\}}|%?([^\s,]+))", attributes)
    if not found:
        return []
    return [name.strip().lstrip("%") for name in (found[1] or found[2]).split(",")]


def arrays(shape: str) -> Iterator[tuple[str, tuple[int, ...], tuple[int, ...], str]]:
    """(dtype, dimensions, minor to major, tiles) of each array of a shape."""
    for dtype, sizes, order, tiles in _ARRAY.findall(shape):
        dimensions = tuple(int(size) for size in sizes.split(",") if size)
        minor = tuple(int(axis) for axis in order.split(",") if axis)
        yield dtype, dimensions, minor or tuple(reversed(range(len(dimensions)))), tiles


def data_bytes(shape: str) -> int:
    """Bytes of an array's or tuple's elements."""
    return sum(math.prod(sizes) * _bits(dtype) // 8 for dtype, sizes, _, _ in arrays(shape))


def shape_bytes(shape: str) -> int:
    """Bytes that an array's or tuple's shape takes in the large memory, the padding of its tiles
    included; S(n), n > 0, marks the small memories on the chip, which count as nothing.
    """
    total = 0
    for dtype, dimensions, minor, tiles in arrays(shape):
        if re.search(r"S\([1-9]", tiles):
            continue
        padded = [dimensions[axis] for axis in minor]
        tile = re.match(r"T\(([\d,]+)\)", tiles)
        if tile and padded:
            sides = [int(side) for side in tile[1].split(",")]
            padded += [1] * (len(sides) - len(padded))
            for axis, side in enumerate(reversed(sides)):
                padded[axis] = -(-padded[axis] // side) * side
        total += math.prod(padded) * _bits(dtype) // 8
    return total


def _bits(dtype: str) -> int:
    if dtype in _BITS:
        return _BITS[dtype]
    digits = re.search(r"\d+", dtype)
    return int(digits[0]) if digits else 0
