"""What mkdocs is told besides the files of docs/: READMEs and notebooks as pages, and a page for
each verb, made of its options, so that it cannot fall behind them."""

import dataclasses
import json
import re
import typing
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

from motion_jax import cli
from motion_jax.cli.completion import options_of
from motion_jax.parsing import documented

ROOT = Path(__file__).resolve().parents[1]
# Pages that lie elsewhere in the repository.
READMES = {
    "README.md": "index.md",
    "launch/README.md": "launch.md",
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
MORE = {
    "prepare": "guide.md#prepare",
    "train": "training.md",
    "transfer": "guide.md#transfer",
    "evaluate": "guide.md#evaluate",
    "compare": "compare.md",
    "import": "porting.md",
    "export": "export.md",
    "inspect": "porting.md",
    "parity": "porting.md",
    "profile": "profiling.md",
    "compile": "profiling.md#for-a-card-that-you-do-not-have",
    "animate": "first-order.md",
    "distill": "distill.md",
    "adapt": "adapt.md",
    "check": "honest.md#check",
    "live": "live.md",
    "serve": "serve.md",
    "blend": "stylegan2.md#two-generators-as-one",
    "project": "stylegan2.md#pictures-found-in-a-generator",
    "encoder": "stylegan2.md#an-encoder",
    "factors": "stylegan2.md#directions",
    "fetch": "training.md#perceptual-loss",
    "demo": "results.md#the-drawn-dancers-demo",
    "completion": "guide.md",
    "people": "people.md",
    "studio": "studio.md",
    "jobs": "studio.md",
    "suggest": "training.md#a-network-that-fits-the-machine-and-the-data",
    "pair": "pix2pix.md",
    "import-data": "data.md#other-projects-folders",
    "export-data": "data.md#to-other-projects-folders",
}


def on_config(config: Any) -> Any:
    verbs = [f"verbs/{verb}.md" for verb in cli.VERBS]
    notebooks = [f"notebooks/{path.stem}.md" for path in sorted((ROOT / "notebooks").glob("*"))]
    for section in config["nav"]:
        if "In Python" in section:
            section["In Python"] += notebooks
    config["nav"] += [{"Verbs": verbs}, {"Project": ["changelog.md", "contributing.md"]}]
    return config


def on_files(files: Any, config: Any) -> Any:
    pages = {page: (ROOT / path).read_text() for path, page in READMES.items()}
    pages |= {f"verbs/{verb}.md": verb_page(verb) for verb in cli.VERBS}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        pages[f"notebooks/{path.stem}.md"] = notebook_page(path)
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    source = page.file.src_uri
    where = next((path for path, name in READMES.items() if name == source), f"docs/{source}")
    if source.startswith(("verbs/", "notebooks/")):
        return markdown
    # "```python onnx": the second word is for the tests.
    markdown = re.sub(r"^```(\w+) \w+$", r"```\1", markdown, flags=re.M)
    return relinked(markdown, Path(where).parent)


def relinked(markdown: str, folder: Path) -> str:
    """Links between files of the repository as links between pages of the site; of files that are
    no pages the text alone stays."""

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found["text"], found["target"], found["anchor"] or ""
        if "://" in target or target.startswith("mailto:") or not target:
            return found[0]
        path = (ROOT / folder / target).resolve().relative_to(ROOT).as_posix()
        if path in READMES:
            path = READMES[path]
        elif path.startswith("docs/"):
            path = path.removeprefix("docs/")
        elif (ROOT / path).exists():
            return text[1:-1]
        return f"{text}({path}{anchor})"

    pattern = r"(?P<text>\[[^\[\]]*\])\((?P<target>[^()#\s]*)(?P<anchor>#[^()\s]*)?\)"
    return re.sub(pattern, link, markdown)


# --- verbs ----------------------------------------------------------------------------------------


def verb_page(verb: str) -> str:
    """Markdown: what the verb does and all of its options."""
    kind = options_of(verb)
    lines = [f"# motion-jax {verb}", "", f"{one_line(kind.__doc__ or cli.VERBS[verb])}", ""]
    if verb in MORE:
        page = ROOT / "docs" / MORE[verb].partition("#")[0]
        title = page.read_text().partition("\n")[0].removeprefix("# ")
        lines += [f"More: [{title}](../{MORE[verb]})", ""]
    if verb == "train":
        lines += [
            "Besides these, every setting of the config: `motion-jax train CONFIG --help` explains "
            "them, and [training.md](../training.md#the-settings) gives an overview.",
            "",
        ]
    return "\n".join(lines + list(_options(kind))) + "\n"


def _options(kind: Any, prefix: str = "--") -> typing.Iterator[str]:
    types, texts = typing.get_type_hints(kind, include_extras=True), documented(kind)
    for field in dataclasses.fields(kind):
        annotation = types[field.name]
        extras = getattr(annotation, "__metadata__", ())
        named = next((each.name for each in extras if getattr(each, "name", None)), None)
        flag = prefix + (named or field.name.replace("_", "-"))
        inner = annotation.__origin__ if extras else annotation
        if dataclasses.is_dataclass(inner):
            yield from _options(inner, f"{flag}.")
            continue
        positional = any("Positional" in repr(each) for each in extras)
        shown = field.name.upper() if positional else flag
        yield f"**`{shown}`** {_values(inner, field)}"
        yield ""
        yield f":   {one_line(texts.get(field.name, ''))}"
        yield ""


def _values(annotation: Any, field: Any) -> str:
    """What an option takes, and its default."""
    choices = typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else ()
    parts = [" ".join(f"`{each}`" for each in choices)] if choices else []
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        parts.append("required")
    elif field.default not in (None, dataclasses.MISSING, (), ""):
        parts.append(f"default: `{field.default}`")
    return f"({'; '.join(parts)})" if parts else ""


def one_line(text: str) -> str:
    return " ".join(text.split())


# --- notebooks ------------------------------------------------------------------------------------


def notebook_page(path: Path) -> str:
    """A notebook's cells as Markdown, without their results."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join(parts) + f"\n\nThe notebook: `notebooks/{path.name}`.\n"
