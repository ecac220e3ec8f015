"""The agent: policies and mappings in, kernel maps out (ways 1 and 2.8).

`state` decides (pure: event and time in, operations out), `kernel` writes, `service` joins them
with `fqdndata` (the proxy's side), `control` (the clients' side) and `store` (the disk).
"""
