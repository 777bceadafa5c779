"""Who may ask what: names, pages, tokens, sizes; and two hundred hostile requests."""

import json
import random
import socket
import struct
import zlib
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from motion_jax.errors import UserError
from motion_jax.serve import command
from motion_jax.serve.guard import Rules
from motion_jax.serve.options import ServeOptions
from motion_jax.serve.service import Service

PNG = {"content-type": "image/png"}


def test_names_of_the_host():
    rules = Rules(hosts=("studio.local", "proxy:443"))
    for host in (
        "127.0.0.1:8000",
        "localhost:8000",
        "[::1]:8000",
        "localhost",
        "studio.local:99",
        "proxy:443",
    ):
        assert rules.host_allowed(host, 8000), host
    for host in (
        "evil.example",
        "evil.example:8000",
        "127.0.0.1:9",
        "proxy:80",
        "",
        "localhost.evil.example",
        "[::1",
        "127.0.0.1:8000@evil.example",
        "0.0.0.0:8000",
    ):
        assert not rules.host_allowed(host, 8000), host
    assert Rules("192.168.0.7").host_allowed("192.168.0.7:8000", 8000)


def test_pages():
    rules = Rules(origins=("https://editor.p5js.org",))
    for origin in ("http://localhost:3000", "http://127.0.0.1", "https://editor.p5js.org"):
        assert rules.origin_allowed(origin)
    for origin in (
        "null",
        "https://evil.example",
        "http://localhost.evil.example",
        "file://",
        "",
        "http://[",
        "https://editor.p5js.org.evil.example",
    ):
        assert not rules.origin_allowed(origin), origin
    assert Rules(origins=("null",)).origin_allowed("null")


@pytest.mark.parametrize(
    "headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}, {"origin": "null"}]
)
def test_strangers_are_refused_on_every_port(served, headers):
    for url in (served.url, served.sdk, served.hub):
        for method in ("GET", "POST", "OPTIONS"):
            answer = served.http.request(method, url + "/", headers=headers)
            assert answer.status_code == 403 and answer.json()["error"]
            assert "access-control-allow-origin" not in answer.headers
    for url in (
        served.url + "/v1/stream",
        served.sdk + "/",
        served.url + "/socket.io/?EIO=3&transport=websocket",
    ):
        with pytest.raises(InvalidStatus) as refused:
            at = url.replace("http", "ws")
            port = at.split(":")[2].split("/")[0]
            if "host" in headers:
                # Named by hand, since the client writes the header itself.
                sock = socket.create_connection(("127.0.0.1", int(port)))
                connect(at.replace("127.0.0.1", "evil.example"), sock=sock)
            else:
                connect(at, additional_headers=headers)
        assert refused.value.response.status_code == 403


def test_a_token_is_asked_for(start, pictured):
    with start(token="open sesame!") as served:
        assert served.http.get("/healthz").status_code == 200
        answer = served.http.get("/info")
        assert answer.status_code == 401 and "Bearer" in answer.json()["error"]
        assert served.http.get(served.sdk + "/meta").status_code == 401
        for wrong in ("Bearer open", "open sesame", "Bearer open sesame"):
            assert served.http.get("/info", headers={"authorization": wrong}).status_code == 401
        with pytest.raises(InvalidStatus):
            connect(served.url.replace("http", "ws") + "/v1/stream")
        good = {"authorization": "Bearer open sesame!"}
        assert served.http.get("/info", headers=good).status_code == 200
        assert served.http.get("/info?token=open%20sesame!").status_code == 200


def test_large_things_are_refused_before_memory_is_taken(start, pictured):
    def chunk(kind, body):
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    def header(width, height):
        first = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + first + chunk(b"IDAT", zlib.compress(b"x"))

    with start(max_megabytes=0.1) as served:
        for size in ((20_000, 20_000), (100_000, 10), (8000, 8000)):
            answer = served.http.post("/v1/transfer", content=header(*size), headers=PNG)
            assert answer.status_code == 413 and "megapixels" in answer.json()["error"]
        assert served.http.post("/query", content=b"x" * 200_000).status_code == 413

        def without_length():
            for _ in range(20):
                yield b"x" * 10_000

        assert served.http.post("/query", content=without_length()).status_code == 413
        packed = zlib.compressobj(wbits=31)
        bomb = packed.compress(b'"' + b" " * 5_000_000) + packed.flush()
        answer = served.http.post(
            "/query",
            content=bomb,
            headers={"content-encoding": "gzip", "content-type": "application/json"},
        )
        assert answer.status_code == 413
        assert served.http.get("/healthz").status_code == 200


def test_two_hundred_hostile_requests(served, pictured, tmp_path):
    """None crashes or hangs the server, or reads a file."""
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret that nobody may read")
    draw, (_, png) = random.Random(0), pictured()
    paths = [
        "/",
        "/query",
        "/v1/transfer",
        "/v1/query",
        "/data",
        "/socket.io/",
        "/v1/stream.mjpg/x",
        f"/..{secret}",
        f"/%2e%2e{secret}",
        f"/v1/../../..{secret}",
        f"//{secret}",
        "/x.runwayml.cloud/v1/../etc",
    ]
    values = [
        str(secret),
        f"file://{secret}",
        f"data:text/plain,{secret}",
        "http://127.0.0.1:1/x.png",
        {"$ref": str(secret)},
        [[]] * 50,
        1e400,
        "\x00" * 100,
        "A" * 100_000,
        None,
        True,
    ]
    kinds = [
        "application/json",
        "image/png",
        "multipart/form-data; boundary=x",
        "text/plain",
        "x" * 200,
        "multipart/form-data",
    ]
    for _ in range(200):
        key = draw.choice(
            ["image", "keypoints", "people", "poses", "input", "run", "file", "__class__"]
        )
        body = draw.choice(
            [
                json.dumps({key: draw.choice(values)}).encode(),
                png[: draw.randrange(len(png))],
                bytes(draw.randrange(256) for _ in range(draw.randrange(300))),
                b"--x\r\nContent-Disposition: form-data; name=image; filename=../../x\r\n\r\n"
                + png[:20],
                b"[" * draw.randrange(20_000),
            ]
        )
        url = draw.choice([served.url, served.sdk, served.hub])
        method = draw.choice(["GET", "POST", "POST", "POST", "PUT", "DELETE", "HEAD"])
        answer = served.http.request(
            method,
            url + draw.choice(paths),
            content=body,
            headers={"content-type": draw.choice(kinds)},
            timeout=10,
        )
        assert answer.status_code in (200, 400, 404, 405, 413, 415, 422), answer.text
        assert "a secret" not in answer.text and "Traceback" not in answer.text
    for raw in (
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02",
        b"POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", served.ports.http), timeout=10) as client:
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            assert not client.recv(1000).startswith(b"HTTP/1.1 2")
    assert served.http.post("/v1/transfer", content=png, headers=PNG).status_code == 200


def test_what_fails_inside_stays_inside(served, pictured, monkeypatch, caplog):
    def broken(self, name):
        raise RuntimeError("/home/somebody/secret.py")

    monkeypatch.setattr(Service, "resident", broken)
    answer = served.http.post("/v1/transfer", content=pictured()[1], headers=PNG)
    assert answer.status_code == 500 and "secret" not in answer.text
    assert answer.json()["error"].endswith(".")


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"host": "0.0.0.0"}, "a secret is needed: give token"),
        ({"host": "0.0.0.0", "token": "short"}, "short enough to guess"),
        ({"host": "203.0.113.7", "token": "long enough"}, "no address of this machine"),
        ({"port": 70_000}, "a port is a number"),
        ({"hub_port": 0}, "give sdk_port, too"),
        ({"jpeg_quality": 0}, "jpeg_quality 0 is not between 1 and 100"),
        ({"run": ()}, "Say whose pictures"),
        ({}, "is not a run directory"),
    ],
)
def test_bad_options(options, sentence, tmp_path):
    given = {"run": (tmp_path,), "port": 0, **options}
    with pytest.raises(UserError, match=sentence):
        command.serve(ServeOptions(**given))


def test_a_port_that_is_taken(served):
    options = ServeOptions(run=(Path("ada"),), port=served.ports.http)
    with pytest.raises(UserError, match=f"port {served.ports.http} cannot be opened: another"):
        command.serve(options)
