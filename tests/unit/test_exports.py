"""What the package offers by name: it resolves, it is documented, it costs nothing to import."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import pycnm
import pycnm.drivers
import pycnm.errors
import pycnm.testing

SOURCE = Path(pycnm.__file__).parent
PUBLIC = {"pycnm": pycnm, "pycnm.drivers": pycnm.drivers, "pycnm.testing": pycnm.testing}
NAMES = [(module, name) for module in PUBLIC for name in PUBLIC[module].__all__]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_name_resolves_and_is_documented(module, name):
    value = getattr(PUBLIC[module], name)
    assert inspect.getdoc(value), f"{module}.{name} says nothing of itself"
    assert value.__name__.rpartition(".")[2] == name


def test_all_is_what_there_is():
    assert len(set(pycnm.__all__)) == len(pycnm.__all__)
    assert set(pycnm.__all__) <= set(dir(pycnm))
    with pytest.raises(AttributeError, match="module 'pycnm' has no attribute 'Nothing'"):
        _ = pycnm.Nothing


def test_every_error_is_offered():
    errors = {
        name
        for name, value in vars(pycnm.errors).items()
        if inspect.isclass(value) and issubclass(value, pycnm.CNMError)
    }
    assert errors <= set(pycnm.__all__)
    for name in errors:
        assert getattr(pycnm, name) is getattr(pycnm.errors, name)
        assert isinstance(getattr(pycnm, name).errno, int)


@pytest.mark.parametrize("name", [name for name in pycnm.__all__ if name != "errors"])
def test_every_public_member_is_documented(name):
    value = getattr(pycnm, name)
    for member, what in vars(value).items():
        if member.startswith("_") or not (callable(what) or isinstance(what, property)):
            continue
        assert inspect.getdoc(getattr(value, member)), f"{name}.{member} says nothing of itself"


def test_type_checkers_see_every_name():
    """The names are loaded when they are used; a checker reads the imports for it alone."""
    text = (SOURCE / "__init__.py").read_text()
    seen = text.partition("if TYPE_CHECKING:")[2].partition("_HOMES")[0]
    for name in pycnm.__all__:
        assert f"import {name} as {name}\n" in seen
    assert (SOURCE / "py.typed").exists()


def python(*lines):
    """What a fresh Python prints, given lines."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(SOURCE.parent)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_loads_nothing():
    loaded = python(
        "import sys",
        "before = set(sys.modules)",
        "import pycnm",
        "print(*set(sys.modules) - before)",
    )
    ours = {name for name in loaded if name.startswith("pycnm")}
    assert ours == {"pycnm"}
    assert not {"pyroute2", "netaddr", "sqlite3", "attr", "ctypes", "subprocess"} & set(loaded)


def test_only_what_people_look_at_needs_pyroute2():
    loaded = python(
        "import sys, tempfile, pycnm, pycnm.testing",
        "kernel = pycnm.testing.FakeKernel()",
        "with pycnm.Controller(tempfile.mkdtemp(), kernel=kernel) as cnm:",
        "    net = cnm.create_network('one')",
        "    net.connect(cnm.create_sandbox('two'))",
        "    net.inspect()",
        "print(*sys.modules)",
    )
    assert not [name for name in loaded if name.startswith("pyroute2")]


@pytest.mark.parametrize("name", ["Plan", "PortSpec", "DefaultIPAM", "Bridge"])
def test_values_need_no_kernel(name):
    loaded = python("import sys, pycnm", f"pycnm.{name}", "print(*sys.modules)")
    assert not [module for module in loaded if module.startswith(("pycnm.kernel", "pycnm.engine"))]
