"""The simulated internet: DNS servers and web servers on any address, in a namespace of its own.

`fqdnlab.world.client.World` is what the lab's client uses; ``python -m fqdnlab.world`` the process.
"""
