"""The live picture in a browser, as its clients see it: page, motion JPEG, WebSocket, keys."""

import base64
import io
import json
import socket
import threading
import time

import httpx
import numpy as np
import pytest
from browser import Visit, chromium, executable
from PIL import Image
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from motion_jax.live import marks
from motion_jax.live.outputs import Picture
from motion_jax.live.page import HEAD, Page


@pytest.fixture
def page():
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    pressed = []
    made = Page(listening, lambda: {"line": "25 frames/s"}, pressed.append, ["ada", "ben"])
    made.pressed = pressed
    yield made
    made.close()


def a_picture(number):
    image = marks.draw(np.full((120, 160, 3), 100, np.uint8), number)
    return Picture(number, time.monotonic(), number / 25, image)


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def shown_until(page, there):
    """Shows picture after picture in the background, until told."""
    end, count = threading.Event(), [0]

    def run():
        while not end.is_set():
            page.show(a_picture(count[0]))
            count[0] += 1
            time.sleep(0.002)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        there(count)
    finally:
        end.set()
        thread.join()


def test_the_page_its_figures_and_its_keys(page):
    with httpx.Client(base_url=f"http://127.0.0.1:{page.port}") as client:
        answer = client.get("/")
        assert (
            'data-key="2"' in answer.text
            and "default-src 'none'" in (answer.headers["content-security-policy"])
        )
        assert client.get("/stats").json() == {"line": "25 frames/s"}
        assert client.post("/key/2").status_code == 200 and page.pressed == ["2"]
        # From other machines' names and other pages nothing is told and nothing pressed.
        for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            assert client.post("/key/x", headers=headers).status_code == 403
        assert page.pressed == ["2"]


def test_a_viewer_that_stalls_sees_the_newest_when_it_goes_on(page):
    """A picture is sent when the one before was acknowledged; what came meanwhile is gone."""

    def look(count):
        with connect(f"ws://127.0.0.1:{page.port}/stream") as ws:
            numbers = []
            for _ in range(5):
                data = ws.recv(10)
                number, _ = HEAD.unpack(data[: HEAD.size])
                assert marks.read(opened(data[HEAD.size :])) == number % marks.COUNT
                numbers.append(number)
                ws.send("ok")
            last = HEAD.unpack(ws.recv(10)[: HEAD.size])[0]  # not acknowledged: it stalls
            begun = count[0]
            while count[0] < begun + 100:
                time.sleep(0.005)
            ws.send("ok")
            after = HEAD.unpack(ws.recv(10)[: HEAD.size])[0]
            assert numbers == sorted(set(numbers)) and after > last + 90

    shown_until(page, look)


def test_motion_jpeg(page):
    def look(count):
        with (
            httpx.Client(base_url=f"http://127.0.0.1:{page.port}", timeout=10) as client,
            client.stream("GET", "/stream.mjpg") as answer,
        ):
            kind = answer.headers["content-type"]
            assert kind.startswith("multipart/x-mixed-replace; boundary=")
            data, numbers = b"", []
            for piece in answer.iter_bytes():
                data += piece
                while data.count(b"\r\n--motion-jax-frame") > 0:
                    part, _, data = data.partition(b"\r\n--motion-jax-frame")
                    body = part.partition(b"\r\n\r\n")[2]
                    numbers.append(marks.read(opened(body)))
                if len(numbers) >= 4:
                    break
            assert None not in numbers and (np.diff(numbers) % marks.COUNT > 0).all()

    shown_until(page, look)


def test_strangers_see_no_picture(page):
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}):
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{page.port}/stream", additional_headers=headers)
    assert json.loads(httpx.get(f"http://localhost:{page.port}/stats").text)


# Notes the number in the head of each picture that comes.
NUMBERS = """
window.numbers = [];
const Plain = WebSocket;
window.WebSocket = class extends Plain {
  constructor(...given) {
    super(...given);
    this.addEventListener('message', event => {
      numbers.push(Number(new DataView(event.data).getBigUint64(0, true)));
    });
  }
};
"""
# The picture that the page shows, at its own size.
SHOWN = """() => {
  const img = document.getElementById('picture'), canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
  canvas.getContext('2d').drawImage(img, 0, 0);
  return canvas.toDataURL('image/png');
}"""
BUSY = "() => { const begun = Date.now(); while (Date.now() - begun < 300); }"


def test_the_page_in_a_browser(page):
    """What it shows, its keys, and that it goes on with the newest when it was held up."""
    executable()

    def look(count):
        with chromium() as browser:
            visit = Visit(browser)
            visit.page.add_init_script(NUMBERS)
            visit.page.goto(f"http://127.0.0.1:{page.port}/")

            def until(true):
                # In Playwright's own way to wait the page's policy sees an eval.
                begun = time.monotonic()
                while not visit.page.evaluate(true):
                    assert time.monotonic() - begun < 60
                    time.sleep(0.02)

            until("numbers.length > 5")
            # While the next picture is on its way into the page, there is none for a moment.
            begun = time.monotonic()
            while not (data := visit.page.evaluate(SHOWN).partition(",")[2]):
                assert time.monotonic() - begun < 60
            assert marks.read(opened(base64.b64decode(data))) is not None
            until("/frames/.test(document.body.innerText)")
            visit.page.click("text=ben")
            visit.page.evaluate(BUSY)
            begun = count[0]
            # At most the picture that was on its way, and perhaps the one after it, is older.
            shown = visit.page.evaluate("numbers.length")
            until(f"numbers.length > {shown + 3}")
            numbers = visit.page.evaluate("numbers")
            assert numbers == sorted(set(numbers)) and numbers[shown + 2] >= begun
            visit.close()
            assert visit.elsewhere == [] and visit.errors == []

    shown_until(page, look)
    assert page.pressed == ["2"]
