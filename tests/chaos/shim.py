# SPDX-License-Identifier: MIT
"""Builds the libraries that are preloaded into a process to make its disk or its clock lie."""

import functools
import os
import subprocess
from pathlib import Path

from cluster import build_folder


@functools.cache
def shim(name):
    """The path of <name>_shim.so; it is never seen half-written."""
    source = Path(__file__).with_name(f"{name}_shim.c")
    library = build_folder() / "chaos" / f"{name}_shim.so"
    library.parent.mkdir(exist_ok=True)
    new = library.with_suffix(f".{os.getpid()}")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-o", str(new),
                    str(source)], check=True)
    new.replace(library)
    return library
