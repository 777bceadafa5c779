"""The pages' words in several languages: texts/LANGUAGE.json, by key; English has all of them."""

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("texts")
FIRST = "en"


@functools.cache
def texts(language: str) -> Mapping[str, str]:
    """All of a language."""
    value: dict[str, str] = json.loads((FOLDER / f"{language}.json").read_text("utf-8"))
    return value


@functools.cache
def languages() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def wanted(cookie: str, accepted: str) -> str:
    """The language of a browser: the one that was chosen, else of what it accepts the first that
    there is, in its order."""
    if cookie in languages():
        return cookie
    for entry in accepted.split(","):
        name = entry.partition(";")[0].strip().lower().partition("-")[0]
        if name in languages():
            return name
    return FIRST


@functools.cache
def _sentences() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """By key, what the program's own sentences look like, with what stands in them."""
    found = []
    for key, text in texts(FIRST).items():
        if key.startswith("say."):
            pieces = re.split(r"\{(\w+)\}", text)
            pieces[::2] = map(re.escape, pieces[::2])
            pieces[1::2] = [f"(?P<{name}>.+?)" for name in pieces[1::2]]
            found.append((key, re.compile("".join(pieces), re.DOTALL)))
    return tuple(found)


@dataclass(frozen=True)
class Words:
    """Texts of one language. Called with a key and the values in it."""

    language: str

    def __call__(self, key: str, **values: Any) -> str:
        text = texts(self.language).get(key) or texts(FIRST)[key]
        return text.format(**values) if values else text

    def maybe(self, key: str, otherwise: str) -> str:
        """A text that not everything of its kind has."""
        return texts(self.language).get(key) or texts(FIRST).get(key) or otherwise

    def said(self, text: str) -> str:
        """A sentence of the program itself in this language, where it is among the texts ("say.");
        else as it is, in English."""
        if self.language == FIRST:
            return text
        for key, pattern in _sentences():
            if (found := pattern.fullmatch(text)) and key in texts(self.language):
                inner = {name: self.said(part) for name, part in found.groupdict().items()}
                return self(key, **inner)
        return text

    def duration(self, seconds: float | None) -> str:
        """For people: "40 seconds", "12 minutes", "3.4 hours"."""
        if seconds is None:
            return self("time.unknown")
        if seconds < 1.5:
            return self("time.second")
        if seconds < 100:
            return self("time.seconds", n=max(round(seconds), 1))
        if seconds < 90 * 60:
            return self("time.minutes", n=round(seconds / 60))
        return self("time.hours", n=self.number(round(seconds / 3600, 1)))

    def number(self, value: float) -> str:
        text = f"{value:g}"
        return text.replace(".", self("number.point"))

    def size(self, count: float) -> str:
        """Bytes for people: "3.1 MB"."""
        for unit in ("bytes", "kB", "MB", "GB"):
            if count < 1000 or unit == "GB":
                break
            count /= 1000
        digits = 0 if unit == "bytes" or count >= 100 else 1
        return f"{self.number(round(count, digits))} {unit}"

    def clock(self, seconds: float) -> str:
        """A place in a film: "1:05.2"."""
        minutes, rest = divmod(max(seconds, 0.0), 60)
        return f"{int(minutes)}:{rest:04.1f}".replace(".", self("number.point"))
