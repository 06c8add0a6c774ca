"""The installed package: its module, symbols and metadata."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import sprat
from sprat import _native

MODULE = Path(_native.__file__)


def printed(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=90).stdout


def test_the_module_exports_only_its_initialisation():
    symbols = printed("nm", "-D", "--defined-only", "--extern-only", str(MODULE)).splitlines()
    assert [line.split()[-1] for line in symbols] == ["PyInit__native"]


def test_the_module_has_no_soname():
    assert "SONAME" not in printed("readelf", "-d", str(MODULE))


def test_importing_starts_no_thread_opens_no_file_and_loads_no_library_of_the_command():
    code = (
        "import os, threading\n"
        "def counts(): return [len(os.listdir(f'/proc/self/{it}')) for it in ('task', 'fd')]\n"
        "before = counts()\n"
        "import sys, sprat, sprat.aio\n"
        "assert counts() == before, (before, counts())\n"
        "print(sorted({'click', 'rich'} & set(sys.modules)))\n"
    )
    assert printed(sys.executable, "-c", code).strip() == "[]"


def test_the_version_is_the_same_everywhere():
    assert importlib.metadata.version("sprat") == sprat.__version__ == _native.__version__


def test_the_package_is_typed_and_carries_its_licences():
    assert (MODULE.parent / "py.typed").exists()
    assert (MODULE.parent / "_native.pyi").exists()
    files = [str(path) for path in importlib.metadata.files("sprat") or ()]
    assert {Path(path).name for path in files} >= {"LICENSE-MIT", "LICENSE-APACHE"}


def test_one_wheel_serves_all_versions_from_python_3_11_on():
    tags = importlib.metadata.distribution("sprat").read_text("WHEEL")
    assert tags is not None
    assert "Tag: cp311-abi3-" in tags
    assert MODULE.name == "_native.abi3.so"


def test_every_public_name_is_in_all():
    names = {name for name in vars(sprat) if not name.startswith("_")} - {"annotations", "aio"}
    modules = {name for name in names if f"sprat.{name}" in sys.modules}
    assert names - modules == set(sprat.__all__) - {"__version__"}
