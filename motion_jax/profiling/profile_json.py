"""What profile.json and compare.json hold; docs/profiling.md explains it to people."""

from typing import Any, Literal, NotRequired, TypedDict

FORMAT = 1
# What of a row is compared.
Measure = Literal["seconds", "flops", "bytes", "compiled_bytes"]


class Machine(TypedDict):
    """device: its kind, or the topology that was compiled for."""

    platform: str
    device: str
    devices: int


class StepTimes(TypedDict):
    """Seconds of a step; input_wait: share of them spent waiting for a batch. None: not run."""

    seconds: float
    traced_seconds: float | None
    input_wait: float | None


class Step(StepTimes):
    """Of the whole step. bytes: between layers, analytic; compiled_bytes: of the compiled
    instructions; limit_seconds: the layers' limits together; flop_limit_seconds: by the arithmetic
    alone, absent where the chip is not known; mfu: share of the chip's peak."""

    images_per_second: float
    idle_seconds: float | None
    flops: int
    bytes: int
    compiled_bytes: int | None
    limit_seconds: float | None
    mfu: float | None
    flop_limit_seconds: NotRequired[float]


class Start(TypedDict, total=False):
    """cold, warm: seconds to the first step as measure.Start has them, with an empty and with a
    filled compilation cache ("compiling" alone where nothing was run); programs, recompilations:
    how often each function was compiled until then and after it."""

    cold: dict[str, float]
    warm: dict[str, float]
    programs: dict[str, int]
    recompilations: dict[str, int]


class Memory(TypedDict):
    """Bytes on one device: by kind; of the compiler's peak; at most in use."""

    kinds: dict[str, int]
    peak: NotRequired[int]
    peak_in_use: NotRequired[int]


class Compiler(TypedDict):
    """The compiler's own counts."""

    flops: float | None
    bytes: float | None
    transcendentals: float | None


class Row(TypedDict):
    """Of one scope (scopes.Scope): its cost_table.Cost, and what the chip needs at least."""

    network: str
    layer: str
    backward: bool
    flops: int
    bytes: int
    compiled_bytes: int | None
    seconds: float | None
    limit_seconds: float | None


class Profile(Machine):
    """A profile.

    chip: fields of chips.Chip; None where it is not known. chips: that share the step (1 for all
    devices that jax makes of one CPU). time: "trace" or "compiler's estimate". data: where batches
    came from. command: the command line.
    """

    format: int
    config: str
    stage: str
    size: str
    batch: int
    window: int
    dtype: str
    chip: dict[str, Any] | None
    chips: int
    time: str
    step: Step
    start: Start
    memory: Memory
    compiler: Compiler
    rows: list[Row]
    versions: dict[str, str]
    settings: dict[str, Any]
    folder: str
    data: str
    trace: str | None
    command: NotRequired[str]


class ReadProfile(Profile):
    """file: where it was read from."""

    file: str


class Change(TypedDict):
    """Of one scope."""

    scope: str
    before: float
    after: float
    change: float


class Comparison(TypedDict):
    """before, after: the files. differences: settings and conditions that differ, as sentences.
    step, memory: [before, after] by name and by kind. changes: the largest growth first, without
    what changed less than 0.2 % of the step."""

    before: str
    after: str
    differences: list[str]
    step: dict[str, list[float | None]]
    memory: dict[str, list[int]]
    changes: dict[Measure, list[Change]]
