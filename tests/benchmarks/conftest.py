"""benchmarks/ is no installed package: it is found from the top of the repository."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
