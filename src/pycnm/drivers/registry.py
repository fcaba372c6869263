"""Drivers and IPAMs by name: the built-in ones, and those other packages register.

An entry point is loaded when its name is first used, never before: what is
installed and not used costs nothing and can break nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import lru_cache

from pycnm.drivers.base import Driver
from pycnm.errors import CNMError, NotFoundError, PluginError
from pycnm.ipam.base import IPAM

DRIVERS = "pycnm.drivers"
IPAMS = "pycnm.ipam"

# Known without asking the installed packages, which takes 10 ms and more.
_BUILT_IN = {
    DRIVERS: {
        "bridge": "pycnm.drivers.bridge:Bridge",
        "host": "pycnm.drivers.host:Host",
        "ipvlan": "pycnm.drivers.ipvlan:Ipvlan",
        "macvlan": "pycnm.drivers.macvlan:Macvlan",
        "null": "pycnm.drivers.null:Null",
    },
    IPAMS: {
        "default": "pycnm.ipam.default:DefaultIPAM",
        "null": "pycnm.ipam.null:NullIPAM",
    },
}


@lru_cache(maxsize=32)
def driver_class(name: str) -> type[Driver]:
    """The driver class registered under a name.

    Raises:
        NotFoundError: none is.
        PluginError: what is registered isn't one, or can't be imported.
    """
    found = _load(DRIVERS, name)
    if not (isinstance(found, type) and issubclass(found, Driver)):
        raise PluginError(f"what is registered as driver {name!r} is no subclass of pycnm.Driver")
    return found


def driver_with(name: str, options: tuple[tuple[str, str], ...]) -> Driver:
    """A driver with options under Docker's names.

    Raises:
        CNMError: no driver has that name, or it can't have these options.
    """
    return _made(driver_class(name).from_options, options)


# Drivers are frozen, and asked for far more often than networks are made.
@lru_cache(maxsize=1024)
def _made(
    from_options: Callable[[dict[str, str]], Driver], options: tuple[tuple[str, str], ...]
) -> Driver:
    return from_options(dict(options))


@lru_cache(maxsize=32)
def ipam_class(name: str) -> type[IPAM]:
    """The IPAM class registered under a name.

    Raises:
        NotFoundError: none is.
        PluginError: what is registered isn't one, or can't be imported.
    """
    found = _load(IPAMS, name)
    if not (isinstance(found, type) and issubclass(found, IPAM)):
        raise PluginError(f"what is registered as IPAM {name!r} is no subclass of pycnm.IPAM")
    return found


def known(group: str) -> list[str]:
    """The names registered in a group, the built-in ones first."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow, and rarely needed

    others = {entry.name for entry in entry_points(group=group)}
    return [*_BUILT_IN[group], *sorted(others - set(_BUILT_IN[group]))]


def _load(group: str, name: str) -> object:
    path = _BUILT_IN[group].get(name)
    if path is not None:
        module, _, attribute = path.partition(":")
        return getattr(importlib.import_module(module), attribute)
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow, and rarely needed

    for entry in entry_points(group=group, name=name):
        try:
            return entry.load()
        except CNMError:
            raise
        except Exception as error:
            raise PluginError(f"{entry.value}, registered as {name!r}, fails: {error}") from error
    what = "driver" if group == DRIVERS else "IPAM"
    raise NotFoundError(
        f"could not find {what} {name!r}; known are {', '.join(known(group))}, "
        f"and packages register others in the entry-point group {group}"
    )
