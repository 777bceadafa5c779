"""What a program that was compiled for an NVIDIA card says: bytes, arithmetic, a roofline, and what
cuDNN is asked to do that is out of proportion to the networks.

The compiler gives no times. The roofline counts each instruction with the larger of two: its
arithmetic at the card's published peak, and its operands and results at its published bandwidth. No
program is faster but by what its caches keep; a real one is slower, by how much no compiler says.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from motion_jax.profiling import hlo
from motion_jax.profiling.chips import Chip
from motion_jax.profiling.scopes import Scope, of_operation

_TARGET = re.compile(r'custom_call_target="([^"]+)"')
_CONVOLUTION = re.compile(r"__cudnn\$conv\w+")
_HALF = ("bf16", "f16")


@dataclass(frozen=True)
class Call:
    """A convolution of cuDNN's that is out of proportion.

    Attributes:
      call: which of cuDNN's functions. scope: where it comes from. why: in words.
      result, operands: their shapes. window: its sides. times: a step.
    """

    call: str
    scope: str
    why: str
    result: str
    operands: tuple[str, ...]
    window: str
    times: int


@dataclass(frozen=True)
class Read:
    """A program as read.

    Attributes:
      flops: of its convolutions and matrix products, as compiled.
      bytes: operands and results of all instructions, of those of which a part is read or changed
        that part; what a cache keeps counts too.
      seconds: by the roofline.
      kinds: {kind of instruction: (how many a step, bytes, seconds)}, the longest first.
      layers: (scope, seconds, bytes, flops), the longest first.
      convolutions: cuDNN's calls a step; out_of_proportion: those worth a look.
      messages: between cards.
    """

    flops: int
    bytes: int
    seconds: float
    kinds: dict[str, tuple[int, int, float]]
    layers: list[tuple[Scope, float, int, int]]
    convolutions: int
    out_of_proportion: list[Call]
    messages: list[hlo.Message]

    def cudnn(self) -> dict[str, Any]:
        """As --json has it: {calls, out_of_proportion: list of Call's fields}."""
        odd = [asdict(call) for call in self.out_of_proportion]
        return {"calls": self.convolutions, "out_of_proportion": odd}


def read(text: str, chip: Chip, largest: int) -> Read:
    """Reads a compiled program's `as_text()`.

    largest: side of the largest kernel of its networks; a window above it is out of proportion.
    Raises ValueError for a text that is no program.
    """
    computations, _ = hlo.computations(text)
    lines = {line.name: line for found in computations.values() for line in found}
    program = hlo.read(text)
    flops: Counter[str] = Counter()
    kinds: dict[str, tuple[int, int, float]] = {}
    layers: dict[Scope, tuple[float, int, int]] = {}
    odd, convolutions, seconds = [], 0, 0.0
    for each in program.instructions:
        line = lines[each.name]
        arithmetic = each.times * _flops(line, lines, computations)
        moved = each.times * _moved(line, lines, computations)
        peak = chip.peak_flops("bfloat16" if _halved(line, lines) else "float32")
        taken = max(arithmetic / peak, moved / chip.bandwidth_bytes_s)
        target = _TARGET.search(line.rest)
        kind = target[1] if target else each.opcode
        flops[kind] += arithmetic
        seconds += taken
        _add(kinds, kind, (each.times, moved, taken))
        _add(layers, of_operation(each.scope), (taken, moved, arithmetic))
        if _CONVOLUTION.match(kind):
            convolutions += each.times
            if why := _out_of_proportion(line, lines, computations, largest):
                odd.append(_call(kind, line, lines, each, why))
    return Read(
        flops=sum(flops.values()),
        bytes=sum(moved for _, moved, _ in kinds.values()),
        seconds=seconds,
        kinds=dict(sorted(kinds.items(), key=lambda item: -item[1][2])),
        layers=sorted(((scope, *rest) for scope, rest in layers.items()), key=lambda row: -row[1]),
        convolutions=convolutions,
        out_of_proportion=odd,
        messages=program.messages,
    )


def _add(table: dict[Any, Any], key: Any, values: tuple[Any, ...]) -> None:
    known = table.get(key, (0,) * len(values))
    table[key] = tuple(a + b for a, b in zip(known, values, strict=True))


# --- one instruction ----------------------------------------------------------------------------


def _sides(shape: str) -> tuple[int, ...]:
    """Of a shape's first array (a custom call's second is the memory that it works in)."""
    return next((sizes for _, sizes, _, _ in hlo.arrays(shape)), ())


def _shapes(line: hlo.Line, lines: dict[str, hlo.Line]) -> list[str]:
    return [lines[name].shape if name in lines else "" for name in line.operands]


def _halved(line: hlo.Line, lines: dict[str, hlo.Line]) -> bool:
    """Whether its first operand has 16 bits an entry: then its products run at that peak."""
    first = next(iter(_shapes(line, lines)), "")
    return any(dtype in _HALF for dtype, *_ in hlo.arrays(first))


# What reads a part of its first operand, and what changes a part of it in place, where the numbers
# for that part stand among the operands.
_READ_IN_PART = ("gather", "dynamic-slice", "slice")
_CHANGED_IN_PART = {"scatter": -1, "dynamic-update-slice": 1}


def _moved(line: hlo.Line, lines: dict[str, hlo.Line], computations: dict[str, Any]) -> int:
    """Bytes of one run."""
    inner = list(_inside(line, computations))
    if not inner:
        inner = [line]
    shapes = {each.name: each.shape for each in inner}
    users: dict[str, list[hlo.Line]] = {}
    for each in inner:
        for name in each.operands:
            users.setdefault(name, []).append(each)
    if line.opcode == "fusion":
        parameters = {
            each.name: lines[operand].shape
            for operand, each in zip(
                line.operands,
                sorted((each for each in inner if each.opcode == "parameter"), key=_number),
                strict=False,
            )
            if operand in lines
        }
    else:
        parameters = {name: lines[name].shape for name in line.operands if name in lines}
        shapes |= parameters
    total = 0
    for name, shape in parameters.items():
        readers = users.get(name, [])
        if readers and all(_in_part(each, name) for each in readers):
            total += sum(
                hlo.shape_bytes(each.shape) for each in readers if each.opcode in _READ_IN_PART
            )
        else:
            total += hlo.shape_bytes(shape)
    changed = inner[-1]
    if changed.opcode in _CHANGED_IN_PART and len(changed.operands) > 1:
        part = changed.operands[_CHANGED_IN_PART[changed.opcode]]
        return total + 2 * hlo.shape_bytes(shapes.get(part, ""))
    return total + hlo.shape_bytes(line.shape)


def _in_part(reader: hlo.Line, name: str) -> bool:
    return reader.operands[0] == name and (
        reader.opcode in _READ_IN_PART or reader.opcode in _CHANGED_IN_PART
    )


def _number(parameter: hlo.Line) -> int:
    """Of a parameter: param_2.17, or what stands where others have operands."""
    found = re.search(r"param(?:eter)?_(\d+)", parameter.name)
    return int(found[1]) if found else 0


def _inside(line: hlo.Line, computations: dict[str, Any]) -> list[hlo.Line]:
    called = re.search(r"\bcalls=%?([^\s,}]+)", line.rest) if line.opcode == "fusion" else None
    return list(computations.get(called[1], ())) if called else []


def _flops(line: hlo.Line, lines: dict[str, hlo.Line], computations: dict[str, Any]) -> int:
    """Of one run: two a multiply-add of its convolutions and matrix products."""
    target = _TARGET.search(line.rest)
    if target and _CONVOLUTION.match(target[1]):
        return _convolution_flops(target[1], line, lines)
    if line.opcode == "dot" or (target and "gemm" in target[1] or target and "matmul" in target[1]):
        return _product_flops(line, lines)
    if line.opcode in ("fusion", "call"):
        called = re.search(r"\b(?:calls|to_apply)=%?([^\s,}]+)", line.rest)
        inner = computations.get(called[1], ()) if called else ()
        return sum(_product_flops(each, lines) for each in inner if each.opcode == "dot")
    return 0


def _convolution_flops(target: str, line: hlo.Line, lines: dict[str, hlo.Line]) -> int:
    """Whichever of the three arrays is asked for: every pixel of the output meets the kernel."""
    first, second = (_sides(shape) for shape in _shapes(line, lines)[:2])
    result = _sides(line.shape)
    if "BackwardFilter" in target:
        kernel, output = result, second
    elif "BackwardInput" in target:
        kernel, output = second, first
    else:
        kernel, output = second, result
    labels = re.search(r"dim_labels=\w+_(\w+)->", line.rest)
    outputs = kernel[labels[1].index("o")] if labels else 1
    return 2 * math.prod(output) * math.prod(kernel) // max(outputs, 1)


def _product_flops(line: hlo.Line, lines: dict[str, hlo.Line]) -> int:
    left = _sides(next(iter(_shapes(line, lines)), ""))
    found = re.search(r'lhs_contracting_dim(?:ension)?s"?[=:][{\["]*([\d,"]+)', line.rest)
    axes = [int(axis) for axis in re.findall(r"\d+", found[1])] if found else []
    return 2 * math.prod(_sides(line.shape)) * math.prod(left[axis] for axis in axes)


def _out_of_proportion(
    line: hlo.Line, lines: dict[str, hlo.Line], computations: dict[str, Any], largest: int
) -> str:
    """Why, in words; empty where it is not."""
    window = _window(line)
    if max(window, default=0) > largest:
        return f"a window of {_by(window)}, where the largest kernel has {largest}x{largest}"
    for name in line.operands[:2]:
        if _stuffed(name, lines, computations):
            sides = _by(_sides(lines[name].shape))
            return f"an operand of {sides} with zeros between its rows"
    return ""


def _window(line: hlo.Line) -> tuple[int, ...]:
    found = re.search(r"window=\{[^}]*size=([\dx]+)", line.rest)
    return tuple(int(side) for side in found[1].split("x")) if found else ()


def _by(sides: tuple[int, ...]) -> str:
    return "x".join(map(str, sides))


def _stuffed(name: str, lines: dict[str, hlo.Line], computations: dict[str, Any]) -> bool:
    """Whether an operand is made by padding between the rows of another."""
    return any(
        each.opcode == "pad" and re.search(r"padding=\S*\d+_\d+_[1-9]", each.rest)
        for each in _makers(name, lines, computations)
    )


def _makers(
    name: str, lines: dict[str, hlo.Line], computations: dict[str, Any]
) -> Iterator[hlo.Line]:
    """What computes a value, views of it left out: an instruction, of a fusion those inside."""
    line = lines.get(name)
    while line and line.opcode in ("get-tuple-element", "bitcast", "copy") and line.operands:
        line = lines.get(line.operands[0])
    if line and line.opcode == "fusion":
        yield from _inside(line, computations)
    elif line:
        yield line


def _call(
    kind: str, line: hlo.Line, lines: dict[str, hlo.Line], each: hlo.Instruction, why: str
) -> Call:
    def plain(shape: str) -> str:
        dtype, sizes, _, _ = next(hlo.arrays(shape), ("", (), (), ""))
        return f"{dtype}[{','.join(map(str, sizes))}]"

    return Call(
        call=kind.removeprefix("__cudnn$"),
        scope=str(of_operation(each.scope)),
        why=why,
        result=plain(line.shape),
        operands=tuple(plain(shape) for shape in _shapes(line, lines)[:2]),
        window=_by(_window(line)),
        times=each.times,
    )
