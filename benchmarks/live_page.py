"""How old the live picture is in a browser, and after the tab was held up.

    python -m benchmarks.live_page [--run runs/ben] --seconds 10 [--json] [--save]

`motion-jax live --port` before a drawn dancer's film (or --camera), its page in Chromium by
Playwright. Numbers are drawn into the camera's frames; a script on the page reads them from each
picture when the browser has loaded it, so that ages go from the camera to the page. Then the tab is
kept busy for five seconds, in which it reads nothing, and is watched again. Without --run the
network is that of benchmarks.live.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import live as whole
from benchmarks.reporting import machine, markdown, parse, percentile, report, sentences, table
from motion_jax.errors import UserError
from motion_jax.events import StopToken

BUSY = 5.0
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
COLUMNS = {
    "what": "", "pictures": "pictures", "fps": "pictures/s", "p50": "p50 ms", "p95": "p95 ms",
    "most": "most ms",
}  # fmt: skip
# Reads the mark (motion_jax/live/marks.py) of each picture that was loaded, and notes when.
READER = """(size) => {
  window.seen = [];
  const img = document.getElementById('picture'), canvas = document.createElement('canvas');
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  img.addEventListener('load', () => {
    const now = Date.now(), [rows, columns] = size;
    const marked = Math.max(2, Math.round(columns * img.naturalHeight / rows / 2) * 2);
    const square = marked / 40;
    [canvas.width, canvas.height] = [marked, Math.ceil(square)];
    pen.drawImage(img, 0, 0);
    let number = 0;
    for (let bit = 1; bit <= 8; bit++) {
      const [x, y] = [Math.floor((bit + 0.5) * square), Math.floor(square / 2)];
      number = 2 * number + (pen.getImageData(x, y, 1, 1).data[1] > 127);
    }
    seen.push([number, now]);
  });
}"""


@dataclass(frozen=True)
class Options:
    """Ages of live pictures in a browser."""

    run: Path | None = None
    """Run folder, driven by poses (default: the network of benchmarks.live, random weights)."""
    camera: Path | None = None
    """Video of a person (default: a drawn dancer)."""
    seconds: float = 10.0
    """Before the tab is held up."""
    fps: int = 30
    """Of the drawn dancer."""
    json: bool = False
    """Print the result as JSON."""
    save: bool = False
    """Keep the result in benchmarks/results."""


def main(arguments: Sequence[str] | None = None) -> None:
    with sentences("live_page"):
        options = parse(Options, "live_page", arguments)
        result = measure(options)
        report(
            "live_page", result, [table(result["rows"], COLUMNS)],
            as_json=options.json, keep=options.save,
        )  # fmt: skip


def section(result: dict[str, Any]) -> str:
    """For docs/performance.md."""
    return f"{result['what']}, in Chromium:\n\n" + markdown(result["rows"], COLUMNS)


def measure(options: Options) -> dict[str, Any]:
    """Raises UserError where no browser is."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError as error:
        raise UserError("This needs Playwright: pip install playwright.") from error
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        raise UserError("This needs Chromium: none of " + ", ".join(NAMES) + " is installed.")
    from motion_jax.live.camera import Capture
    from motion_jax.live.command import live
    from motion_jax.live.options import LiveOptions
    from motion_jax.video.reader import probe

    told = whole.Options(run=options.run, camera=options.camera, fps=options.fps)
    taken: list[tuple[int, float]] = []
    plain, stop, port = Capture._prepared, StopToken(), whole._free_port()

    def noted(self: Capture, frame: Any) -> Any:
        # By the clock that the browser has, too.
        taken.append((frame.number, 1000 * (time.time() - time.monotonic() + frame.taken)))
        return plain(self, frame)

    with tempfile.TemporaryDirectory() as folder:
        camera = options.camera or whole._dancer(Path(folder), options.fps)
        run = options.run or whole._untrained(Path(folder), told)
        given = LiveOptions(
            run=(run,), camera=str(camera), seconds=3600, side_by_side=True, marks=True, port=port,
            window=False,
        )  # fmt: skip
        Capture._prepared = noted  # type: ignore[method-assign]
        thread = threading.Thread(target=lambda: live(given, stop=stop), daemon=True)
        thread.start()
        try:
            info = probe(camera)
            with sync_playwright() as play:
                made = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
                page = made.new_page()
                _opened(page, f"http://127.0.0.1:{port}/", thread)
                page.evaluate(READER, [info.height, info.width])
                while page.evaluate("seen.length") < 30 and thread.is_alive():
                    page.wait_for_timeout(100)
                begun = page.evaluate("Date.now()")
                page.wait_for_timeout(1000 * options.seconds)
                busy = page.evaluate("Date.now()")
                page.evaluate(f"() => {{ while (Date.now() < {busy + 1000 * BUSY}); }}")
                after = page.evaluate("Date.now()")
                page.wait_for_timeout(4000)
                seen = page.evaluate("seen")
                made.close()
        finally:
            stop.stop()
            thread.join(30)
            Capture._prepared = plain  # type: ignore[method-assign]
    ages = aged(seen, taken)
    spans = {
        "undisturbed": (begun, busy),
        "in the first second after five busy ones": (after, after + 1000),
        "in the three seconds after that": (after + 1000, after + 4000),
    }
    return {
        "machine": machine(),
        "what": whole._words(told),
        "rows": [_row(name, ages, *span) for name, span in spans.items()],
    }


def aged(
    seen: Sequence[Sequence[float]], taken: Sequence[tuple[int, float]]
) -> list[tuple[float, float]]:
    """(when a picture was seen, its age), both in milliseconds; a mark is that of the newest frame
    before that moment that has it."""
    found = []
    for mark, at in seen:
        frames = [then for number, then in taken if number % 256 == mark and then <= at]
        if frames:
            found.append((at, at - frames[-1]))
    return found


def _row(name: str, ages: list[tuple[float, float]], begun: float, end: float) -> dict[str, Any]:
    values = [age for at, age in ages if begun <= at < end]
    row = {"what": name, "pictures": len(values), "fps": 1000 * len(values) / (end - begun)}
    if values:
        row |= {"p50": percentile(values, 0.5), "p95": percentile(values, 0.95)}
        row |= {"most": max(values)}
    return {
        key: round(value, 1) if isinstance(value, float) else value for key, value in row.items()
    }


def _opened(page: Any, url: str, thread: threading.Thread) -> None:
    """Waits for the session to begin."""
    deadline = time.monotonic() + 300
    while True:
        try:
            page.goto(url)
            return
        except Exception as error:  # Playwright's, which is imported where it is there.
            if not thread.is_alive() or time.monotonic() > deadline:
                raise UserError(f"There is no live page: {error}") from error
            time.sleep(0.2)


if __name__ == "__main__":
    main()
