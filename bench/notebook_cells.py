"""What the notebook of the bench runs."""

from __future__ import annotations

__all__ = ["DASHBOARD", "FLOOD", "NOTHING", "SETUP"]

SETUP = '''
from fqdnlab import Lab
lab = Lab("bench-notebook")
web = lab.endpoint("web", labels={"app": "web"})
lab.world["api.example.com"] = ["198.51.100.7"]
lab.apply("""
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: half}
spec:
  endpointSelector: {matchLabels: {app: web}}
  egress:
  - toCIDR: [198.51.100.0/24]
""")
print("ready")
'''

DASHBOARD = "lab.dashboard()"

#: Every packet a flow that was never seen; one half passes, the other is dropped.
FLOOD = '''
code = """
import socket, time
plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
begin, sent = time.monotonic(), 0
while (now := time.monotonic()) < begin + {seconds}:
    while sent < (now - begin) * {rate}:
        host = ("198.51.100.7", "192.0.2.66")[sent % 2]
        plain.sendto(b"x", (host, 1024 + sent // 2 % 60000))
        sent += 1
    time.sleep(0.004)
print(sent, time.monotonic() - begin)
"""
flood = web.popen(["python3", "-c", code])
print("started")
'''

NOTHING = "flood.wait(120); print(flood.stdout); lab.down(); print('down')"
