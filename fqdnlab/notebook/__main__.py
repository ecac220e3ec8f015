"""``python -m fqdnlab.notebook``: JupyterLab on the notebooks."""

from __future__ import annotations

import sys

from fqdnlab.notebook.jupyter import main

if __name__ == "__main__":
    sys.exit(main())
