"""The studio in a real browser: a newcomer's whole way, the camera, what everybody can use."""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from http import HTTPStatus

import httpx
import numpy as np
import pytest
from browser import Visit, chromium, executable
from studio_opened import made, send
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.sync.server import serve

from motion_jax.jobs import book
from motion_jax.studio import guide

TINY = (
    "--recipe.generator.ngf 4 --recipe.generator.n-downsampling 1 --recipe.generator.n-blocks 1 "
    "--recipe.generator.n-blocks-local 1 --recipe.discriminator.ndf 4 "
    "--recipe.discriminator.n-layers 1 --recipe.losses.structure 0 "
    "--recipe.global-stage.steps 5000 --recipe.global-stage.height 16 "
    "--recipe.global-stage.width 16 --recipe.global-stage.num-D 1 --recipe.local-stage.steps 0 "
    "--recipe.local-stage.decay-steps 0 --recipe.face-stage.steps 0 "
    "--recipe.face-stage.decay-steps 0 --record.sample-every 25 --record.sample-seconds 0.2 "
    "--record.no-trace --record.log-every 5"
)


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    """A film for the fake camera: a bright square that goes over grey."""
    executable()
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    with open(path, "wb") as file:
        file.write(b"YUV4MPEG2 W160 H120 F25:1 Ip A1:1 C420\n")
        for i in range(25):
            luma = np.full((120, 160), 110, np.uint8)
            luma[40:80, 4 * i : 4 * i + 40] = 230
            file.write(b"FRAME\n" + luma.tobytes() + bytes([128]) * (2 * 60 * 80))
    return path


@pytest.fixture(scope="module")
def browser(camera):
    with chromium(camera) as made:
        yield made


@pytest.fixture
def visit(browser):
    made = Visit(browser)
    yield made
    made.close()
    assert made.elsewhere == []


def until(what, seconds=120):
    ends = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.1)
    return found


class Process:
    """A studio in a process of its own, which can be killed."""

    def __init__(self, root):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.root, self.url = root, f"http://127.0.0.1:{self.port}"
        self.log = root / "studio.log"
        self.begin()

    def begin(self):
        words = ["studio", "--port", str(self.port), "--no-browser", "--projects", str(self.root)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "motion_jax.cli", *words], stdout=log, stderr=log
            )

        def answers():
            assert self.process.poll() is None, self.log.read_text()
            try:
                return httpx.get(self.url + "/static/icon.svg").status_code == 200
            except httpx.TransportError:
                return False

        until(answers)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def job(self):
        return book.of_root(self.root)[-1]


@pytest.fixture
def process(tmp_path):
    executable()
    made = Process(tmp_path)
    yield made
    made.kill()
    for job in book.of_root(tmp_path):
        if job.state == "running" and book.is_alive(job):
            os.killpg(job.pid, signal.SIGKILL)


def changes(page):
    """Waits until another sample is shown."""
    shown = "document.getElementById('after').getAttribute('src')"
    first = page.evaluate(shown)
    until(lambda: page.evaluate(shown) != first)


def newest(job):
    """The step of a run's newest sample."""
    return max(int(p.stem[5:]) for p in (job.project / job.about[0] / "samples").glob("*.png"))


def test_the_whole_way_of_a_newcomer(process, visit, dancer, tmp_path):
    page = visit.page
    # A film, and the person in it.
    page.goto(process.url)
    page.get_by_role("link", name="A minute of one person").click()
    # With its script, which takes the file.
    page.wait_for_url("**/film")
    page.set_input_files("#file", dancer)
    page.wait_for_url("**/films/video")
    page.get_by_label("The person's name").fill("Ben <3")
    page.get_by_label("Size of the pictures").select_option("128x128")
    page.get_by_text("All other options").click()
    # Nobody has to download a pose model for this test: the drawn dancer's joints are known.
    page.get_by_label("poses", exact=True).fill(str(dancer.parent / "poses"))
    page.get_by_role("button", name="Prepare").click()
    page.wait_for_url("**/datasets/ben-3")
    page.get_by_text("pictures can be learnt from").wait_for(timeout=180_000)
    assert page.get_by_text("Important:").count()  # a second of film is too little
    # Learn it, in a way that fits a test.
    page.get_by_role("link", name="Learn this person").click()
    page.get_by_text("In your own way").click()
    page.get_by_label("Config").fill("demo")
    page.get_by_label("Settings").fill(TINY)
    page.get_by_label("Minutes", exact=True).fill("5")
    page.locator("form[data-do$=train] button.go").click()
    page.wait_for_url("**/runs/ben-3")
    page.get_by_label("After step").wait_for(timeout=180_000)
    # Samples change while one looks, in each tab.
    other = visit.tab()
    other.goto(page.url)
    changes(page)
    assert other.locator("[data-part=state]").inner_text() == "at work"
    # The studio dies; what learns goes on; the page comes back by itself.
    job = process.job()
    process.kill()
    assert book.is_alive(job)
    before = (job.folder / "events.jsonl").stat().st_size
    until(lambda: (job.folder / "events.jsonl").stat().st_size > before)
    process.begin()
    changes(page)
    assert process.job().pid == job.pid
    # Stop it in one tab; the other one sees it; go on, from where it was.
    page.get_by_role("button", name="Stop", exact=True).click()
    other.locator(".badge.stopped").wait_for()
    made = newest(job)
    assert (job.project / job.about[0] / "checkpoints").is_dir()
    other.get_by_role("button", name="Go on").click()
    page.locator(".badge.running").wait_for()
    until(lambda: newest(job) > made)
    page.get_by_role("button", name="Stop", exact=True).click()
    page.locator(".badge.stopped").wait_for()
    # Dance, look, take it home.
    page.get_by_role("link", name="Dance", exact=True).last.click()
    page.get_by_label("Name").fill("First dance")
    page.get_by_text("All other options").click()
    page.get_by_label("poses", exact=True).fill(str(dancer.parent / "poses"))
    page.locator("button[value=whole]").click()
    page.wait_for_url("**/results/first-dance")
    page.locator("main video").wait_for(timeout=180_000)
    assert page.get_by_text("Synthetic: this was computed").is_visible()
    until(lambda: page.evaluate("document.querySelector('main video').readyState") >= 2)
    page.evaluate("document.querySelector('main video').play()")
    until(lambda: page.evaluate("document.querySelector('main video').currentTime") > 0.1)
    page.keyboard.press(".")
    assert page.evaluate("document.querySelector('main video').paused")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "first-dance.mp4"
    assert (tmp_path / "my-first-project/results/first-dance.mp4").stat().st_size > 1000
    # While the studio was away, the page's questions went wrong, a picture on its way was cut
    # off, and nothing else did.
    gone = ("ERR_CONNECTION", "ERR_CONTENT_LENGTH_MISMATCH", "ERR_INCOMPLETE_CHUNKED_ENCODING")
    assert all(any(name in error for name in gone) for error in visit.errors), visit.errors


def test_a_person_is_chosen_by_clicking_on_them(studio, visit, dancer, monkeypatch):
    class Two(contextlib.nullcontext):
        def __enter__(self):
            return self

        def look_at_all(self, image, time, still):
            if (image[20:80] == 127).all(-1).any(1).all():
                return []  # They are painted over.
            poses = np.zeros((2, 137, 3), np.float32)
            poses[:, [0, 8, 11]] = [(30, 20, 1), (30, 50, 1), (30, 80, 1)]
            poses[1, :, 0] += 40
            return list(poses)

    monkeypatch.setattr(guide, "_watcher", Two)
    film, page = send(studio, dancer.read_bytes()), visit.page
    page.goto(f"{studio.url}{studio.place}/{film}")
    # The sliders begin where they cut nothing off.
    page.get_by_text("As a command").click()
    page.get_by_text(f"prepare {film}/dance.mp4 --out datasets/dance", exact=False).wait_for()
    assert "--end" not in page.locator("[data-spell] code").inner_text()
    page.get_by_text("Choose the person in a picture").click()
    page.get_by_role("button", name="Person 2 from the left").click()
    page.get_by_text("Chosen: the person there").wait_for()
    assert page.get_by_label("Which person").evaluate("e => e.selectedOptions[0].text") == (
        "the one chosen in the picture"
    )
    # Somebody without a box is clicked on in the picture; a moment that is cut off is none.
    page.locator("#boxes").click(position={"x": 3, "y": 3})
    place = "document.getElementById('at').value"
    assert page.evaluate(place).split("s,")[1].split(",")[0] in ("1", "2", "3")
    page.locator("#start").focus()
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    page.get_by_text("is cut off now").wait_for()
    assert page.evaluate(place) == ""
    page.get_by_role("button", name="Person 1 from the left").click()
    page.locator("#person").select_option("rightmost")
    assert page.evaluate(place) == ""
    page.locator("#start").focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Person 1 from the left").click()
    page.get_by_role("button", name="Prepare").click()
    [job] = until(lambda: studio.library.jobs())
    assert job.words[job.words.index("--at") + 1].endswith("s,30,50")
    assert "--person" not in job.words
    assert job.words[job.words.index("--start") + 1] == "0.2"
    assert visit.errors == []


def test_recording_with_the_camera(studio, visit):
    page = visit.page
    page.goto(studio.url + studio.place + "/film")
    page.get_by_label("Length").select_option("5")
    page.get_by_role("button", name="Open the camera").click()
    page.get_by_text("Stand so that the outline").wait_for()
    page.get_by_role("button", name="Record", exact=True).click()
    page.get_by_role("button", name="Stop recording").wait_for(timeout=20_000)
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Stop recording").click()
    page.wait_for_url("**/films/recording-*")
    [film] = studio.library.items("films")
    # A browser's recording does not say how long it is.
    assert 0.8 < film.facts["seconds"] < 4 and film.facts["width"] >= 160
    assert visit.errors == []


def test_the_live_view_moves_and_says_how_old_it_is(studio, visit):
    """The camera's frames go through the studio to a run's server (here one that sends each frame
    back) and are shown."""

    def echo(there):
        for data in there:
            number, when = struct.unpack_from("<Qd", data)
            assert when > 0 and data[16:18] == b"\xff\xd8" and number >= 0
            there.send(data)

    def health(there, request):
        if request.path == "/healthz":
            return Response(HTTPStatus.OK, "OK", Headers({"Content-Length": "0"}), b"")
        return None

    with serve(echo, "127.0.0.1", 0, process_request=health) as fake:
        threading.Thread(target=fake.serve_forever, daemon=True).start()
        run = studio.library.new("runs", "Ben")
        (run.path / "checkpoints" / "5").mkdir(parents=True)
        page = visit.page
        page.goto(studio.url + studio.place + "/live")
        page.get_by_role("button", name="Begin").click()
        [job] = until(lambda: studio.library.jobs())
        assert job.words[:3] == ("serve", "--run", "runs/ben")
        words = [*job.words[:-1], str(fake.socket.getsockname()[1])]
        book.write(job, state="running", words=tuple(words), begun=time.time())
        number = "Number(document.getElementById('live-picture').dataset.number || 0)"
        until(lambda: page.evaluate(number) > 10)
        assert "ms old" in page.locator("#live-age").inner_text()
        page.get_by_role("button", name="End").click()
        until(lambda: book.read(job.folder).stops == 1)
        fake.shutdown()
    assert visit.errors == []


PAGES = ("/", "/film", "/films/dance", "/learn", "/runs/ben", "/dance", "/live", "/more/import",
         "/jobs", "/results/ben-dances", "/datasets/ben", "/more/compare", "/exports/for-others",
         "/films/none", "/../../?all")  # fmt: skip


@pytest.fixture
def filled(studio, dancer):
    """A project with a thing of each kind and jobs in each state."""
    film = send(studio, dancer.read_bytes(), "dance.mp4")
    person = made(studio, "datasets", "Ben", [film])
    run = made(studio, "runs", "Ben", [person.ref])
    (run.path / "samples").mkdir()
    item = studio.library.of_ref(film)
    for step in (100, 200):
        (run.path / f"samples/step-{step:07d}.png").write_bytes(
            (item.path / "still.jpg").read_bytes()
        )
    result = made(studio, "results", "Ben dances", [run.ref], suffix=".mp4")
    result.path.write_bytes(dancer.read_bytes())
    made(studio, "exports", "For others", [run.ref])
    for state in ("done", "failed", "running", "waiting"):
        job = book.add(
            studio.library.folder, ["train", "small"], title=f"Learn: {state}", about=[run.ref]
        )
        book.write(job, state=state, begun=1.0, error="It is wrong." if state == "failed" else "")
    return studio


def test_everybody_can_use_it(filled, visit):
    """axe-core's rules (WCAG 2 A and AA), light and dark; and nothing is cut off on a phone."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    ).Axe()
    page, found = visit.page, []
    options = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21aa"]}
    for i, place in enumerate(PAGES):
        page.emulate_media(color_scheme=("light", "dark")[i % 2])
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(filled.url + filled.place + place)
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > 360:
            found.append(f"{place}: {wide} pixels wide on a phone")
        results = axe.run(page, options=options)
        found += [
            f"{place}: {one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:3]}"
            for one in results.response["violations"]
        ]
    assert not found, "\n".join(found)
    assert [one for one in visit.errors if "/films/none" not in one] == []


def test_the_keyboard_is_enough(filled, visit):
    page = visit.page
    page.goto(filled.url + filled.place + "/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.goto(filled.url + filled.place + "/runs/ben")
    page.locator("#step").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#step-at").inner_text() == "100"
    assert page.locator("#after").get_attribute("src").endswith("/100.png")
