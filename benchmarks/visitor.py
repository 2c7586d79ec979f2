"""A visitor in a process of its own, so that nothing of ours makes it late: asks an address all the time.

    python -m benchmarks.visitor PORT

prints a line for each change of the answer, `[answer, first time, last time of the answer before]`, until its
standard input ends; then the last time of the last one. Times are the wall clock's; the answer is null if
there is none.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time

_PAUSE_SECONDS, _TIMEOUT_SECONDS = 0.003, 0.1
_QUESTION = b"GET /release HTTP/1.0\r\n\r\n"


def ask(port: int) -> str | None:
    """Return the page, None if there is no good answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), _TIMEOUT_SECONDS) as connection:
            connection.settimeout(_TIMEOUT_SECONDS)
            connection.sendall(_QUESTION)
            answer = b""
            while data := connection.recv(4096):
                answer += data
    except OSError:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    return body.decode().strip() if b" 200 " in head.partition(b"\r\n")[0] else None


def _await_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def main() -> None:
    """Ask until standard input ends."""
    port, ended = int(sys.argv[1]), threading.Event()
    threading.Thread(target=_await_end, args=(ended,), daemon=True).start()
    answer, last = ask(port), time.time()
    print(json.dumps([answer, last, last]), flush=True)
    while not ended.wait(_PAUSE_SECONDS):
        now = ask(port)
        if now != answer:
            print(json.dumps([now, time.time(), last]), flush=True)
        answer, last = now, time.time()


if __name__ == "__main__":
    main()
