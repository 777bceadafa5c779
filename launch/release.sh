#!/usr/bin/env bash
# Builds a release and tries it as somebody would who has nothing but the wheel:
#
#     launch/release.sh [--python python3.11] [--keep]
#
# Builds dist/*.tar.gz and dist/*.whl, installs the wheel into a fresh environment with the pins of
# constraints.txt, and runs a tiny demo in an empty folder. Nothing is tagged or uploaded: the last
# lines say how. --keep leaves the environment there.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=python3.11
KEEP=""
while [ $# -gt 0 ]; do
    case "$1" in
        --python) PYTHON="$2"; shift 2 ;;
        --keep) KEEP=yes; shift ;;
        *) echo "release.sh: unknown option $1; see its first lines" >&2; exit 2 ;;
    esac
done

VERSION=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' motion_jax/__init__.py)
grep -q "^version: $VERSION$" CITATION.cff || { echo "release.sh: CITATION.cff has another version than $VERSION" >&2; exit 1; }
grep -q "^## $VERSION" CHANGELOG.md || { echo "release.sh: CHANGELOG.md has no section ## $VERSION" >&2; exit 1; }

PLACE=$(mktemp -d)
cleanup() { [ -n "$KEEP" ] || rm -rf "$PLACE"; }
trap cleanup EXIT

echo "1/3  Building motion_jax $VERSION"
"$PYTHON" -m venv "$PLACE/build"
"$PLACE/build/bin/pip" install --quiet --disable-pip-version-check build
rm -rf dist build
"$PLACE/build/bin/python" -m build --outdir dist .

echo "2/3  Installing the wheel into a fresh environment"
"$PYTHON" -m venv "$PLACE/fresh"
"$PLACE/fresh/bin/pip" install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl

echo "3/3  The demo from it, tiny, in an empty folder"
cp launch/tiny_demo.py "$PLACE/tiny.py"
mkdir "$PLACE/empty"
cd "$PLACE/empty"
[ "$("$PLACE/fresh/bin/motion-jax" --version)" = "motion-jax $VERSION" ]
"$PLACE/fresh/bin/python" -c "import motion_jax as mj; [getattr(mj, name) for name in mj.__all__]"
"$PLACE/fresh/bin/motion-jax" demo "$PLACE/tiny.py" --out demo
cd - > /dev/null

echo
echo "motion_jax $VERSION is in dist/ and works. What remains:"
if grep -q "^## Unreleased" CHANGELOG.md; then
    echo "    in CHANGELOG.md: what stands under Unreleased is this version's; then run this again"
fi
echo "    git tag -a v$VERSION -m 'motion_jax $VERSION' && git push origin v$VERSION"
echo "    python -m twine upload dist/*"
[ -z "$KEEP" ] || echo "The environment: $PLACE/fresh"
