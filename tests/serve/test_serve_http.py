"""Our own routes, and RunwayML's by HTTP, as its clients speak."""

import gzip
import json
import runpy
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from websockets.sync.client import connect

from motion_jax.serve.app import HEAD

PNG = {"content-type": "image/png"}


def test_transfer_takes_three_forms_and_gives_the_same_pixels(served, pictured, wire):
    as_uri, of_uri, opened = wire
    image, png = pictured()
    raw = served.http.post("/v1/transfer", content=png, headers={"content-type": "image/png"})
    form = served.http.post("/v1/transfer", files={"image": ("a.png", png)}, data={"run": "ben"})
    answer = served.http.post("/v1/transfer", json={"image": as_uri(png)})
    assert [one.status_code for one in (raw, form, answer)] == [200] * 3
    assert raw.headers["content-type"] == "image/png"
    for made in (opened(raw.content), opened(form.content), of_uri(answer.json()["image"])):
        np.testing.assert_array_equal(made, 255 - image)
    assert answer.json()["run"] == "ada"
    for form, kind in (("jpeg", "image/jpeg"), ("webp", "image/webp")):
        asked = served.http.post(
            "/v1/transfer", content=png, headers={"content-type": "image/png", "accept": kind}
        )
        assert asked.headers["content-type"] == kind
        named = served.http.post(
            f"/v1/transfer?format={form}",
            content=png,
            headers={"content-type": "application/octet-stream"},
        )
        assert named.content == asked.content


def test_the_client_in_fifteen_lines(served, pictured, wire):
    example = Path(__file__).resolve().parents[2] / "examples" / "client.py"
    image, png = pictured(6)
    made = runpy.run_path(str(example))["transferred"](png, served.url)
    np.testing.assert_array_equal(wire[2](made), 255 - image)


def test_transfer_takes_keypoints(served, wire):
    pose = [[40.0, 5.0, 1.0]] + [[1, 1, 0.5]] * 24
    values = [
        {"keypoints": pose},
        {"people": [{"pose_keypoints_2d": sum(pose, [])}]},
        {"poses": [[[40 / 24, 5 / 16]] + [[0.5, 0.5]] * 16]},
    ]
    for value in values:
        answer = served.http.post("/v1/transfer", json=value)
        assert answer.status_code == 200, answer.text
        assert (wire[1](answer.json()["image"]) == 255 - 40).all()


def test_health_metrics_and_pages(served, pictured):
    served.http.post("/v1/transfer", content=pictured()[1], headers={"content-type": "image/png"})
    assert served.http.get("/healthz").json()["runs"] == ["ada", "ben"]
    lines = served.http.get("/metrics").text.splitlines()
    counted = 'motion_jax_answers_total{protocol="http",status="200"} '
    assert any(line.startswith(counted) for line in lines)
    assert any(line.startswith("motion_jax_pictures_total ") for line in lines)
    schema = served.http.get("/openapi.json").json()
    assert {"/v1/transfer", "/healthz", "/query"} <= set(schema["paths"])
    page = served.http.get("/docs")
    assert "POST /v1/transfer" in page.text and "http" not in page.text.replace(served.url, "")
    assert page.headers["x-content-type-options"] == "nosniff"


# --- RunwayML's local app -----------------------------------------------------------------------


def test_a_processing_sketch(start, pictured, wire):
    """runwayml/processing-library, HTTP: /info once, /error and /data before each frame, POST
    /query; it asks for gzip and cannot unpack it."""
    as_uri, of_uri, _ = wire
    headers = {"accept-encoding": "gzip, deflate", "content-type": "application/json"}
    with start() as served:

        def ask(method, path, **more):
            answer = served.http.request(method, path, headers=headers, **more)
            assert "content-encoding" not in answer.headers
            return answer.json()

        info = ask("GET", "/info")
        assert set(info) == {"inputs", "outputs"}
        assert info["inputs"][0]["name"] == "image" and info["inputs"][0]["type"] == "image"
        assert ask("GET", "/error") == {"error": None}
        # A sketch reads the picture's key whatever was asked before.
        assert of_uri(ask("GET", "/data")["image"]).shape == (16, 24, 3)
        image, png = pictured(1)
        body = json.dumps({"image": as_uri(png)}).encode()
        answer = ask("POST", "/query", content=body)
        assert answer["image"].startswith("data:image/jpeg;base64,")
        assert np.abs(of_uri(answer["image"]).astype(int) - (255 - image)).mean() < 20
        assert ask("GET", "/data") == answer
        assert served.http.get("/").text


def test_the_keys_of_published_sketches(served, pictured, wire):
    uri = wire[0](pictured()[1])
    for given, read in (
        ("image", "image"),
        ("input", "output"),
        ("semantic_map", "output"),
        ("contentImage", "stylizedImage"),
    ):
        assert wire[1](served.http.post("/query", json={given: uri}).json()[read]).shape
    # Bare base64, url-safe and in lines, is a picture, too.
    bare = uri.partition(",")[2].replace("+", "-").replace("/", "_")
    lines = "\n".join(bare[i : i + 76] for i in range(0, len(bare), 76))
    assert served.http.post("/query", json={"image": lines}).status_code == 200


def test_errors_are_one_sentence(served, wire):
    wrong = served.http.post("/query", json={"picture": "x"})
    assert wrong.status_code == 400
    assert "'image'" in wrong.json()["error"] and "--input-key" in wrong.json()["error"]
    assert served.http.get("/error").json() == wrong.json()
    for value, status in (("%%%", 400), ("aGVsbG8=", 415), (3, 400)):
        answer = served.http.post("/query", json={"image": value})
        assert answer.status_code == status and answer.json()["error"].endswith(".")
    for body in (b"", b"{", b"[" * 100_000, b"[1]"):
        assert served.http.post("/query", content=body).status_code == 400
    assert served.http.get("/nothing").json() == {"error": "There is no such page."}
    assert served.http.put("/query").json() == {"error": "Method not allowed."}
    assert served.http.post("/v1/transfer?run=eve", content=b"x", headers=PNG).status_code == 404


def test_an_old_sketch_gets_the_last_picture_instead_of_an_error(start, pictured, wire):
    with start(errors="last") as served:
        good = served.http.post("/query", json={"image": wire[0](pictured()[1])}).json()
        answer = served.http.post("/query", json={"image": "%%%"})
        assert answer.status_code == 200 and answer.json() == good
        assert "base64" in served.http.get("/error").json()["error"]


def test_hosted_models(served, pictured, wire):
    """@runwayml/hosted-models: /v1/ at construction; its address must end in runwayml.cloud/v1."""
    for prefix in ("", "/my-model.hosted-models.runwayml.cloud"):
        assert served.http.get(f"{prefix}/v1/").json()["status"] == "running"
        assert "inputs" in served.http.get(f"{prefix}/v1/info").json()
        answer = served.http.post(f"{prefix}/v1/query", json={"image": wire[0](pictured()[1])})
        assert answer.headers["content-type"] == "application/json"
        assert wire[1](answer.json()["image"]).shape == (16, 24, 3)


# --- the model SDK and the hub ------------------------------------------------------------------


def test_model_sdk(served, pictured, wire):
    image, png = pictured(2)
    for path in ("/", "/meta"):
        meta = served.http.get(served.sdk + path).json()
        assert {"modelSDKVersion", "millisRunning", "millisSinceLastCommand", "GPU"} <= set(meta)
    assert [one["name"] for one in meta["commands"]] == ["generate", "ada", "ben"]
    assert served.http.get(served.sdk + "/healthcheck").json() == {"status": "RUNNING"}
    assert served.http.post(served.sdk + "/setup", json={}).json() == {"success": True}
    command = served.http.get(served.sdk + "/generate").json()
    assert command["inputs"][0]["name"] == "image" and command["name"] == "generate"
    png_form = {"X-Runway-Output-Format": "image=PNG;other=JPEG"}
    body = json.dumps({"image": wire[0](png)}).encode()
    # Any content type counts as JSON; gzip only under exactly that name.
    plain = served.http.post(served.sdk + "/generate", content=body, headers=png_form)
    packed = served.http.post(
        served.sdk + "/ben",
        content=gzip.compress(body),
        headers={**png_form, "content-encoding": "gzip", "content-type": "application/json"},
    )
    for answer in (plain, packed):
        np.testing.assert_array_equal(wire[1](answer.json()["image"]), 255 - image)
    for status, error, answer in (
        (400, "Missing input: image.", served.http.post(served.sdk + "/generate", json={})),
        (
            400,
            "The body of all POST requests must contain JSON",
            served.http.post(served.sdk + "/generate", content=b"image=1"),
        ),
        (404, "Unknown command: paint.", served.http.post(served.sdk + "/paint", json={})),
        (405, "Method not allowed.", served.http.put(served.sdk + "/generate")),
    ):
        assert (answer.status_code, answer.json()["error"]) == (status, error)
    bad = served.http.post(served.sdk + "/generate", json={"image": "%"})
    assert bad.status_code == 400 and bad.json()["error"].startswith("Invalid argument: image.")
    assert "traceback" not in bad.json()


def test_model_sdk_by_websocket(served, pictured, wire):
    image, png = pictured(3)
    with connect(served.sdk.replace("http", "ws") + "/") as socket:
        inputs = {"image": wire[0](png)}
        job = {"type": "submit", "id": "a", "command": "generate", "inputData": inputs}
        socket.send(json.dumps(job))
        told = [json.loads(socket.recv(10)) for _ in range(3)]
        assert [one["type"] for one in told] == ["started", "output", "succeeded"]
        assert all(one["id"] == "a" for one in told)
        assert wire[1](told[-1]["outputData"]["image"]).shape == image.shape
        served.residents["ada"].slow.clear()
        try:
            socket.send(json.dumps({**job, "id": "b"}))
            assert json.loads(socket.recv(10))["type"] == "started"
            socket.send(json.dumps({"type": "cancel", "id": "b"}))
            assert json.loads(socket.recv(10))["type"] == "cancelled"
        finally:
            served.residents["ada"].slow.set()
        socket.send(json.dumps({"type": "submit", "command": "paint", "inputData": {}}))
        assert json.loads(socket.recv(10))["type"] == "started"
        failed = json.loads(socket.recv(10))
        assert (failed["type"], failed["error"]) == ("failed", "Unknown command: paint.")


def test_the_hub_leads_to_the_sdk(served, pictured, wire):
    """Unity's and Photoshop's plugins: models, sessions, then POST url/command."""
    assert served.http.get(served.hub + "/v1/healthcheck").json() == {"success": True}
    [model] = served.http.get(served.hub + "/v1/models").json()["models"]
    assert {"name", "type", "inputs", "outputs", "commands"} <= set(model)
    [session] = served.http.get(served.hub + "/v1/model_sessions?show=active").json()[
        "modelSessions"
    ]
    assert session["runningStatus"] == "RUNNING" and session["url"] == served.sdk
    made = served.http.post(served.hub + "/v1/model_sessions", json={"modelVersionId": 1}).json()
    assert made["id"] == made["modelSession"]["id"] == session["id"]
    url = f"{session['url']}/{model['commands'][0]['name']}"
    assert wire[1](
        served.http.post(url, json={"image": wire[0](pictured()[1])}).json()["image"]
    ).any()
    assert served.http.delete(f"{served.hub}/v1/model_sessions/{session['id']}").json()["success"]
    assert served.http.get(served.hub + "/v1/model_sessions/../../etc").status_code == 404


# --- streams and load ---------------------------------------------------------------------------


def test_binary_stream(served, pictured, wire):
    image, png = pictured(4)
    url = served.url.replace("http", "ws") + "/v1/stream?format=png"
    with connect(url) as socket:
        for number in range(3):
            socket.send(HEAD.pack(number, number / 25) + png)
            answer = socket.recv(10)
            assert HEAD.unpack_from(answer) == (number, number / 25)
            # Each picture is made after the one before it.
            np.testing.assert_array_equal(
                wire[2](answer[HEAD.size :]), 255 - image - np.uint8(number)
            )
        socket.send(json.dumps({"id": 9, "time": 1.0, "keypoints": [[7, 7, 1]] * 25}))
        assert (wire[2](socket.recv(10)[HEAD.size :]) == 255 - 7 - 3).all()
        for bad in (b"short", HEAD.pack(1, 0.0) + b"no picture", "no json", "{}"):
            socket.send(bad)
            assert json.loads(socket.recv(10))["error"].endswith(".")
    with connect(served.url.replace("http", "ws") + "/v1/stream?run=eve") as socket:
        assert "ada, ben" in json.loads(socket.recv(10))["error"]


def test_a_stream_keeps_the_newest_frame_only(served, pictured, wire):
    pictures = [pictured(seed) for seed in range(6)]
    ada = served.residents["ada"]
    with connect(served.url.replace("http", "ws") + "/v1/stream?format=png") as socket:
        ada.slow.clear()
        try:
            for number, (_, png) in enumerate(pictures):
                socket.send(HEAD.pack(number, number / 25) + png)
                time.sleep(0.05)
        finally:
            ada.slow.set()
        numbers = []
        while not numbers or numbers[-1] != 5:
            answer = socket.recv(10)
            numbers.append(HEAD.unpack_from(answer)[0])
    assert numbers == sorted(numbers) and len(numbers) < 6
    figures, name = served.http.get("/metrics").text, "motion_jax_dropped_frames_total "
    [dropped] = [line for line in figures.splitlines() if line.startswith(name)]
    assert float(dropped.split()[-1]) >= 6 - len(numbers)


def test_motion_jpeg_shows_what_is_made(served, pictured, wire):
    _, png = pictured(5)
    with served.http.stream("GET", "/v1/stream.mjpg?run=ben") as answer:
        assert answer.headers["content-type"].startswith("multipart/x-mixed-replace")
        parts = answer.iter_raw()
        assert next(parts).startswith(b"--")
        served.http.post(served.url + "/v1/transfer?run=ben", content=png, headers=PNG)
        got = b""
        while b"--motion-jax-frame" not in got:
            got += next(parts)
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.split(b"Content-Length: ")[1])
    assert wire[2](body[:length]).shape == (16, 24, 3)


def test_a_full_queue_says_when_to_ask_again(start, pictured):
    with start(waiting=4) as served:
        served.residents["ada"].slow.clear()
        statuses, headers = [], []

        def ask():
            answer = served.http.post(
                served.url + "/v1/transfer",
                content=pictured()[1],
                headers={"content-type": "image/png"},
                timeout=30,
            )
            statuses.append(answer.status_code)
            headers.append(answer.headers.get("retry-after"))

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while 503 not in statuses and time.monotonic() < deadline:
            time.sleep(0.02)
        served.residents["ada"].slow.set()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200, 503} and len(statuses) == 20
        refused = [head for head, status in zip(headers, statuses, strict=True) if status == 503]
        assert set(refused) == {"1"}
        assert served.http.get("/healthz").json()["waiting"] == 0


def test_a_request_that_waits_too_long_is_given_up(start, pictured):
    with start(timeout=0.05) as served:
        served.residents["ada"].slow.clear()
        answer = served.http.post("/v1/transfer", content=pictured()[1], headers=PNG)
        assert answer.status_code == 503 and "retry-after" in answer.headers
        served.residents["ada"].slow.set()


@pytest.mark.parametrize("path", ["/v1/transfer", "/query"])
def test_pages_of_this_machine_may_ask(served, path):
    origin = {"origin": "http://127.0.0.1:5500", "access-control-request-method": "POST"}
    answer = served.http.options(path, headers=origin)
    assert answer.status_code == 204
    # "*" breaks old Socket.IO clients, which send credentials.
    assert answer.headers["access-control-allow-origin"] == origin["origin"]
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "X-Runway-Output-Format" in answer.headers["access-control-allow-headers"]
