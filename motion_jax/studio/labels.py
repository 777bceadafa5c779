"""What the pages call the options of a verb, and errors with these names in the place of flags."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from motion_jax.errors import UserError, flag, worded
from motion_jax.studio.actions import ACTIONS, Desk
from motion_jax.studio.words import Words

# By verb and option, the text that stands beside it on the pages made by hand. On others, and in
# "All other options", it is the option's name.
OWN: Mapping[str, Mapping[str, str]] = {
    "prepare": {
        "videos": "kind.films", "start": "prepare.from", "end": "prepare.to",
        "person": "prepare.person", "at": "prepare.choose", "size": "prepare.size",
        "detail": "prepare.detail",
    },
    "transfer": {
        "source": "dance.source", "run": "dance.who", "data": "dance.who",
        "normalize": "dance.normalize", "background": "dance.background", "start": "prepare.from",
        "end": "prepare.to", "step": "dance.step", "side_by_side": "dance.beside",
        "audio": "dance.sound",
    },
    "train": {"data": "learn.who"},
}  # fmt: skip
# What a verb does, on the pages made by hand; of others it is "verb.VERB".
_DOES = {
    "prepare": "prepare.do", "transfer": "dance.do", "train": "nav.learn", "serve": "live.title",
}  # fmt: skip
# A command, which stays as it is; or a flag.
_FLAG = re.compile(r"motion-jax [a-z][^;,.()]*|(?<![\w-])--[a-z][\w-]*(?:\.[\w-]+)*")
_SEE_HELP = re.compile(r"; see motion-jax [^;.]* --help")


def doing(words: Words, verb: str) -> str:
    """What a verb does, for people: "Prepare"."""
    return words.maybe(_DOES.get(verb, f"verb.{verb}"), verb)


def label(words: Words, verb: str, name: str) -> str:
    """Of an option, by its field's name: as the page shows it, in the language's quotation marks.
    name: as errors.option marks it, "smooth=False" for a switch that is to be off."""
    name, _, value = name.partition("=")
    key = OWN.get(verb, {}).get(name)
    text = words(key) if key else name.replace("_", " ").replace(".", ": ")
    shown = words("label", name=text[:1].upper() + text[1:])
    return words("label.off", label=shown) if value == "False" else shown


def in_labels(text: str, words: Words, desk: Desk, verb: str) -> str:
    """An error's text (see errors.py) for somebody who sees a form and no command line."""
    known: dict[str, str] = {}
    for each in desk.fields(verb) if verb in ACTIONS else ():
        known[flag(each.name)] = each.name
        known[flag(f"{each.name}=False")] = f"{each.name}=False"

    def named(match: re.Match[str]) -> str:
        return label(words, verb, known[match[0]]) if match[0] in known else match[0]

    shown = worded(text, lambda name: label(words, verb, name))
    return _FLAG.sub(named, _SEE_HELP.sub("", shown))


@contextlib.contextmanager
def labelled(words: Words, desk: Desk, verb: str) -> Iterator[None]:
    """Around what a form asks for: its errors name the form's labels."""
    try:
        yield
    except UserError as error:
        raise UserError(in_labels(error.marked, words, desk, verb), error.field) from error


def failure(row: Mapping[str, Any], words: Words, desk: Desk) -> str:
    """Why a job failed, for people; "" where it did not. row: see state.Watch."""
    if row["error"] and row["status"] == 1:
        # Nobody foresaw it: a Python error, which says something in the log alone.
        return words("job.crashed", log=words("job.log"))
    return in_labels(row["error"], words, desk, row["verb"])
