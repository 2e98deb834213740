# SPDX-License-Identifier: MIT
"""How the programs are built: what the Makefile's HARDENING and LINK ask for is in the files."""

import platform
import re
import subprocess

import pytest

from cluster import REPO, build_folder

PROGRAMS = ["chat-gateway", "chat-persister"]


def readelf(program, *flags):
    if not program.exists():
        pytest.skip(f"{program} is not built")
    return subprocess.run(["readelf", "-W", *flags, str(program)], capture_output=True, text=True,
                          check=True, timeout=30).stdout


@pytest.fixture(params=PROGRAMS)
def tested(request):
    """A program of the build that is tested, with sanitizers or without."""
    return build_folder() / request.param


@pytest.fixture(params=PROGRAMS)
def plain(request):
    """A program as it is installed. ./dev test builds it, too."""
    folder = build_folder()
    sanitized = "__asan_init" in readelf(folder / request.param, "--dyn-syms")
    return (REPO / "build" if sanitized else folder) / request.param


def functions(program):
    """What it takes from the C library."""
    table = readelf(program, "--dyn-syms")
    return set(re.findall(r" UND (\w+)(?:@|\s|$)", table, re.M))


def segments(program):
    """(type, flags) of each program header."""
    return re.findall(r"^  (\w+) +(?:0x\w+ +){5}([RWE ]{3}) ", readelf(program, "-l"), re.M)


def test_addresses_are_random(tested):
    assert re.search(r"Type: +DYN ", readelf(tested, "-h"))
    dynamic = readelf(tested, "-d")
    assert re.search(r"\(FLAGS_1\) .*\bPIE\b", dynamic)
    assert "TEXTREL" not in dynamic


def test_relocations_are_read_only_from_the_start(tested):
    assert "GNU_RELRO" in [name for name, flags in segments(tested)]
    assert re.search(r"\(FLAGS_1\) .*\bNOW\b", readelf(tested, "-d"))


def test_nothing_is_writable_and_executable(tested):
    found = segments(tested)
    assert "GNU_STACK" in [name for name, flags in found]
    assert [s for s in found if "W" in s[1] and "E" in s[1]] == []
    assert any(name == "LOAD" and "E" in flags for name, flags in found)


def test_libraries_come_from_the_system_alone(tested):
    assert not re.search(r"\((RPATH|RUNPATH)\)", readelf(tested, "-d"))


def test_stacks_are_protected(tested):
    assert "__stack_chk_fail" in functions(tested)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="looks for instructions of x86-64")
def test_stacks_cannot_jump_over_the_guard(plain):
    """A large frame is touched page by page."""
    if not plain.exists():
        pytest.skip(f"{plain} is not built")
    code = subprocess.run(["objdump", "-d", str(plain)], capture_output=True, text=True, check=True,
                          timeout=120).stdout
    assert re.search(r"sub +\$0x1000,%rsp\n.*\s(?:or|mov)q +\$0x0,\(%rsp\)", code)


def test_the_library_checks_bounds(plain):
    fortified = {name for name in functions(plain) if name.endswith("_chk")}
    assert {"__snprintf_chk", "__memcpy_chk"} & fortified, fortified
