"""Which object of a controller appears where in the tree."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from typing import TypeVar

import cnmfs
import pycnm
from cnmfs import networks, sandboxes, values
from cnmfs.applying import apply
from cnmfs.clones import Clones
from cnmfs.events import Journal
from cnmfs.patience import Patience
from cnmfs.reasons import Caller, Reasons
from cnmfs.tree import DOCUMENT_MAX, Directory, File, Node, fixed, refuse
from pycnm.drivers import Driver
from pycnm.drivers.registry import DRIVERS, driver_class, known
from pycnm.spec.options import Option


class Layout:
    """The tree of a controller.

    Args:
        cnm: whose objects it shows.
        reasons: why calls failed.
        caller: who is calling just now.
        patience: how callers wait for events.

    Attributes:
        root: of the tree.
        journal: of its events.
        clones: the sandboxes that hang on open files.
    """

    def __init__(
        self,
        cnm: pycnm.Controller,
        reasons: Reasons,
        caller: Callable[[], Caller],
        patience: Patience,
    ) -> None:
        self._cnm = cnm
        self._reasons = reasons
        self.journal = Journal(cnm, patience)
        self.clones = Clones(cnm)
        self.root = fixed(
            {
                "README": File(read=_readme),
                "version": File(read=_version),
                "events": self.journal.file(),
                "last_error": File(live=True, read=lambda: reasons.last(caller())),
                "error_log": File(mode=0o644, live=True, read=reasons.log, write=self._clear),
                "networks.json": File(read=lambda: _documents(cnm.networks())),
                "sandboxes.json": File(read=lambda: _documents(cnm.sandboxes())),
                "apply": File(
                    mode=0o200,
                    write=lambda text: apply(cnm, text),
                    limit=DOCUMENT_MAX,
                    goes_on=values.unfinished,
                ),
                "drivers": self._drivers(),
                "ipam": fixed({"default": fixed({"pools": File(read=self._pools)})}),
                "networks": self._networks(),
                "sandboxes": self._sandboxes(),
            },
            hidden={"events_pipe": self.journal.pipe()},
            mode=0o755,
            hint="objects are made in networks and sandboxes",
        )

    def _drivers(self) -> Directory:
        return Directory(names=lambda: known(DRIVERS), look=lambda name: _driver(self._cnm, name))

    def _clear(self, text: str) -> None:
        if text.strip():
            raise refuse(errno.EINVAL, "an empty write clears the log; nothing else can be written")
        self._reasons.clear()

    def _pools(self) -> str:
        """Each subnet that is held: whose, how many addresses are taken, how many free."""
        return "".join(
            f"{subnet} network={network.name} used={status.ips_in_use} "
            f"free={status.dynamic_ips_available}\n"
            for network in self._cnm.networks()
            for subnet, status in network.usage().items()
        )

    def _extra(self, path: str) -> dict[str, Node]:
        return {"last_error": File(live=True, read=lambda: self._reasons.of(path))}

    def _networks(self) -> Directory:
        cnm = self._cnm

        def look(name: str) -> Node | None:
            found = _present(cnm.network, name)
            extra = self._extra(f"networks/{name}")
            return None if found is None else networks.directory(*found, extra)

        def make(name: str) -> None:
            cnm.create_network(name)

        return Directory(
            mode=0o755,
            names=cnm.network_names,
            look=look,
            make=make,
            remove=lambda name: cnm.network(name).delete(),
            rename=lambda old, new: cnm.network(old).rename(new),
            hint="make a network with mkdir, delete it with rmdir",
        )

    def _sandboxes(self) -> Directory:
        cnm = self._cnm

        def look(name: str) -> Node | None:
            found = _present(cnm.sandbox, name)
            if found is None:
                return self.clones.file() if name == "clone" else None

            def extra(path: str) -> dict[str, Node]:
                return self._extra(f"sandboxes/{name}/{path}")

            return sandboxes.directory(cnm, *found, extra)

        def make(name: str) -> None:
            cnm.create_sandbox(name)

        def remove(name: str) -> None:
            box = cnm.sandbox(name)
            names = ", ".join(endpoint.network.name for endpoint in box.endpoints)
            if names:
                raise refuse(
                    errno.EBUSY,
                    f"{name} is connected to {names}; rmdir {name}/endpoints/* first",
                )
            box.delete()

        return Directory(
            mode=0o755,
            names=cnm.sandbox_names,
            look=look,
            make=make,
            remove=remove,
            hint="make a sandbox with mkdir, delete it with rmdir",
        )


T = TypeVar("T", pycnm.Network, pycnm.Sandbox)


def _present(find: Callable[[str], T], name: str) -> tuple[T, str] | None:
    """The object of that name, and when it was made; what only an id begins with is none."""
    with contextlib.suppress(pycnm.NotFoundError, pycnm.InvalidArgumentError):
        found = find(name)
        spec = found.spec
        if spec.name == name:
            return found, spec.created
    return None


def _documents(things: Iterable[pycnm.Network | pycnm.Sandbox]) -> str:
    return values.document([thing.inspect() for thing in things])


def _readme() -> str:
    return resources.files(cnmfs).joinpath("README").read_text()


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - slow, and rarely read

    return values.keyed({"pycnm": version("pycnm")})


def _driver(cnm: pycnm.Controller, name: str) -> Node | None:
    if name not in known(DRIVERS):
        return None
    cls = driver_class(name)
    return fixed(
        {
            "scope": File(read=lambda: values.line(cls.scope)),
            "kernel": File(
                read=lambda: "".join(
                    f"{part}\n" for part in cnm.kernel_parts() if name in part.drivers
                )
            ),
            "capabilities": File(read=lambda: values.line(" ".join(_capabilities(cls)))),
            "options": File(
                read=lambda: "".join(
                    f"{option.key} {_default(option)}  # {option.help}\n"
                    for option in cls.option_table
                )
            ),
        }
    )


def _capabilities(cls: type[Driver]) -> Iterator[str]:
    if cls.publishes:
        yield "publish"
    if cls.shapes:
        yield "rate"
    if cls.forwards:
        yield "forwarding"
    if cls.owns_subnets:
        yield "subnets"
    if cls.single:
        yield "single"


def _default(option: Option) -> str:
    return "-" if option.default is None else option.format(option.default)
