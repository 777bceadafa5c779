"""The documentation: its links lead somewhere, its commands can be typed, its Python is executed by
a test, and its figures are those of the tables that they come from."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from motion_jax import __version__, cli
from motion_jax.cli import train as training
from motion_jax.cli.completion import options_of, script
from motion_jax.config import config_names, load_config
from motion_jax.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("docs/*.md"), *ROOT.glob("*.md"), ROOT / "launch/README.md",
     ROOT / "benchmarks/README.md", ROOT / "tests/README.md"]
)  # fmt: skip
# Who executes the Python of a page.
EXECUTED = {
    "README.md": "train/test_docs_code.py",
    "docs/api.md": "train/test_docs_code.py",
    "docs/anime.md": "puppet/test_dolls.py",
    "docs/data.md": "train/test_docs_code.py",
    "docs/densepose.md": "train/test_docs_code.py",
    "docs/retrieval.md": "train/test_docs_code.py",
    "docs/export.md": "train/test_export_run.py",
    "docs/porting.md": "port/test_porting_page.py",
    "docs/training.md": "train/test_add_a_system.py",
}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub and the site make them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    titles = re.findall(r"^#+ (.*)$", text, flags=re.M)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", title) for title in titles)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(#[^)\s]*)?\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        there = page.parent / target if target else page
        assert there.exists(), f"{name_of(page)}: {target}"
        if anchor and there.suffix == ".md":
            assert anchor[1:] in anchors(there), f"{name_of(page)}: {target}{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_is_executed_by_a_test(page):
    if re.search(r"^```python", page.read_text(), flags=re.M):
        executing = ROOT / "tests" / EXECUTED[name_of(page)]
        assert page.name in executing.read_text()


def commands(page: Path) -> list[str]:
    """Lines of code that begin with motion-jax, those after a backslash joined to them."""
    text = page.read_text().replace("\\\n", " ")
    found = re.findall(r"^(?:    )?(motion-jax [a-z-]+ .*)$", text, flags=re.M)
    fenced = "\n".join(re.findall(r"```sh\n(.*?)```", text, flags=re.S))
    return found + re.findall(r"^(motion-jax [a-z-]+ .*)$", fenced, flags=re.M)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_can_be_typed(page):
    for line in commands(page):
        if re.search(r"[\[…|]|\.\.\.", line):
            continue  # shown with parts left out
        verb, *words = shlex.split(line.partition("   #")[0])[1:]
        assert verb in cli.VERBS, line
        if "--help" in words:
            continue
        try:
            if verb in ("train", "profile", "compile"):
                given = words[0] if words and words[0] in config_names() else "small"
                if line.startswith("motion-jax train --run") and page.stem in config_names():
                    given = page.stem  # a run that is trained on has a config of its own
                own = [word for word in words if word not in ("CONFIG", "config.py", given)]
                if verb != "train":
                    from motion_jax.profiling.options import split_settings

                    own, settings = split_settings(words)
                    cli._parse(options_of(verb), verb, own)
                    own = settings
                training.parse(load_config(given), given, own)
            else:
                cli.parse(options_of(verb, words), verb, words)
        except UserError as error:
            raise AssertionError(f"{name_of(page)}: {line}\n{error}") from error


def rows(page: str, heading: str) -> dict[str, list[str]]:
    """The first table below a heading: {first cell: the others}, without bold type."""
    text = (ROOT / page).read_text().split(f"\n## {heading}\n")[1]
    table = re.search(r"(?:^\|.*\n)+", text, flags=re.M)
    lines = [line.strip("|\n ").split("|") for line in table[0].splitlines()]
    return {cells[0].strip(" `*"): [c.strip(" *") for c in cells[1:]] for cells in lines}


def test_figures_are_those_of_the_results():
    dancer, demo = (
        rows("docs/results.md", "A real dancer: two_cores"),
        rows("docs/results.md", "The drawn dancers: demo"),
    )
    readme = (ROOT / "README.md").read_text()
    psnr, ssim = dancer["PSNR, full frame"], dancer["SSIM, full frame"]
    assert f"PSNR {psnr[0]} and SSIM {ssim[0]}, against {psnr[-1]} and {ssim[-1]}" in " ".join(
        readme.split()
    )
    configs = rows("README.md", "Configs")
    assert configs["two_cores"][-1] == f"PSNR {psnr[0]}, nearest frame {psnr[-1]}"
    drawn = demo["PSNR, full frame"]
    assert configs["demo"][-1] == f"PSNR {drawn[0]}, nearest frame {drawn[2]}"
    # What a config says of itself, too.
    about = (ROOT / "configs" / "two_cores.py").read_text()
    assert f"PSNR {psnr[0]}, SSIM {ssim[0]}" in about


def test_every_verb_is_in_the_readme_and_every_config_in_its_table():
    readme = (ROOT / "README.md").read_text()
    for name in (*cli.VERBS, *config_names()):
        assert f"`{name}`" in readme, name


def test_there_is_one_version():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f"## {__version__}\n" in (ROOT / "CHANGELOG.md").read_text()
    assert "version = attr: motion_jax.__version__" in (ROOT / "setup.cfg").read_text()


def test_github_runs_what_continuous_integration_runs():
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["ci"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        assert path.name == "config.yml" or {"name", "description", "body"} <= set(form)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_know_every_verb_and_option(shell):
    text = script(shell)
    for verb in cli.VERBS:
        assert verb in text
        for word in cli._options(options_of(verb)):
            assert word.lstrip("-") in text, word
    assert "two_cores" in text


def test_bash_completes(tmp_path):
    (tmp_path / "it").write_text(script("bash"))
    line = "source it; COMP_WORDS=(motion-jax transfer --side); COMP_CWORD=2; _motion_jax; "
    line += 'echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "--side-by-side\n"
