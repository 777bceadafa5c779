"""Runs in an environment that has torch: loads exported files with strict=True, and applies them.

    python torch_side.py FOLDER DESCRIPTIONS.json INPUTS.npz OUTPUTS.npz [DOCUMENT]

DESCRIPTIONS: {file name: {"class", constructor arguments}}; INPUTS: by file name, NCHW; OUTPUTS:
what each network makes of it (of lists, the last entry of the first). DOCUMENT: a page whose
example marked `torch` is executed in FOLDER's parent too.
"""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import torch_networks


def main(folder: Path, descriptions: Path, inputs: Path, outputs: Path, document: str = "") -> None:
    found = {}
    given = np.load(inputs)
    for name, arguments in json.loads(descriptions.read_text()).items():
        network = getattr(torch_networks, arguments.pop("class"))(**arguments)
        state = torch.load(folder / name, weights_only=True)
        network.load_state_dict(state, strict=True)
        with torch.no_grad():
            output = network(torch.from_numpy(given[name]))
        while isinstance(output, list):
            output = output[0] if isinstance(output[0], list) else output[-1]
        found[name] = output.numpy()
    if document:
        (code,) = re.findall(r"```python torch\n(.*?)```", Path(document).read_text(), re.DOTALL)
        sys.modules["networks"] = torch_networks
        os.chdir(folder.parent)
        scope = {"pose": torch.zeros(1, 3, 16, 16), "previous": torch.zeros(1, 3, 16, 16)}
        exec(code, scope)
        found["document"] = scope["frame"].detach().numpy()
    np.savez(outputs, **found)


main(*map(Path, sys.argv[1:5]), *sys.argv[5:])
