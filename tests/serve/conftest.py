"""A server whose runs draw instead of synthesizing: protocols are tested without a network."""

import base64
import io
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from motion_jax.events import StopToken, watched
from motion_jax.serve import command
from motion_jax.serve.options import ServeOptions
from motion_jax.transfer.resident import Resident, Seen

SIZE = (16, 24)


class Drawing(Resident):
    """Makes negatives; in a stream each picture is darker by the number of the picture."""

    takes, densepose, size, body_known = "frames", False, SIZE, False

    def __init__(self, name):
        self.name, self.seen, self.slow = name, 0, threading.Event()
        self.slow.set()

    def picture(self, image):
        return Seen({"frames": np.resize(image, (*SIZE, 3))}, (0, 0, *SIZE))

    def pose(self, keypoints):
        return Seen(
            {"frames": np.full((*SIZE, 3), round(keypoints[0, 0]), np.uint8)}, (0, 0, *SIZE)
        )

    def alone(self, seen):
        self.slow.wait(20)
        self.seen += len(seen)
        return [255 - one.shown["frames"] for one in seen]

    def player(self, gaps="hold"):
        return Counting(self)


class Counting:
    def __init__(self, resident):
        self.resident, self.count = resident, 0

    def next(self, moment):
        self.resident.slow.wait(20)
        self.count += 1
        return 255 - moment.shown["frames"] - np.uint8(self.count - 1)


class Served:
    """A server in a thread. http: asks it; ports: see command.Ports."""

    def __init__(self, **options):
        self.residents = {name: Drawing(name) for name in ("ada", "ben")}
        self._stop, self._ready = StopToken(), threading.Event()
        given = {"port": 0, "sdk_port": 0, "osc_port": 0, "hub_port": 0, **options}
        self._options = ServeOptions(run=(Path("ada"), Path("ben")), **given)
        self._thread = threading.Thread(target=self._run)
        self.failed = None

    def _run(self):
        try:
            with watched(lambda event: None):
                command.serve(self._options, stop=self._stop, ready=self._begun)
        except BaseException as error:
            self.failed = error
            self._ready.set()

    def _begun(self, ports):
        self.ports = ports
        self._ready.set()

    def __enter__(self):
        before, command._loaded = command._loaded, lambda options: self.residents
        self._thread.start()
        assert self._ready.wait(30)
        command._loaded = before
        assert self.failed is None, self.failed
        self.url = f"http://127.0.0.1:{self.ports.http}"
        self.sdk = f"http://127.0.0.1:{self.ports.sdk}"
        self.hub = f"http://127.0.0.1:{self.ports.hub}"
        self.http = httpx.Client(base_url=self.url, timeout=20)
        return self

    def __exit__(self, *_):
        self.http.close()
        self._stop.stop()
        self._thread.join(20)
        assert not self._thread.is_alive() and self.failed is None


@pytest.fixture(scope="module")
def served():
    with Served() as server:
        yield server


@pytest.fixture(scope="session")
def start():
    """(options) -> a context manager that is a server."""
    return Served


@pytest.fixture(scope="session")
def pictured():
    """(seed) -> a picture, and PNG bytes of it."""

    def make(seed=0, size=SIZE):
        coarse = np.random.default_rng(seed).integers(0, 255, (2, 3, 3), dtype=np.uint8)
        image, file = (
            Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BILINEAR),
            io.BytesIO(),
        )
        image.save(file, "PNG")
        return np.asarray(image), file.getvalue()

    return make


def as_uri(data, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def of_uri(text):
    return opened(base64.b64decode(text.partition("base64,")[2]))


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.fixture(scope="session")
def wire():
    """as_uri, of_uri, opened: pictures as clients have them."""
    return as_uri, of_uri, opened
