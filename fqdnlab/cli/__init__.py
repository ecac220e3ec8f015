"""The command ``fqdnlab``.  Exit status: 0 as asked; 1 what was checked does not hold; 2 usage;
3 a process is dead or late; 4 the machine lacks something; 5 conflict or broken state; 130 Ctrl-C.
"""

from __future__ import annotations

from fqdnlab.cli.main import cli, main

__all__ = ["cli", "main"]
