"""Which network and layer each instruction of a compiled program belongs to."""

import re
from collections import Counter
from typing import NamedTuple

from motion_jax.profiling import hlo
from motion_jax.profiling.scopes import OTHER, Scope, of_operation

# Copies and changes of layout that belong to nobody's operation.
UNKNOWN = Scope(OTHER, "compiler's own")
# Sums over devices and the like; the compiler merges those of many layers into one.
COMMUNICATION = "communication between devices"


class Attribution(NamedTuple):
    """scopes and opcodes of a program's instructions, by their names."""

    scopes: dict[str, Scope]
    opcodes: dict[str, str]

    def scope(self, name: str) -> Scope:
        return self.scopes.get(name, UNKNOWN)


def attribute(text: str) -> Attribution:
    """Reads a compiled program's text.

    An instruction that the compiler added (a copy into another layout, say) has no name of its own:
    it counts to what is inside it, else to the first that uses its result, else to where its
    operands come from.
    """
    computations, _ = hlo.computations(text)
    own = {
        line.name: of_operation(found[1])
        for lines in computations.values()
        for line in lines
        if (found := re.search(r'op_name="((?:[^"\\]|\\.)*)"', line.rest))
    }
    scopes: dict[str, Scope] = {}
    for lines in computations.values():
        users: dict[str, list[str]] = {}
        for line in lines:
            for operand in line.operands:
                users.setdefault(operand, []).append(line.name)
        resolved: dict[str, Scope | None] = {}
        # Users stand behind what they use, so from behind each one's users are known before it.
        for line in reversed(lines):
            scope = own.get(line.name) or _inside(line, computations, own)
            if found := hlo.COLLECTIVE.match(line.opcode):
                scope = Scope(COMMUNICATION, found[1])
            if scope is None and line.opcode != "parameter":
                scope = next(
                    (s for name in users.get(line.name, ()) if (s := resolved[name])), None
                )
            resolved[line.name] = scope
        for line in lines:
            scope = resolved[line.name]
            if scope is None:
                known = (resolved.get(name) for name in line.operands)
                scope = next((s for s in known if s), None)
                resolved[line.name] = scope
            scopes[line.name] = scope or UNKNOWN
    opcodes = {line.name: line.opcode for lines in computations.values() for line in lines}
    return Attribution(scopes, opcodes)


def _inside(line: hlo.Line, computations: dict, own: dict[str, Scope]) -> Scope | None:
    """What most instructions of a fusion come from."""
    if line.opcode not in ("fusion", "call"):
        return None
    called = re.search(r"\b(?:calls|to_apply)=%?([^\s,}]+)", line.rest)
    inner = computations.get(called[1], ()) if called else ()
    counts = Counter(own[each.name] for each in inner if each.name in own)
    return counts.most_common(1)[0][0] if counts else None
