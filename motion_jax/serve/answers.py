"""How bodies of requests are read, and how one that is not met is answered; of all ports."""

import asyncio
import json
import zlib
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from motion_jax.serve.pictures import Refused


def refused(error: Refused) -> Response:
    """The answer to a request that is not met: one sentence."""
    headers = {} if error.retry is None else {"Retry-After": str(error.retry)}
    return JSONResponse({"error": str(error)}, error.status, headers)


async def read_json(request: Request, most: int) -> Any:
    """A body as JSON, whatever its type is called; one that was packed with gzip is unpacked.
    Raises Refused."""
    body = await request.body()
    kind = request.headers.get("content-type", "")
    if request.headers.get("content-encoding") == "gzip" and kind == "application/json":
        body = await asyncio.to_thread(_unpacked, body, most)
    try:
        if len(body) < 100_000:
            return json.loads(body)
        return await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError) as error:
        raise Refused("The body of all POST requests must contain JSON") from error


def _unpacked(body: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        data = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise Refused("The body is not gzip, as its header says.") from error
    if len(data) > most:
        raise Refused("The unpacked body is too large; send less.", 413)
    return data
