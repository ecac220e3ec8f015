"""``python -m fqdnlab.machine``: the machine service."""

from __future__ import annotations

import sys

from fqdnlab.machine.service import main

if __name__ == "__main__":
    sys.exit(main())
