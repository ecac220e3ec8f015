"""``python -m fqdnlab.cli``."""

from __future__ import annotations

import sys

from fqdnlab.cli import main

sys.exit(main())
