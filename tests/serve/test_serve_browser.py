"""The server from pages in a real browser: RunwayML's sketches with their own socket.io, and our
own for p5, each on a page of another port of this machine, with a camera."""

import functools
import http.server
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from browser import Visit, chromium, executable

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

# The sketch CycleGAN_Websockets of runwayml/p5js without its drawing: the camera's picture is sent,
# and the next when the answer has come.
SKETCH = """<!doctype html><meta charset="utf-8"><title>sketch</title>
<link rel="icon" href="data:,"><video id="camera" muted></video><img id="shown">
<script src="socket.io.js"></script>
<script>
const video = document.getElementById('camera'), shown = document.getElementById('shown');
const canvas = document.createElement('canvas');
canvas.width = 600, canvas.height = 400;
let answers = 0, info = null;
const socket = io.connect(new URLSearchParams(location.search).get('server'));
function send() {
  canvas.getContext('2d').drawImage(video, 0, 0, 600, 400);
  socket.emit('query', {image: canvas.toDataURL('image/jpeg')});
}
socket.on('info', told => { info = Object.keys(told).sort().join(); });
socket.on('data', data => {
  shown.src = data.image;
  answers++;
  if (answers < 3) send();
});
socket.on('error', told => { document.title = JSON.stringify(told); });
navigator.mediaDevices.getUserMedia({video: true}).then(async stream => {
  video.srcObject = stream;
  await video.play();
  send();
});
</script>"""

# What our sketch uses of p5, where the library is not there.
P5 = """
let width, height, drawingContext;
const VIDEO = 'video', windowWidth = innerWidth, windowHeight = innerHeight, {min, round} = Math;
function createCanvas(w, h) {
  const canvas = document.body.appendChild(document.createElement('canvas'));
  [canvas.width, canvas.height] = [width, height] = [w, h];
  drawingContext = canvas.getContext('2d');
}
function createCapture(kind, then) {
  const elt = document.body.appendChild(document.createElement('video'));
  elt.muted = true;
  elt.onloadedmetadata = () => { elt.play(); then(); };
  navigator.mediaDevices.getUserMedia({video: true}).then(stream => { elt.srcObject = stream; });
  return {elt, hide() { elt.style.display = 'none'; }};
}
function background(grey) { fill(grey); drawingContext.fillRect(0, 0, width, height); }
function fill(grey) { drawingContext.fillStyle = `rgb(${grey} ${grey} ${grey})`; }
function textSize(size) { drawingContext.font = `${size}px sans-serif`; }
function text(words, x, y) { drawingContext.fillText(words, x, y); }
onload = () => { setup(); (function turn() { draw(); requestAnimationFrame(turn); })(); };
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    executable()
    film = tmp_path_factory.mktemp("camera") / "camera.y4m"
    with open(film, "wb") as file:
        file.write(b"YUV4MPEG2 W160 H120 F25:1 Ip A1:1 C420\n")
        luma = np.linspace(60, 200, 160).astype(np.uint8)[None].repeat(120, 0)
        file.write((b"FRAME\n" + luma.tobytes() + bytes([128]) * (2 * 60 * 80)) * 5)
    with chromium(film) as made:
        yield made


@pytest.fixture
def visit(browser):
    made = Visit(browser)
    yield made
    made.close()
    assert made.elsewhere == [] and made.errors == []


class Pages(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def pages(tmp_path):
    """(folder, its address) on a port of its own."""
    handler = functools.partial(Pages, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("version", ["2", "4"])
def test_a_page_with_socket_io(served, pages, visit, version):
    modules = os.environ.get(f"MOTION_JAX_SOCKET_IO_{version}")
    if not modules:
        pytest.skip(
            f"needs MOTION_JAX_SOCKET_IO_{version}: the node_modules folder of npm install "
            f"socket.io-client@{version}"
        )
    folder, url = pages
    library = Path(modules) / "socket.io-client" / "dist" / "socket.io.js"
    (folder / "socket.io.js").write_bytes(library.read_bytes())
    (folder / "index.html").write_text(SKETCH)
    visit.page.goto(f"{url}/?server={served.url}")
    visit.page.wait_for_function("answers === 3 && shown.complete")
    assert visit.page.evaluate("info") == "inputs,outputs"
    size = visit.page.evaluate("[shown.naturalHeight, shown.naturalWidth]")
    assert size == [16, 24] and visit.page.title() == "sketch"


def test_a_page_that_posts(served, pages, visit):
    """The sketch CycleGAN_HTTP: JSON from another port, for which the browser first asks leave."""
    folder, url = pages
    (folder / "index.html").write_text('<!doctype html><link rel="icon" href="data:,">')
    visit.page.goto(url)
    status, keys = visit.page.evaluate(
        """async server => {
          const canvas = document.createElement('canvas');
          const answer = await fetch(server + '/query', {
            method: 'POST', headers: {'Content-Type': 'application/json'},
            body: JSON.stringify({image: canvas.toDataURL('image/jpeg')})});
          return [answer.status, Object.keys(await answer.json())];
        }""",
        served.url,
    )
    assert (status, keys) == (200, ["image"])


def test_our_sketch_for_p5(served, pages, visit):
    """With the library itself where MOTION_JAX_P5 names p5.min.js."""
    folder, url = pages
    for name in ("index.html", "sketch.js"):
        (folder / name).write_bytes((EXAMPLES / "p5" / name).read_bytes())
    library = os.environ.get("MOTION_JAX_P5")
    (folder / "p5.min.js").write_text(Path(library).read_text() if library else P5)
    (folder / "favicon.ico").write_bytes(b"")
    visit.page.goto(f"{url}/?server={served.url.replace('http', 'ws')}")
    # Each frame is sent when the one before has been answered.
    visit.page.wait_for_function("person && number > 3")
    assert visit.page.evaluate("[person.height, person.width]") == [16, 24]
    visit.page.wait_for_function("/^[0-9]+ ms old$/.test(said)")
    drawn = visit.page.evaluate(
        "Array.from(drawingContext.getImageData(width / 2, height / 2 - 20, width / 2, 1).data)"
    )
    assert np.std(drawn) > 10
