"""A studio in a thread, and what tests do with one."""

import threading
from pathlib import Path

import httpx

from motion_jax.cli import VERBS
from motion_jax.cli.completion import options_of
from motion_jax.events import watched
from motion_jax.studio import command
from motion_jax.studio.library import Library, new_project
from motion_jax.studio.options import StudioOptions

TOKEN = "a-token-for-tests"


class Opened:
    """A studio. http: asks it; port; library: of its only project; place: that project's path;
    events: what it told."""

    def __init__(self, root: Path, **options):
        self.root, self.ready, self.events = root, threading.Event(), []
        self.library: Library = new_project(root, "Test")
        self.place = f"/p/{self.library.id}"
        settings = StudioOptions(port=0, browser=False, projects=root, **options)

        def run():
            with watched(self.events.append):
                command.studio(settings, options_of, VERBS, ready=self._ready)

        self.thread = threading.Thread(target=run)
        self.thread.start()
        assert self.ready.wait(30)
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=60, headers={"accept": "text/html"})
        while not self.server.started:
            pass

    def _ready(self, port, server):
        self.port, self.server = port, server
        self.ready.set()

    def post(self, path, status=200, /, **body):
        """The answer to a change in the project."""
        answer = self.http.post(self.place + path, json=body, headers={"accept": "*/*"})
        assert answer.status_code == status, answer.text
        return answer.json()

    def page(self, path, status=200):
        answer = self.http.get(self.place + path)
        assert answer.status_code == status, answer.text
        return answer.text

    def close(self):
        self.http.close()
        self.server.should_exit = True
        self.thread.join(30)


def send(studio, data, name="dance.mp4", piece=20_000, **more):
    """Uploads bytes as the page's script does; returns the film's KIND/ID."""
    begun = studio.post("/uploads", name=name, size=len(data), changed=1, **more)
    at = begun["received"]
    while at < len(data):
        answer = put(studio, begun["upload"], at, data[at : at + piece])
        assert answer.status_code == 200, answer.text
        at = answer.json()["received"]
    return studio.post(f"/uploads/{begun['upload']}/finish")["item"]


def put(studio, key, offset, data, **headers):
    return studio.http.put(
        f"{studio.place}/uploads/{key}?offset={offset}",
        content=data,
        headers={"content-type": "application/octet-stream", "accept": "*/*", **headers},
    )


def made(studio, kind, name, made_from=(), **facts):
    """A thing as if its job had been done."""
    item = studio.library.new(kind, name, made_from, facts)
    if item.facts.get("suffix"):
        item.path.write_bytes(b"film")
    else:
        item.path.mkdir()
        (item.path / "metadata.json").write_text("{}")
        (item.path / "checkpoints" / "5").mkdir(parents=True)
    return item
