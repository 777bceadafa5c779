"""A process for test_workers.py: answers what it was set up with, or fails when asked to."""

from benchmarks.workers import serve


def build(setup):
    if setup.get("fail"):
        raise ValueError("as it was told")
    print("this must not come among the answers")

    def fail():
        raise RuntimeError("on request")

    return {"echo": lambda word: {"said": setup["greeting"] + word}, "fail": fail}


if __name__ == "__main__":
    serve(build)
