"""A picture in, a picture of the trained person out: python client.py IN.jpg OUT.png"""

import sys
import urllib.request

SERVER = "http://127.0.0.1:8000"


def transferred(picture: bytes, server: str = SERVER) -> bytes:
    """The PNG that the server makes of a PNG, JPEG or WebP."""
    headers = {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(f"{server}/v1/transfer", picture, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as result:
        result.write(transferred(source.read(), *sys.argv[3:]))
