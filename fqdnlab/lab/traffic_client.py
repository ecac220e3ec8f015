"""The program that makes traffic inside an endpoint, as source text for the system's own Python.

It is run with ``python3 -c``: an endpoint's user need not be able to read this package.  It prints
one JSON object a line, twice a second and at its end (SIGTERM): what it has done so far.
"""

from __future__ import annotations

__all__ = ["SOURCE"]

#: argv: kind name port rate seconds.
SOURCE = r"""
import json, queue, signal, socket, struct, sys, threading, time
kind, name, port, rate, seconds = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:6])
port, stop, lock = int(port), threading.Event(), threading.Lock()
done = dict(started=0, ok=0, failed=0, last="", longest_gap=0.0)
signal.signal(signal.SIGTERM, lambda *_: stop.set())

def tell():
    with lock:
        print(json.dumps(done), flush=True)

def count(ok, text):
    with lock:
        done["ok" if ok else "failed"] += 1
        done["last"] = text

def resolve():
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return found[0][4][0]

def connect(address):
    with socket.create_connection((address, port), timeout=2) as s:
        return s.getpeername()[0]

def attempt(address):
    try:
        count(True, connect(address or resolve()))
    except OSError as error:
        count(False, f"{type(error).__name__}: {error}")

def server():
    for line in open("/etc/resolv.conf"):
        if line.startswith("nameserver"):
            return line.split()[1]

def look_up(ticks):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.rstrip(".").split("."))
    question = struct.pack("!5H", 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, 1, 1)
    s = socket.socket(socket.AF_INET6 if ":" in server() else socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((server(), 53)); s.settimeout(0.01)
    waiting = {}
    def take():
        try:
            while True:
                data = s.recv(4096)
                if waiting.pop(data[:2], None):
                    count(not data[3] & 15, f"rcode {data[3] & 15}")
        except OSError:
            pass
        late = time.monotonic() - 5
        for number in [n for n, t in waiting.items() if t < late]:
            del waiting[number]; count(False, "no answer")
    for n in ticks:
        number = struct.pack("!H", n & 0xFFFF)
        waiting[number] = time.monotonic()
        s.send(number + question)
        take()
    end = time.monotonic() + 1
    while waiting and time.monotonic() < end:
        take()
    for _ in waiting:
        count(False, "no answer")

def pace():
    begin, n = time.monotonic(), 0
    while not stop.is_set() and (not seconds or time.monotonic() - begin < seconds):
        if time.monotonic() - begin >= n / rate:
            done["started"] += 1
            yield n
            n += 1
        else:
            time.sleep(min(0.02, 0.3 / rate))

def hold():
    done["started"] = 1
    try:
        s = socket.create_connection((resolve(), port), timeout=3)
        if port == 443:  # whoever answers there: it is traffic, and tells no secrets
            import ssl
            loose = ssl.create_default_context()
            loose.check_hostname, loose.verify_mode = False, ssl.CERT_NONE
            s = loose.wrap_socket(s, server_hostname=name.rstrip("."))
        s.sendall(f"GET /stream?seconds=3600&interval=0.2 HTTP/1.1\r\nHost: {name}\r\n"
                  "Connection: close\r\n\r\n".encode())
        s.settimeout(0.5)
        begin = last = time.monotonic()
        while not stop.is_set() and (not seconds or time.monotonic() - begin < seconds):
            try:
                data = s.recv(65536)
            except TimeoutError:
                data = None
            now = time.monotonic()
            done["longest_gap"] = round(max(done["longest_gap"], now - last), 3)
            if data:
                last = now
                count(True, s.getpeername()[0])
            elif data is not None:
                return count(False, "the server ended it")
    except OSError as error:
        count(False, f"{type(error).__name__}: {error}")

def ticker():
    while not stop.wait(0.5):
        tell()

threading.Thread(target=ticker, daemon=True).start()
if kind == "hold":
    hold()
elif kind == "look-up":
    look_up(pace())
else:
    address, work = "", queue.Queue(64)
    if kind == "reuse":
        try:
            address = resolve()
        except OSError as error:
            count(False, f"{type(error).__name__}: {error}"); tell(); sys.exit(1)
    def worker():
        while work.get():
            attempt(address)
    threads = [threading.Thread(target=worker) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in pace():
        try:
            work.put_nowait(True)
        except queue.Full:
            count(False, "too slow: 64 connections wait")
    for _ in threads:
        work.put(False)
    for thread in threads:
        thread.join()
stop.set()
tell()
"""
