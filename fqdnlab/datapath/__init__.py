"""The enforcer from user space: load, pin, attach; typed maps; the ring buffer."""
