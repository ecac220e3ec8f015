"""The demo's policies, as its reader would write them."""

from __future__ import annotations

__all__ = ["UNSUPPORTED", "WEB_EGRESS"]

WEB_EGRESS = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: web-egress
spec:
  endpointSelector:
    matchLabels:
      app: web
  egress:
  - toEndpoints:
    - matchLabels:
        k8s:io.kubernetes.pod.namespace: kube-system
        k8s-app: kube-dns
    toPorts:
    - ports:
      - port: "53"
        protocol: ANY
      rules:
        dns:
        - matchName: api.example.com
        - matchPattern: "*.cdn.example.com"
  - toFQDNs:
    - matchName: api.example.com
    - matchPattern: "*.cdn.example.com"
    toPorts:
    - ports:
      - port: "443"
        protocol: TCP
      - port: "80"
        protocol: TCP
"""

UNSUPPORTED = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: batch-http-only
spec:
  endpointSelector:
    matchLabels:
      app: batch
  egress:
  - toEntities: [world]
    toPorts:
    - ports:
      - port: "80"
        protocol: TCP
      rules:
        http:
        - method: GET
          path: /reports
"""
