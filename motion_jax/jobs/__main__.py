"""The queue's process: python -m motion_jax.jobs FOLDER.

It leaves its parent behind, so that nobody has to wait for its end.
"""

import os
import sys
from pathlib import Path

from motion_jax.jobs.queue import run

if __name__ == "__main__":
    if os.fork():
        os._exit(0)
    run(Path(sys.argv[1]))
