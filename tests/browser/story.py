"""Cells of the notebooks that the tests drive."""

from __future__ import annotations

SETUP = '''
from fqdnlab import Lab
lab = Lab("{lab}")
web = lab.endpoint("web", labels={{"app": "web"}})
lab.world.set("api.example.com", ["198.51.100.7"], ttl=5)
lab.world["img.cdn.example.com"] = ["203.0.113.19", "203.0.113.20"]
lab.world["tracker.ads.net"] = ["192.0.2.66"]
lab.apply("""
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: web-egress}}
spec:
  endpointSelector: {{matchLabels: {{app: web}}}}
  egress:
  - toEndpoints:
    - matchLabels: {{k8s-app: kube-dns, io.kubernetes.pod.namespace: kube-system}}
    toPorts:
    - ports: [{{port: "53", protocol: ANY}}]
      rules: {{dns: [{{matchPattern: "**.example.com"}}]}}
  - toFQDNs: [{{matchName: api.example.com}}, {{matchPattern: "*.cdn.example.com"}}]
    toPorts: [{{ports: [{{port: "443", protocol: TCP}}]}}]
""")
'''

#: Look-ups and connections for ever, with plain sockets.
TRAFFIC = '''
code = """
import itertools, socket, time
for i in itertools.count():
    name = ("api.example.com", "img.cdn.example.com", "tracker.ads.net")[i % 3]
    for port in (443, 80) if i % 5 == 0 else (443,):
        try:
            socket.create_connection((name, port), timeout=0.3).close()
        except OSError:
            pass
    time.sleep({pause})
"""
traffic = web.popen(["python3", "-c", code])
'''

#: A cell that keeps the kernel busy, and tells so.
BUSY = """
import time
print("busy", flush=True)
end = time.monotonic() + 30
while time.monotonic() < end and not globals().get("enough"):
    time.sleep(0.1)
print("done", flush=True)
"""

DOWN = "traffic.signal(15); lab.down(); print('down')"
