"""Operations on how a sandbox finds others by name: the resolver, and the files that lead to it."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from shlex import quote

import attrs

from pycnm.errors import PortInUseError
from pycnm.nft.divert import ADDRESS, TABLE, divert
from pycnm.nft.objects import Object, Table
from pycnm.plan.links import inside
from pycnm.plan.operation import Operation
from pycnm.plan.rules import quoted

ETC_NETNS = "/etc/netns"
"""Where ip-netns(8) looks for the files of a namespace."""
FIRST_PORT, LAST_PORT = 61000, 65535
"""Ports for the resolver: the kernel gives them to nobody (ip_local_port_range)."""

_LONGEST = 1 << 16
_WRITTEN = "# Written by pycnm ("
_UNLESS = "); once edited, the file stays as it is left.\n"


class TakenInsideError(PortInUseError):
    """A program in a sandbox has the port that was chosen for the resolver; another will do."""


@attrs.frozen
class Resolver(Operation):
    """Two sockets of the agent in a sandbox's namespace, UDP and TCP, at which it answers names.

    Attributes:
        ns: the path of the namespace.
        sandbox: the id of the sandbox: what it can see is answered.
        port: of 127.0.0.11.
    """

    ns: str
    sandbox: str
    port: int

    def __str__(self) -> str:
        # A comment ends with its line.
        where = self.ns.replace("\n", "?")
        return f"# `cnm agent` answers names at {ADDRESS}:{self.port} in {where}"

    def within(self) -> tuple[Hashable, ...]:
        """The namespace: in another one of that name there are other sockets."""
        return (("namespace", self.ns),)

    def lingers(self) -> bool:
        """As the agent's sockets keep the namespace."""
        return True


@attrs.frozen
class Divert(Operation):
    """What goes to port 53 of 127.0.0.11 in a namespace gets to another port of it."""

    ns: str
    port: int

    def __str__(self) -> str:
        return "\n".join(f"{inside(self.ns)}nft {quoted(f'add {item}')}" for item in self.objects)

    def subject(self) -> Hashable:
        """The table: it is amended, not made again."""
        return ("divert", self.ns)

    def within(self) -> tuple[Hashable, ...]:
        """The namespace."""
        return (("namespace", self.ns),)

    @property
    def objects(self) -> tuple[Object, ...]:
        """The table, the chain and its rules."""
        return divert(self.port)

    @property
    def table(self) -> Table:
        """The table itself."""
        return TABLE


@attrs.frozen
class TextFile(Operation):
    """A file of a sandbox, `hosts` or `resolv.conf`, unless somebody has edited it.

    Its last line has a digest of the rest: where that doesn't fit, somebody has
    written to the file, and it is his from then on.

    Attributes:
        text: what is in it, less that line.
    """

    path: str
    text: str

    def __str__(self) -> str:
        end = "EOF"
        while f"\n{end}\n" in f"\n{self.content}":
            end += "F"
        return f"cat > {quote(self.path)} << '{end}'\n{self.content}{end}"

    def subject(self) -> Hashable:
        """The file: who has it open, or bound over another, sees what becomes of it."""
        return ("file", self.path)

    def within(self) -> tuple[Hashable, ...]:
        """Its directory."""
        return (("directory", self.path.rpartition("/")[0]),)

    @property
    def content(self) -> str:
        """All of the file."""
        # Of a host that is a sandbox itself, the resolv.conf has such a line already.
        text = self.text.replace(_WRITTEN, "# (")
        return f"{text}{_WRITTEN}{_digest(text)}{_UNLESS}"


def unsigned(content: str) -> str:
    """What is in a file, less the line that says who wrote it."""
    text, written, rest = content.partition(_WRITTEN)
    return text if written and rest.endswith(_UNLESS) else content


def is_edited(content: str) -> bool:
    """Whether somebody else has written to a file that was a `TextFile`.

    One that was cut short while pycnm wrote it is not: it is empty, or the new
    text with the end of the longer old one behind, or zeros behind the old one.
    """
    content = content.rstrip("\0")
    if not content:
        return False
    text, written, rest = content.partition(_WRITTEN)
    said = f"{_digest(text)}{_UNLESS}"
    if not written or len(content) > _LONGEST or not rest.startswith(said):
        return True
    left = rest[len(said) :]
    return not (left.endswith(_UNLESS) or _UNLESS.endswith(left))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@attrs.frozen
class NetnsFiles(Operation):
    """`/etc/netns/NAME` leads to the files of a sandbox: `ip netns exec NAME` shows them.

    What somebody else has there stays, and so does a /etc that can't be written to.

    Attributes:
        name: of the namespace under /run/netns.
        directory: where the files are.
    """

    name: str
    directory: str

    def __str__(self) -> str:
        return f"mkdir -p {ETC_NETNS}; ln -s {quote(self.directory)} {quote(self.path)}"

    def subject(self) -> Hashable:
        """The link."""
        return ("netns files", self.name)

    @property
    def path(self) -> str:
        """The link itself."""
        return f"{ETC_NETNS}/{self.name}"
