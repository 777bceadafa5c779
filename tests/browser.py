"""The system's Chromium, driven by Playwright, for tests that need a real browser."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def executable() -> str:
    """Skips the test where no browser or no Playwright is."""
    pytest.importorskip("playwright", reason="Playwright is not installed (pip install playwright)")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed (apt install chromium)")
    return found


@contextlib.contextmanager
def chromium(camera: Path | None = None) -> Iterator:
    """A browser; camera: a film that stands in for the camera."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    if camera is not None:
        flags.append(f"--use-file-for-fake-video-capture={camera}")
    with sync_playwright() as play:
        made = play.chromium.launch(executable_path=executable(), args=flags)
        yield made
        made.close()


class Visit:
    """A browser window, which notes what it asks for and what goes wrong.

    Attributes: page; elsewhere: addresses that are not of 127.0.0.1; errors: of the console.
    """

    def __init__(self, browser, **settings):
        self.context = browser.new_context(**{"locale": "en-GB", **settings})
        self.context.set_default_timeout(60_000)
        self.elsewhere: list[str] = []
        self.errors: list[str] = []
        self.page = self.tab()

    def tab(self):
        page = self.context.new_page()
        page.on("request", self._asked)
        page.on("console", self._told)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        return page

    def _asked(self, request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.elsewhere.append(request.url)

    def _told(self, message) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location['url']})")

    def close(self) -> None:
        self.context.close()
