"""Small clients that run inside endpoints, as plain sockets of the system's own Python.

They are source text, run with ``python3 -c``: an endpoint's user need not be able to read this
package.
"""

from __future__ import annotations

__all__ = ["CONNECT", "HOLD", "KNOCK", "LOAD", "MEASURE"]

#: argv: address port.  Prints "connected ADDRESS" or the error; exit 0 or 1.
CONNECT = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as s:
        print("connected", s.getpeername()[0])
except OSError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""

#: argv: address host silence.  Holds one HTTP connection and asks on it again and again, until
#: SIGTERM (then 20 times more: alive at the end) or so many seconds of silence; prints "exchanges N
#: longest_gap SECONDS ended REASON".
HOLD = """
import signal, socket, sys, time
address, host, silence = *sys.argv[1:3], float(sys.argv[3])
left = -1
def ask(*_):
    global left
    left = 20
signal.signal(signal.SIGTERM, ask)
s = socket.create_connection((address, 80), timeout=silence)
request = f"GET /json HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode()
def exchange():
    s.sendall(request)
    data = b""
    while not data.endswith(b"}\\n"):
        piece = s.recv(65536)
        if not piece:
            raise OSError("closed by the server")
        data += piece
print("open", s.getpeername()[0], flush=True)
count, gap, last, reason = 0, 0.0, time.monotonic(), "on request"
try:
    while left:
        left -= left > 0
        exchange()
        now = time.monotonic()
        gap, last, count = max(gap, now - last), now, count + 1
        time.sleep(0.1)
except TimeoutError:
    reason = f"silent for {silence:g} s"
except OSError as error:
    reason = f"{type(error).__name__}: {error}"
gap = max(gap, time.monotonic() - last)
print("exchanges", count, "longest_gap", round(gap, 2), "ended", reason, flush=True)
"""

#: argv: seconds name address...  Tries a new connection to each address every so many seconds, and
#: looks the name up one time in eight; until it is ended.  Something for verdicts to fall on.
KNOCK = """
import socket, sys, threading, time
seconds, name, addresses = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
def look_up():
    while True:
        try:
            socket.getaddrinfo(name, 80, socket.AF_INET)
        except OSError:
            pass
        time.sleep(8 * seconds)
threading.Thread(target=look_up, daemon=True).start()
due = time.monotonic()
while True:
    opened = []
    for address in addresses:
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex((address, 80))
        opened.append(s)
    due += seconds
    time.sleep(max(0.0, due - time.monotonic()))
    for s in opened:
        s.close()
"""

#: argv: server rate seconds wait name...  Sends questions at a fixed rate, each once, never again,
#: until SIGTERM and then `seconds` more; waits so long for answers; prints "sent N answered N
#: refused N seconds S".
LOAD = """
import select, signal, socket, struct, sys, time
server, rate, more, wait = sys.argv[1], *map(float, sys.argv[2:5])
names = sys.argv[5:]
end = float("inf")
def ask(*_):
    global end
    end = min(end, time.monotonic() + more)
signal.signal(signal.SIGTERM, ask)
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
start = time.monotonic()
print("started", flush=True)
while True:
    now = time.monotonic()
    due = int((min(now, end) - start) * rate)
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
    if now > end and (not waiting or now > end + wait):
        break
print("sent", sent, "answered", answered, "refused", refused, "seconds", round(end - start, 2))
"""

#: argv: server seconds name...  Keeps 32 questions under way for so long; prints "answered N
#: seconds S".  What is lost is asked again after half a second of silence.
MEASURE = """
import select, socket, struct, sys, time
server, seconds, names = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
def question(name):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
    return struct.pack("!5H", 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, 1, 1)
questions = [question(n) for n in names]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((server, 53))
sent = answered = 0
def ask():
    global sent
    s.send(struct.pack("!H", sent & 0xFFFF) + questions[sent % len(questions)])
    sent += 1
start = time.monotonic()
due = 32
while time.monotonic() < start + seconds:
    for _ in range(due):
        ask()
    if select.select([s], [], [], 0.5)[0]:
        s.recv(4096)
        answered, due = answered + 1, 1
    else:
        due = 32
print("answered", answered, "seconds", round(time.monotonic() - start, 3))
"""
