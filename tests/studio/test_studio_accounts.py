"""Several people on one server."""

import json

import pytest
from studio_opened import TOKEN, Opened, send

from motion_jax.cli import VERBS
from motion_jax.cli.completion import options_of
from motion_jax.errors import UserError
from motion_jax.jobs import book
from motion_jax.studio import accounts, command
from motion_jax.studio.accounts import Accounts
from motion_jax.studio.options import StudioOptions

PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setitem(accounts.COST, "n", 2**4)


@pytest.fixture
def server(tmp_path, no_queue):
    opened = Opened(tmp_path, token=TOKEN, multi_user=True, quota_gigabytes=0.0005)
    opened.http.headers["accept"] = "*/*"
    yield opened
    opened.close()


def enter(server, name, password=PASSWORD, **more):
    server.http.cookies.clear()
    return server.http.post("/enter", json={"name": name, "password": password, **more})


def test_each_sees_their_own_projects_alone(server, dancer):
    # Nobody gets in without an account, and nobody makes one without the token.
    place = "/p/my-first-project"
    assert server.http.get(place + "/state").status_code == 401
    answer = server.http.get("/", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/enter")
    assert server.http.get(f"/?token={TOKEN}").status_code == 401
    assert "You are new here" in server.http.get("/enter").text
    assert server.http.post("/projects", json={"name": "x"}).status_code == 401
    assert enter(server, "ann", token="wrong").status_code == 400
    answer = enter(server, "ann", token=TOKEN)
    assert answer.json() == {"go": "/"}
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    server.place = place
    film = send(server, dancer.read_bytes())
    server.post("/do/prepare", values={"videos": [film]})
    # The queue, which is everybody's, finds the job.
    assert [book.name(job, server.root) for job in book.of_root(server.root)] == [
        "ann/my-first-project/1"
    ]
    assert enter(server, "bob", token=TOKEN).status_code == 200
    assert server.http.get(f"{place}/{film}/film").status_code == 400
    assert server.http.get(place + "/state").json()["jobs"] == []
    for other in ("/p/ann/", "/p/..%2fann%2fmy-first-project/", "/p/test/"):
        assert server.http.get(other).status_code in (400, 404), other
    # Nor do paths of the server mean anything.
    server.post("/do/import", 400, values={"source": "/etc/passwd"}, name="x")
    # A quota of half a megabyte.
    answer = server.post("/uploads", 400, name="b.mp4", size=600_000, changed=1)
    assert "delete something first" in answer["error"]
    assert enter(server, "ann").status_code == 200
    assert server.http.get(f"{place}/{film}/film").status_code == 200
    server.http.post("/leave", json={})
    assert server.http.get(place + "/state").status_code == 401


def test_passwords_are_hashed_and_guessing_is_slow(tmp_path):
    known = Accounts(tmp_path, TOKEN)
    secret = known.join(TOKEN, "ann", PASSWORD)
    text = (tmp_path / "accounts.json").read_text() + (tmp_path / "sessions.json").read_text()
    assert PASSWORD not in text and secret not in text
    assert (tmp_path / "accounts.json").stat().st_mode & 0o077 == 0
    assert known.who(secret) == "ann" and known.who("x") == known.who("") == ""
    salts = json.loads((tmp_path / "accounts.json").read_text())
    known.join(TOKEN, "bob", PASSWORD)
    both = json.loads((tmp_path / "accounts.json").read_text())
    assert both["ann"] == salts["ann"] and both["ann"]["scrypt"] != both["bob"]["scrypt"]
    for name in ("ann", "..", "A", "a/b", ""):
        with pytest.raises(UserError):
            known.join(TOKEN, name, PASSWORD)
    with pytest.raises(UserError, match="10 signs"):
        known.join(TOKEN, "eve", "short")
    for _ in range(accounts.TRIES):
        with pytest.raises(UserError, match="are wrong"):
            known.enter("ann", "guess")
    with pytest.raises(UserError, match="wait a minute"):
        known.enter("ann", PASSWORD)
    assert known.who(known.enter("bob", PASSWORD)) == "bob"
    known.leave(secret)
    assert known.who(secret) == ""
    # Another process knows the same.
    assert Accounts(tmp_path, TOKEN).enter("ann", PASSWORD)


@pytest.mark.parametrize(
    ("options", "why"),
    [({"multi_user": True}, "invitation"), ({"quota_gigabytes": 1.0}, "goes with")],
)
def test_options_that_do_not_go_together(tmp_path, options, why):
    with pytest.raises(UserError, match=why):
        command.studio(
            StudioOptions(projects=tmp_path, browser=False, **options), options_of, VERBS
        )
