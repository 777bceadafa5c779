"""Our generators as OpenVINO models, made of their ONNX graphs.

float32 and bfloat16 are one file: which of them a processor computes is said when it is compiled
(INFERENCE_PRECISION_HINT); on processors that have bfloat16 that is OpenVINO's own choice. An int8
model is a file of its own, whose scales were measured on examples.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from motion_jax.errors import UserError
from motion_jax.files import atomic_path

# The layer that makes the picture stays in float: its steps would be seen.
LAST = "last"


def openvino_package() -> Any:
    """The `openvino` package. Raises UserError where it is not installed."""
    # Its conversion tools send figures of use from a forked process, which with jax's threads may
    # hang; where this module is absent they do without.
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise UserError(
            "OpenVINO's models need the package openvino: pip install 'motion-jax[live]'."
        ) from error
    return openvino


def read(model: bytes | Path) -> Any:
    """An openvino.Model of an ONNX graph or of an XML file beside its BIN file."""
    core = openvino_package().Core()
    return core.read_model(model if isinstance(model, bytes) else str(model))


def write(path: Path, model: Any, half: bool = False) -> None:
    """Writes an openvino.Model as PATH.xml and PATH.bin. half: weights stored as float16."""
    package = openvino_package()
    # The weights first: an XML file that is there is whole.
    with atomic_path(path) as temporary:
        made = temporary.with_suffix(".xml")
        package.save_model(model, str(made), compress_to_fp16=half)
        made.with_suffix(".bin").replace(path.with_suffix(".bin"))
        if made != temporary:
            made.replace(temporary)


def quantised(
    model: bytes, shape: tuple[int, ...], examples: Sequence[Float32[np.ndarray, "1 h w i"]]
) -> Any:
    """The openvino.Model of an ONNX graph of one input, in int8 (NNCF's quantisation after
    training): scales are measured on the examples. The last convolution stays in float. Raises
    UserError where the package nncf is not installed."""
    openvino = openvino_package()
    try:
        import nncf
    except ImportError as error:
        raise UserError("int8 needs the package nncf: pip install 'motion-jax[int8]'.") from error
    nncf.set_log_level(40)
    network = read(model)
    network.reshape(openvino.PartialShape(list(shape)))
    last = [op.get_friendly_name() for op in network.get_ops() if _of_last(op)]
    return nncf.quantize(
        network,
        nncf.Dataset(list(examples)),
        subset_size=len(examples),
        ignored_scope=nncf.IgnoredScope(names=last),
    )


def _of_last(operation: Any) -> bool:
    name = operation.get_friendly_name()
    return name.split("/")[0] == LAST and operation.get_type_name() == "Convolution"
