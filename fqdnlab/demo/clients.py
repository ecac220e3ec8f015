"""Small clients that run inside endpoints, as plain sockets of the system's own Python.

They are source text, run with ``python3 -c``: an endpoint's user need not be able to read this
package.
"""

from __future__ import annotations

__all__ = ["CONNECT", "LOAD", "STREAM"]

#: argv: address port.  Prints "connected ADDRESS" or the error; exit 0 or 1.
CONNECT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as s:
        print("connected", s.getpeername()[0])
except OSError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""

#: argv: address host seconds.  Holds one HTTP connection to /stream until SIGTERM and prints
#: "chunks N longest_gap SECONDS ended REASON" at the end.
STREAM = """
import signal, socket, sys, time
address, host, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
class Asked(Exception):
    pass
def asked(*_):
    raise Asked
signal.signal(signal.SIGTERM, asked)
s = socket.create_connection((address, 80), timeout=5)
s.sendall(f"GET /stream?seconds={seconds:g}&interval=0.2 HTTP/1.1\\r\\nHost: {host}\\r\\n"
          "Connection: close\\r\\n\\r\\n".encode())
s.settimeout(None)
chunks, gap, last, reason = 0, 0.0, time.monotonic(), "end of stream"
print("open", s.getpeername()[0], flush=True)
try:
    while s.recv(65536):
        now = time.monotonic()
        gap, last, chunks = max(gap, now - last), now, chunks + 1
except Asked:
    reason = "on request"
except OSError as error:
    reason = f"{type(error).__name__}: {error}"
gap = max(gap, time.monotonic() - last)
print("chunks", chunks, "longest_gap", round(gap, 2), "ended", reason, flush=True)
"""

#: argv: server rate seconds name...  Sends questions at a fixed rate, each once, never again;
#: prints "sent N answered N refused N seconds S".
LOAD = """
import random, select, socket, struct, sys, time
server, rate, seconds, names = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
def question(name):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
    return struct.pack("!5H", 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, 1, 1)
questions = [question(n) for n in names]
socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(64)]
poll, by_fd = select.epoll(), {}
for s in socks:
    s.connect((server, 53)); s.setblocking(False)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    poll.register(s.fileno(), select.EPOLLIN); by_fd[s.fileno()] = s
waiting, sent, answered, refused = set(), 0, 0, 0
start = time.monotonic(); total = int(rate * seconds)
print("started", flush=True)
while True:
    now = time.monotonic()
    due = min(total, int((now - start) * rate))
    while sent < due:
        s = socks[sent % len(socks)]
        ident = (sent // len(socks)) & 0xFFFF
        waiting.add((s.fileno(), ident))
        s.send(struct.pack("!H", ident) + questions[sent % len(questions)])
        sent += 1
    for fd, _ in poll.poll(0.001):
        try:
            while True:
                data = by_fd[fd].recv(4096)
                key = (fd, data[0] << 8 | data[1])
                if key in waiting:
                    waiting.discard(key)
                    answered += 1
                    refused += (data[3] & 15) != 0
        except BlockingIOError:
            pass
        except OSError:
            pass
    if sent >= total and (not waiting or now - start > seconds + 5):
        break
took = round(time.monotonic() - start, 2)
print("sent", sent, "answered", answered, "refused", refused, "seconds", took)
"""
