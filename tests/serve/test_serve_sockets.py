"""Socket.IO and OSC, byte for byte as RunwayML's clients speak them."""

import json
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder
from websockets.sync.client import connect

from motion_jax.serve.socketio import _joined, _split


def poll(served, **query):
    return served.http.get("/socket.io/", params={"EIO": 3, "transport": "polling", **query})


def opened3(served):
    """(sid, what came with it) of a client of Engine.IO 3."""
    packets = _split(poll(served).text, 3)
    assert packets[0].startswith("0") and packets[1] == "40"
    about = json.loads(packets[0][1:])
    assert about["upgrades"] == ["websocket"]
    assert (about["pingInterval"], about["pingTimeout"]) == (25000, 20000)
    return about["sid"], packets[2:]


def post(served, sid, *packets, version=3):
    body = _joined(list(packets), version)
    answer = served.http.post(
        "/socket.io/", params={"EIO": version, "transport": "polling", "sid": sid}, content=body
    )
    assert answer.text == "ok"


def test_engine_io_3_by_polling(served, pictured, wire):
    sid, [info] = opened3(served)
    event, shapes = json.loads(info[2:])
    assert info.startswith("42") and event == "info" and set(shapes) == {"inputs", "outputs"}
    # The length counts UTF-16 units; a client may write any text.
    post(
        served,
        sid,
        "2",
        "42"
        + json.dumps(
            ["query", {"name": "😀é", "image": wire[0](pictured()[1])}], ensure_ascii=False
        ),
    )
    got = _split(poll(served, sid=sid).text, 3)
    while len(got) < 2:
        got += _split(poll(served, sid=sid).text, 3)
    assert got[0] == "3"
    event, answer = json.loads(got[1][2:])
    assert event == "data" and wire[1](answer["image"]).shape == (16, 24, 3)
    post(served, sid, '42["query",{"foo":1}]')
    event, answer = json.loads(_split(poll(served, sid=sid).text, 3)[0][2:])
    assert event == "error" and "'image'" in answer["error"]
    post(served, sid, '427["query"]')
    assert "437[]" in _split(poll(served, sid=sid).text, 3)
    assert poll(served, sid="nobody").status_code == 400
    assert poll(served, EIO=2).status_code == 400


def test_engine_io_3_goes_over_to_a_websocket(served, pictured, wire):
    sid, _ = opened3(served)
    url = served.url.replace("http", "ws") + "/socket.io/?EIO=3&transport=websocket"
    waiting = []
    reader = threading.Thread(target=lambda: waiting.extend(_split(poll(served, sid=sid).text, 3)))
    reader.start()
    with connect(f"{url}&sid={sid}", max_size=None) as ws:
        ws.send("2probe")
        assert ws.recv(10) == "3probe"
        reader.join(10)  # The poll that waited is let go.
        assert waiting == ["6"]
        ws.send("5")
        ws.send('42["query",' + json.dumps({"image": wire[0](pictured()[1])}) + "]")
        event, answer = json.loads(ws.recv(10)[2:])
        assert event == "data" and wire[1](answer["image"]).shape == (16, 24, 3)
    with connect(url) as ws:
        assert ws.recv(10).startswith("0") and ws.recv(10) == "40"
        assert json.loads(ws.recv(10)[2:])[0] == "info"
        ws.send("2")
        assert ws.recv(10) == "3"


def test_engine_io_4(served, pictured, wire):
    first = served.http.get("/socket.io/", params={"EIO": 4, "transport": "polling"}).text
    sid = json.loads(first[1:])["sid"]
    post(served, sid, "40", version=4)
    packets = served.http.get(
        "/socket.io/", params={"EIO": 4, "transport": "polling", "sid": sid}
    ).text.split("\x1e")
    assert json.loads(packets[0][2:])["sid"] == sid and json.loads(packets[1][2:])[0] == "info"
    url = served.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    with connect(url) as ws:
        assert ws.recv(10).startswith("0")
        ws.send("40")
        assert ws.recv(10).startswith("40{") and json.loads(ws.recv(10)[2:])[0] == "info"
        # Whoever asked: the answer goes to every client.
        post(
            served, sid, "42" + json.dumps(["query", {"image": wire[0](pictured()[1])}]), version=4
        )
        assert json.loads(ws.recv(10)[2:])[0] == "data"


def test_sketches_of_2018(served, pictured, wire):
    """runwayml/alpha_models: the namespace /query, update_request and update_response."""
    url = served.url.replace("http", "ws") + "/socket.io/?EIO=3&transport=websocket"
    with connect(url) as ws:
        for _ in range(3):
            ws.recv(10)
        ws.send("40/query,")
        assert ws.recv(10) == "40/query,"
        assert ws.recv(10).startswith('42/query,["info"')
        ws.send("42/query," + json.dumps(["update_request", {"data": wire[0](pictured()[1])}]))
        answer = ws.recv(10)
        assert answer.startswith("42/query,")
        event, value = json.loads(answer.removeprefix("42/query,"))
        assert event == "update_response" and wire[1](value["results"]).shape == (16, 24, 3)


CLIENT = """
const io = require('socket.io-client');
const s = io(process.argv[2], {transports: JSON.parse(process.argv[3])});
s.on('info', i => {
  console.log('info', Object.keys(i).sort().join());
  s.emit('query', {image: process.argv[4]});
});
s.on('data', d => { console.log('data', d.image.slice(0, 23)); process.exit(0); });
s.on('error', e => { console.log('error', JSON.stringify(e)); process.exit(1); });
setTimeout(() => process.exit(2), 20000);
"""


@pytest.mark.parametrize("transports", ['["polling","websocket"]', '["polling"]', '["websocket"]'])
@pytest.mark.parametrize("version", ["2", "4"])
def test_the_javascript_client(served, pictured, wire, version, transports, tmp_path):
    """The real socket.io-client; the folders of it are named by MOTION_JAX_SOCKET_IO_2 and _4."""
    modules = os.environ.get(f"MOTION_JAX_SOCKET_IO_{version}")
    if not modules or not shutil.which("node"):
        pytest.skip(
            f"needs node, and MOTION_JAX_SOCKET_IO_{version}: the node_modules folder of npm "
            f"install socket.io-client@{version}"
        )
    (tmp_path / "client.js").write_text(CLIENT)
    done = subprocess.run(
        ["node", tmp_path / "client.js", served.url, transports, wire[0](pictured()[1])],
        env={**os.environ, "NODE_PATH": str(Path(modules))},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["info inputs,outputs", "data data:image/jpeg;base64,"]
    assert done.returncode == 0


# --- OSC ----------------------------------------------------------------------------------------


def osc(address, *values):
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    return builder.build().dgram


def test_osc(start, pictured, wire):
    """RunwayML's OSC: connect, query with one JSON string; the answer goes to the client's own
    port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.settimeout(20)

        def heard():
            message = OscMessage(client.recv(65536))
            return message.address, json.loads(message.params[0])

        with start(osc_client_port=client.getsockname()[1]) as served:
            to = ("127.0.0.1", served.ports.osc)
            client.sendto(osc("/server/connect"), to)
            client.sendto(osc("/query", json.dumps({"image": wire[0](pictured()[1])})), to)
            address, answer = heard()
            assert address == "/data" and wire[1](answer["image"]).shape == (16, 24, 3)
            # python-osc's own server would lose what is longer than 8,192 bytes.
            long = {"keypoints": [[5, 5, 1]] * 25, "note": "x" * 60_000}
            client.sendto(osc("/query", json.dumps(long)), to)
            assert heard()[0] == "/data"
            for wrong in (osc("/query", "{"), osc("/query", 3), osc("/query")):
                client.sendto(wrong, to)
                address, answer = heard()
                assert address == "/error" and answer["error"].endswith(".")
            client.sendto(b"\xff" * 40, to)
            client.sendto(osc("/server/disconnect"), to)
            ada = served.residents["ada"]
            big = pictured(0, (600, 600))[0]
            ada.alone = lambda seen: (
                [__import__("numpy").random.default_rng(0).integers(0, 255, big.shape, "uint8")]
                * len(seen)
            )
            client.sendto(osc("/server/connect"), to)
            client.sendto(osc("/query", json.dumps({"keypoints": [[5, 5, 1]] * 25})), to)
            address, answer = heard()
            assert address == "/error"
            assert f"does not fit OSC; use HTTP port {served.ports.http}" in answer["error"]


def test_too_many_sessions_are_refused(start):
    with start() as served:
        for _ in range(64):
            assert poll(served).status_code == 200
        assert poll(served).status_code == 503
        assert served.http.get(served.url + "/healthz").status_code == 200
