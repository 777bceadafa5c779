"""What the pages call the options of a verb, and errors with these names in the place of flags."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from motion_jax.errors import UserError, flag, worded
from motion_jax.studio.actions import ACTIONS, Desk
from motion_jax.studio.library import Library
from motion_jax.studio.short import is_short
from motion_jax.studio.words import Words

# By verb and option, the text that stands beside it on the pages made by hand. On the others what
# is shown at once is called "option.VERB.NAME", and in "All other options" it is the option's name.
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
# By option, what the pages call its values, where that is not the value itself.
VALUES: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("prepare", "detail"): {
        "holistic": "prepare.detail.holistic", "body": "prepare.detail.body",
    },
    ("prepare", "person"): {
        who: f"prepare.person.{who}" for who in ("largest", "leftmost", "rightmost")
    },
    ("transfer", "normalize"): {
        how: f"dance.normalize.{how}" for how in ("limbs", "global", "none")
    },
    ("transfer", "background"): {how: f"dance.background.{how}" for how in ("plate", "green")},
    ("transfer", "step"): {which: f"dance.step.{which}" for which in ("latest", "best")},
}  # fmt: skip
# What a verb does, on the pages made by hand; of others it is "verb.VERB".
_DOES = {
    "prepare": "prepare.do", "transfer": "dance.do", "train": "nav.learn", "serve": "live.title",
    "live": "live.title", "demo": "", "suggest": "nav.learn",
}  # fmt: skip
# Flags and commands. In a command, words that are no prose: options, capitals, paths, figures.
_FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*(?:\.[\w-]+)*")
_COMMAND = re.compile(r"`?motion-jax ([a-z][a-z-]*)\b")
_NO_PROSE = re.compile(r"--?[a-z].*|[A-Z][A-Z0-9_.]+|\S*[/_\d]\S*")
_VALUE = re.compile(r" ([a-z]+)\b")
_SEE_HELP = re.compile(r"; see motion-jax [^;.]* --help")


def doing(words: Words, verb: str) -> str:
    """What a verb does, for people: "Prepare"."""
    return words.maybe(_DOES.get(verb, f"verb.{verb}"), verb)


def label(words: Words, verb: str, name: str) -> str:
    """Of an option, by its field's name: as the page shows it, in the language's quotation marks.
    name: as errors.option marks it, "smooth=False" for a switch that is to be off."""
    name, _, value = name.partition("=")
    key = OWN.get(verb, {}).get(name)
    if verb in ACTIONS and name == ACTIONS[verb].option:
        # Pages choose the place, and people its name.
        key = "rename.label"
    plain = name.replace("_", " ").replace(".", ": ")
    text = words(key) if key else words.maybe(f"option.{verb}.{name}", plain)
    shown = words("label", name=text[:1].upper() + text[1:])
    return words("label.off", label=shown) if value == "False" else shown


def in_labels(text: str, words: Words, desk: Desk, verb: str) -> str:
    """An error's or advice's text (see errors.py) for somebody who sees a form and no command
    line: what to press or choose there."""
    shown = _without_commands(_SEE_HELP.sub("", worded(text)), words, desk)
    shown = _as_pages_do(shown, words)
    names = _names(desk, verb)
    parts, at = [], 0
    for match in _FLAG.finditer(shown):
        if match[0] not in names:
            continue
        name = names[match[0]]
        parts += [shown[at : match.start()], label(words, verb, name)]
        at = match.end()
        value = _VALUE.match(shown, at)
        key = VALUES.get((verb, name), {}).get(value[1]) if value else None
        if value and key:
            parts.append(f" {words('label', name=words(key))}")
            at = value.end()
    return words.said("".join([*parts, shown[at:]]))


def _names(desk: Desk, verb: str) -> dict[str, str]:
    """By flag, the options of a verb's form, as errors.option marks them."""
    if verb not in ACTIONS:
        return {}
    known = [*(each.name for each in desk.fields(verb)), ACTIONS[verb].option]
    found = {flag(name): name for name in known if name}
    return found | {flag(f"{name}=False"): f"{name}=False" for name in known if name}


def _as_pages_do(text: str, words: Words) -> str:
    """What is said at a command line, as it is on a page: instead of paths and other folders there
    are names, and instead of the same command a button."""
    said = {
        r"(?:in |name |choose )?another (?:folder with )?--(?:out|run)\b(?: folder)?": words(
            "label.another", label=words("label", name=words("rename.label"))
        ),
        # Of a film that people have named its name.
        r"films/[A-Za-z0-9_-]+/(?=[^/]+\.\w{2,4}\b)": "",
        r"in another folder": words("label.anew"),
        r"transfer --method nearest": words("label", name=words("person.at_once")),
        r"(?:run|start) the same command again": words(
            "label.press", label=words("label", name=words("job.resume"))
        ),
        r"[Tt]he same command(?: again)?(?= goes on)": words("label", name=words("job.resume")),
        r"\b(?:Ctrl-C|SIGINT)\b": words("label", name=words("job.stop")),
    }
    for wanted, shown in said.items():
        text = re.sub(wanted, lambda _, shown=shown: shown, text)  # type: ignore[misc]
    return text


def _without_commands(text: str, words: Words, desk: Desk) -> str:
    """With the page of what a command does in its place, where there is one."""
    parts, at = [], 0
    for match in _COMMAND.finditer(text):
        verb = match[1]
        if match.start() < at or not (verb in ACTIONS or _DOES.get(verb)):
            continue
        # With real frames, without learning.
        end, command = _end_of_command(text, match.end(), desk, verb)
        real = verb == "transfer" and "--method" in command
        said = words("person.at_once") if real else doing(words, verb)
        parts += [text[at : match.start()], words("label", name=said)]
        at = end
    return "".join([*parts, text[at:]])


def _end_of_command(text: str, at: int, desk: Desk, verb: str) -> tuple[int, str]:
    """Where a command ends whose verb ends at a place, and its words."""
    fields = {each.flag: each for each in desk.fields(verb)} if verb in ACTIONS else {}
    begin, takes_value = at, False
    while (word := re.compile(r" ([^\s`]+)").match(text, at)) is not None:
        bare = word[1].rstrip(".,;:)")
        if not takes_value and not _NO_PROSE.fullmatch(bare):
            break
        known = fields.get(bare)
        takes_value = bare.startswith("--") and (known is None or known.kind != "switch")
        at += 1 + len(bare)
        if bare != word[1]:
            break
    command = text[begin:at]
    return at + (text[at : at + 1] == "`"), command


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
    return in_labels(row["error"], words, desk, row["form"])


def line(row: Mapping[str, Any], words: Words, desk: Desk) -> str:
    """What a job said last, for people. row: see state.Watch."""
    if row["verb"] in ("prepare", "train") and row["state"] == "done":
        # What to train, in which time: Learn says it, for its own choices. And steps of a stage are
        # not those by which samples are named.
        return ""
    return in_labels(row["line"], words, desk, row["form"])


def stage(row: Mapping[str, Any], words: Words) -> str:
    """What a job is at, for people. row: see state.Watch."""
    return words.maybe(f"stage.{row['stage']}", row["stage"])


def onwards(row: Mapping[str, Any], words: Words, library: Library | None) -> tuple[str, str]:
    """Where a job that is done leads to: (page in the project, what one does there); ("", "") where
    it leads nowhere. row: see state.Watch."""
    refs = {ref.partition("/")[0]: ref for ref in reversed(row["about"])}
    made = row["about"][0] if row["about"] else ""
    if row["state"] != "done" or not made:
        return "", ""
    if row["verb"] in ("prepare", "suggest"):
        if library is not None and is_short(library, made):
            return f"dance?who={made}", words("person.at_once")
        return f"learn?person={made.partition('/')[2]}", words("next.learn")
    if row["verb"] == "people" and "films" in refs:
        return refs["films"], words("next.prepare")
    if made.startswith("runs/") and row["verb"] != "serve":
        return f"dance?who={made}", words("next.dance")
    return ("", "") if row["verb"] == "serve" else (made, words("next.look"))
