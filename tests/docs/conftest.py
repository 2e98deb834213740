# SPDX-License-Identifier: MIT
"""These tests need no cluster; `documents` is beside this."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "integration", HERE.parents[1] / "docs/diagrams"):
    sys.path.insert(0, str(folder))
