"""Who may use the studio."""

import re
import socket
from pathlib import Path

import httpx
import pytest
from studio_opened import TOKEN, Opened
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from motion_jax.cli import VERBS
from motion_jax.cli.completion import options_of
from motion_jax.errors import UserError
from motion_jax.serve.addresses import command_of, own_addresses, own_names, reached_at
from motion_jax.serve.guard import Rules
from motion_jax.serve.options import ServeOptions
from motion_jax.studio.command import studio as opened
from motion_jax.studio.options import StudioOptions


def test_names_and_origins(studio):
    def asked(method="GET", path="/", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named = {"accept": "*/*", **named}
        return studio.http.request(method, path, headers=named, content=b"{}").status_code

    home, own = studio.place + "/", f"http://127.0.0.1:{studio.port}"
    assert asked(path=home) == 200
    # A page whose name was pointed at this machine says so in its Host.
    assert asked(path=home, host="evil.example") == 403
    assert asked(path=home, host=f"evil.example:{studio.port}") == 403
    assert asked(path=home, host="127.0.0.1:1") == 403
    kind = "application/json"
    assert asked("POST", "/language", content_type=kind) == 400  # answered: no such language
    assert asked("POST", "/language", content_type=kind, origin=own) == 400
    # Another program's page on this machine is another origin.
    for origin in ("https://evil.example", "http://127.0.0.1:1", "null", f"{own}.evil", "http://["):
        assert asked("POST", "/language", content_type=kind, origin=origin) == 403, origin
    # No form of another page can change anything, in browsers that send no Origin either.
    for other in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""):
        assert asked("POST", "/language", content_type=other) == 415, other


def test_who_lets_others_in_is_told_where_and_with_which_token(tmp_path, no_queue):
    studio = Opened(tmp_path, host="0.0.0.0", allow_host=("known.example",))
    try:
        told = " ".join(event.message for event in studio.events)
        token = re.search(r"The token (\S+) was made", told)[1]
        places = re.findall(rf"http://([^/ ]+):{studio.port}/\?token={token}", told)
        # Every address that was printed works, and so does the host name in other letters.
        assert places[0] == "127.0.0.1" and set(own_addresses()) >= set(places[1:-1])
        home = studio.place + "/"
        for name in (*places, *own_names(), socket.gethostname().upper(), "known.example"):
            host = {"host": f"{name}:{studio.port}", "authorization": f"Bearer {token}"}
            assert studio.http.get(home, headers=host).status_code == 200, name
        # A name from elsewhere is refused, with all that it takes to allow it, but no secret.
        refused = studio.http.get(home, headers={"host": "evil.example:1", "accept": "*/*"})
        assert refused.status_code == 403 and refused.json()["error"].endswith(
            f"motion-jax studio --port 0 --no-browser --projects {tmp_path} --host 0.0.0.0 "
            "--allow-host known.example evil.example"
        )
        page = studio.http.get(home, headers={"host": "evil.example", "accept-language": "de"})
        assert "--allow-host known.example evil.example</code>" in page.text
        assert f"--projects {tmp_path} " in page.text
        assert "Rechner" in page.text and token not in page.text + refused.text
        page = studio.http.get(home, headers={"host": "<script>; rm -r"}).text
        assert "known.example NAME</code>" in page and "<script>" not in page
        style = studio.http.get("/static/studio.css", headers={"host": "evil.example"})
        assert style.status_code == 200
    finally:
        studio.close()


def test_by_which_names_a_server_is_known():
    rules = Rules("0.0.0.0", names=("box", "box.local"), command="motion-jax serve --run RUN")
    for name in ("127.0.0.1:9", "box", "BOX.local:9", "192.0.2.7:9"):
        assert rules.host_allowed(name, 9, "192.0.2.7"), name
    assert rules.host_allowed("[2001:db8::1]:9", 9, "2001:0db8:0::1")
    assert rules.host_allowed("192.0.2.7", 9, "::ffff:192.0.2.7")
    for name in ("192.0.2.8:9", "box:8", "box.evil.example", "0.0.0.0:9", "", "[::"):
        assert not rules.host_allowed(name, 9, "192.0.2.7"), name
    assert rules.to_allow("[2001:db8::2]:9").endswith("--run RUN --allow-host 2001:db8::2")
    assert reached_at("::1", 9) == ["http://[::1]:9"]
    options = ServeOptions((Path("/secret"),), token="secret", jpeg_quality=80, host="0.0.0.0")
    assert command_of("serve", options) == (
        "motion-jax serve --run RUN --host 0.0.0.0 --token TOKEN --jpeg-quality 80"
    )


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("home/me/my films", "~/'my films'"),
        ("home/me", "~"),
        ("data/projects", "{}/data/projects"),
        ("~/films", "~/films"),
    ],
)
def test_the_folder_of_the_projects_is_told_from_the_home_folder_on(
    tmp_path, monkeypatch, place, told
):
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "me"))
    path = Path(place) if place.startswith("~") else tmp_path / place
    options = StudioOptions(projects=path, token="a-long-secret")
    said = command_of("studio", options, folders=("projects",))
    assert said == f"motion-jax studio --projects {told.format(tmp_path)} --token TOKEN"


def test_what_browsers_are_told(studio):
    headers = studio.http.get(studio.place + "/").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert studio.http.get("/static/studio.css").status_code == 200
    for path in ("/static/../web.py", "/static/%2e%2e/web.py", "/openapi.json", "/docs"):
        assert studio.http.get(path).status_code == 404, path


def test_too_much(studio):
    answer = studio.http.post("/projects", content=b"x" * (2**20 + 1),
                              headers={"content-type": "application/json"})  # fmt: skip
    assert answer.status_code == 413
    endless = studio.http.post(
        "/projects", content=iter([b"{}"]), headers={"content-type": "application/json"}
    )
    assert endless.status_code == 411
    for body in (b"[", b"[]", b"[" * 100_000, b"\xff"):
        answer = studio.http.post(
            "/projects", content=body, headers={"content-type": "application/json", "accept": "*/*"}
        )
        assert answer.status_code == 400, body[:9]


def test_a_websocket_wants_an_own_origin(studio):
    address = f"ws://127.0.0.1:{studio.port}{studio.place}/live/1/frames"
    for origin in (None, "https://evil.example"):
        with pytest.raises(InvalidStatus), connect(address, origin=origin):
            pass
    with connect(address, origin=studio.url) as there:
        assert "no such job" in there.recv()


def test_a_token_is_asked_for_and_kept_in_a_cookie(tmp_path, no_queue):
    studio = Opened(tmp_path, token=TOKEN)
    try:
        place = studio.place + "/film"
        for path in (place, place + "?token=wrong", studio.place + "/state"):
            assert studio.http.get(path).status_code == 401
        # A browser is asked for it by a page, without a word about the projects.
        asking = studio.http.get(place + "?token=wrong").text
        assert "not this studio" in asking and 'name="token"' in asking and TOKEN not in asking
        assert studio.http.get("/static/studio.css").status_code == 200
        post = {"content-type": "application/json"}
        answer = studio.http.post(f"/projects?token={TOKEN}", content=b"{}", headers=post)
        assert answer.status_code == 401
        answer = studio.http.get(f"{place}?token={TOKEN}&x=1")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
        assert f"url={place}?x=1" in answer.text and TOKEN not in answer.text
        assert studio.http.get(place).status_code == 200  # the cookie is there
        # No way to send people elsewhere.
        studio.http.cookies.clear()
        raw = f"//evil.example/?token={TOKEN}".encode()
        there = httpx.URL(studio.url).copy_with(raw_path=raw)
        assert "url=/evil.example/" in studio.http.get(there).text
    finally:
        studio.close()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"token": "short"}, "guess"),
        ({"host": "0.0.0.0", "multi_user": True}, "invitation"),
        ({"max_gigabytes": 0.0}, "between"),
        ({"port": 99999}, "cannot be opened"),
        ({"host": "192.0.2.1", "token": TOKEN}, "cannot be opened"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, why):
    with pytest.raises(UserError, match=why):
        opened(StudioOptions(projects=tmp_path, browser=False, **options), options_of, VERBS)
    assert not list(tmp_path.glob("*/project.json"))


def test_on_a_server_for_others_no_path_can_be_named(tmp_path, no_queue, monkeypatch):
    from motion_jax.studio import command

    monkeypatch.setattr(command, "is_local", lambda host: False)
    studio = Opened(tmp_path, token=TOKEN)
    try:
        studio.http.headers["authorization"] = f"Bearer {TOKEN}"
        page = studio.page("/more/import")
        assert 'name="yaml"' not in page
        assert 'name="character"' not in studio.page("/more/animate-character")
        for verb, values in (
            ("import", {"source": "/etc/passwd"}),
            ("transfer", {"source": "/etc/passwd", "method": "nearest"}),
            ("transfer", {"source": "films/x", "poses": "/etc"}),
            ("transfer", {"method": "nearest", "background": "/etc/passwd"}),
            ("animate-character", {"character": "/etc/passwd"}),
            ("transfer", {"cast": "A=keep,B=/home/other/runs/x"}),
            ("transfer", {"cast": "A=runs/../../other/runs/x"}),
            ("serve", {"host": "0.0.0.0"}),
        ):
            studio.post(f"/do/{verb}", 400, values=values, name="x")
        studio.post("/open", 400)
    finally:
        studio.close()
