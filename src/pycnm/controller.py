"""The Controller: opens a state directory and a host, makes and finds everything else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pycnm.engine import drift, following, naming, networks, parts, records, recovery, sandboxes
from pycnm.engine.engine import Engine
from pycnm.engine.filters import matching
from pycnm.engine.naming import Naming
from pycnm.engine.parts import KernelPart
from pycnm.engine.request import flag, network_request
from pycnm.engine.wishes import sandbox_spec
from pycnm.errors import (
    InUseError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from pycnm.kernel import netns
from pycnm.kernel.linux import LinuxKernel
from pycnm.network import Network
from pycnm.plan.operation import Plan
from pycnm.sandbox import Sandbox
from pycnm.spec.wording import shown

if TYPE_CHECKING:
    from netaddr import IPAddress

    from pycnm.drivers.base import Driver
    from pycnm.engine.kernel import Kernel
    from pycnm.spec.events import Event

DEFAULT_STATE_DIR = "/var/lib/cnm"


class Controller:
    """Networks, sandboxes and endpoints of one host.

    May be used by any thread, and several processes may have one on the same
    state directory at once.  Opening it makes nothing in the kernel, but takes
    back what a process that died had left half-done.

    Args:
        state_dir: where everything is recorded; made with mode 0700 if absent.
        host: the network namespace that plays the machine, by name (under
            /run/netns), path or pid; by default the calling thread's.
        dns: whether names are answered in sandboxes that it connects.  Without, they
            ask the host's servers, and find nobody by name; those that were connected
            with it keep it.
        ipv6: whether the default network has IPv6 beside IPv4, in a subnet of its own
            (`ipv6` of Docker's daemon); None leaves it as it is, at first without.
        kernel: what plans run on, if not this machine's kernel: see `pycnm.testing`.

    Attributes:
        troubles: what a dead process left and could not be taken back yet, in words.

    Raises:
        InvalidArgumentError: an argument is malformed.
        NotFoundError: there is no such namespace.
        PermissionDeniedError: the state directory is not the caller's.
        StoreError: the database is damaged, or a newer version's.
        InUseError: the state directory belongs to another host that runs; or the
            default network has endpoints, and isn't as `ipv6` says.
    """

    def __init__(
        self,
        state_dir: str | os.PathLike[str] = DEFAULT_STATE_DIR,
        *,
        host: str | int | os.PathLike[str] | None = None,
        dns: bool = True,
        ipv6: bool | None = None,
        kernel: Kernel | None = None,
    ) -> None:
        directory = _directory(state_dir)
        answered = flag(dns, "dns")
        six = None if ipv6 is None else flag(ipv6, "ipv6")
        path = "" if host is None else netns.resolve(host)
        self._own_machine = not path or netns.identity(path) == netns.identity(netns.this_thread())
        try:
            machine = kernel or LinuxKernel(path or None, directory)
            try:
                self._engine = Engine(directory, machine, dns=answered)
            except BaseException:
                machine.close()
                raise
            try:
                self.troubles = recovery.settle_in(self._engine, path)
                with self._engine.reading() as reader:
                    fresh = records.meta(reader, "host_id") is None
                if fresh:
                    networks.predefine(self._engine)
                if six is not None and self.network("bridge").spec.ipv6 != six:
                    self.network("bridge").configure(ipv6=six)
            except BaseException:
                self._engine.close()
                raise
        except PermissionError as error:
            if isinstance(error, PermissionDeniedError):
                raise
            raise PermissionDeniedError(
                f"not allowed to open {error.filename or directory} ({error.strerror}); run as root"
            ) from error

    def close(self) -> None:
        """Let go of everything held open.  Networks and sandboxes stay."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Controller({str(self._engine.state_dir)!r})"

    # Making

    def create_network(
        self,
        name: str,
        driver: str | Driver = "bridge",
        *,
        subnet: object = None,
        gateway: object = None,
        ip_range: object = None,
        aux_addresses: Mapping[str, object] | None = None,
        ipv4: bool = True,
        ipv6: bool = False,
        internal: bool = False,
        attachable: bool = False,
        ipam: str = "default",
        ipam_options: Mapping[str, str] | None = None,
        options: Mapping[str, object] | None = None,
        labels: Mapping[str, str] | Iterable[str] | None = None,
        parent: str | None = None,
        routes: Iterable[str] = (),
    ) -> Network:
        """A new network, there in the kernel.

        Args:
            name: as Docker takes it, `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
            driver: a registered name, or a value such as `Bridge(mtu=1400)`.
            subnet: `10.20.30.0/24`; one of each family, or a list of them; a
                length alone (`0.0.0.0/24`, `::/64`) for a free one of that size;
                by default the next free one.
            gateway: by default the first address of the subnet, or of `ip_range`.
            ip_range: the part of the subnet that automatic addresses come from.
            aux_addresses: names of addresses that nobody gets, but for `DefaultGatewayIPv4`
                and `DefaultGatewayIPv6` of a bridge network: by these its default routes
                go, and an endpoint that forwards may have them.
            ipv4, ipv6: which families it has; an IPv6 subnet switches `ipv6` on.
            internal: nothing in or out.
            attachable: shown by inspect; every network of one host is.
            ipam: who decides the addresses; `ipam_options` are its own.
            options: the driver's, under Docker's names; an unknown one is refused.
            labels: kept and shown.
            parent: the host's interface, for drivers that have one.
            routes: static routes of every sandbox on it, as ip-route(8) says them:
                "10.9.0.0/16 via 10.20.30.5 metric 100".  The next hop is an address of
                the subnet; without one, it is what is on the wire itself.  Who is the
                next hop doesn't have the route, nor who is in the destination himself.

        Raises:
            InvalidArgumentError: an argument is malformed; what would be right is said.
            OutOfSubnetError: an address, or a next hop, is not of the subnet.
            NotPermittedError: the name is a predefined network's.
            NotFoundError: no driver or IPAM of that name.
            AlreadyExistsError: the name, or the bridge, is another network's.
            PoolOverlapError: the subnet is another network's, or the host's.
            PoolExhaustedError: no subnet is left.
            KernelError: the kernel refused; nothing was left behind.

        Source:
            docker-network-create(1); for what the driver makes, its own page.
        """
        request = network_request(
            name,
            driver,
            subnet=subnet,
            gateway=gateway,
            ip_range=ip_range,
            aux_addresses=aux_addresses,
            ipv4=ipv4,
            ipv6=ipv6,
            internal=internal,
            attachable=attachable,
            ipam=ipam,
            ipam_options=ipam_options,
            options=options,
            labels=labels,
            parent=parent,
            routes=routes,
        )
        return Network(self._engine, networks.create(self._engine, request).spec.id)

    def plan_network(self, name: str, driver: str | Driver = "bridge", **wishes: Any) -> Plan:
        """What `create_network` would do, printable; nothing is done or recorded.

        Raises:
            CNMError: whatever `create_network` would raise before it asks the kernel.
        """
        return networks.plan(self._engine, network_request(name, driver, **wishes))

    def create_sandbox(
        self,
        name: str,
        *,
        netns: str | int | os.PathLike[str] | None = None,
        hostname: str | None = None,
        dns: Iterable[str] = (),
        dns_search: Iterable[str] = (),
        dns_options: Iterable[str] = (),
        extra_hosts: Mapping[str, str] | Iterable[str] = (),
        labels: Mapping[str, str] | Iterable[str] | None = None,
    ) -> Sandbox:
        """A new sandbox: a network namespace, also seen by `ip netns`.

        Args:
            name: as for a network; also the namespace's under /run/netns.
            netns: an existing namespace to adopt, by name, path or pid: it is
                never deleted.  "host" makes a sandbox of the host itself.
            hostname: what it calls itself in its hosts file; by default `name`.
            dns: servers that are asked, from inside, for what isn't a name on its networks;
                by default the host's, asked from the host.
            dns_search, dns_options: of its resolv.conf, in the place of the host's; the
                search domain `.` stands for none.
            extra_hosts: names and addresses for its hosts file, `name:address`;
                `host-gateway` stands for the addresses at which it reaches the host.

        Raises:
            InvalidArgumentError: an argument is malformed, or `netns` leads to the
                host's own namespace.
            NotFoundError: there is no namespace to adopt.
            AlreadyExistsError: the name is taken, or the namespace is.
            KernelError: the kernel refused; nothing was left behind.

        Source:
            ip-netns(8), network_namespaces(7).
        """
        spec = sandbox_spec(
            name,
            netns=netns,
            hostname=hostname,
            dns=dns,
            dns_search=dns_search,
            dns_options=dns_options,
            extra_hosts=extra_hosts,
            labels=labels,
        )
        row = sandboxes.create(self._engine, spec, own_machine=self._own_machine)
        return Sandbox(self._engine, row.spec.id)

    # Finding

    def network(self, ref: str) -> Network:
        """The network with that id, name, or unique beginning of an id, in this order.

        Raises:
            NotFoundError: there is none.
            InvalidArgumentError: malformed, or several ids begin like that.
        """
        with self._engine.reading() as reader:
            identity = records.network(reader, ref).spec.id
        return Network(self._engine, identity)

    def sandbox(self, ref: str) -> Sandbox:
        """The sandbox with that id, name, or unique beginning of an id, in this order.

        Raises:
            NotFoundError: there is none.
            InvalidArgumentError: malformed, or several ids begin like that.
        """
        with self._engine.reading() as reader:
            identity = records.sandbox(reader, ref).spec.id
        return Sandbox(self._engine, identity)

    def networks(self, **filters: object) -> list[Network]:
        """The networks, the oldest first.

        Args:
            filters: as of `docker network ls`: `name`, `id` (part or regular
                expression), `driver`, `scope`, `label`, `type`, `dangling`; a
                value, or a list of which any may match; of labels, all must.

        Raises:
            InvalidArgumentError: an unknown filter, or a value it can't have.
        """
        with self._engine.reading() as reader:
            rows = matching(reader, filters)
        return [Network(self._engine, row.spec.id) for row in rows]

    def sandboxes(self) -> list[Sandbox]:
        """The sandboxes, the oldest first."""
        with self._engine.reading() as reader:
            rows = records.sandboxes(reader)
        return [Sandbox(self._engine, row.spec.id) for row in rows]

    def network_names(self) -> list[str]:
        """The names of the networks, the oldest first; quicker than asking each."""
        with self._engine.reading() as reader:
            return records.names_of(reader, "networks")

    def sandbox_names(self) -> list[str]:
        """The names of the sandboxes, the oldest first; quicker than asking each."""
        with self._engine.reading() as reader:
            return records.names_of(reader, "sandboxes")

    def kernel_parts(self) -> list[KernelPart]:
        """What this kernel has of what not every kernel has, found by trying.

        Each prints as a sentence, with what it costs where it is missing.
        """
        return parts.kernel_parts(self._engine.kernel)

    def resolve(self, name: str) -> list[IPAddress]:
        """The addresses of whoever has a name, on whichever network; none if nobody has it.

        Args:
            name: of a sandbox or an endpoint, an alias, a host name or a short id, in
                upper or lower case; with the network's behind it, `web.my_bridge`, if only
                that network is meant.

        Raises:
            InvalidArgumentError: it isn't a name.

        Source:
            Docker's embedded DNS server, whose names these are.
        """
        labels = naming.labels(name)
        with self._engine.reading() as reader:
            return naming.addresses(Naming(reader).everything(), labels)

    # Watching

    @property
    def revision(self) -> int:
        """A number that is another one after every change, by whichever process.

        For who keeps what they have read until something changes: what is recorded
        has not changed while it is the same.  Of the kernel it says nothing.  Numbers of
        two controllers can't be compared.

        Raises:
            StoreError: the controller is closed.
        """
        return self._engine.db.revision()

    def events(
        self, follow: bool = False, since: object = None, until: object = None
    ) -> Generator[Event, None, None]:
        """What was changed, by whichever process, the oldest first.

        A change has its events when it is final; one that fails has none.  The
        last 1,000 are kept.

        Args:
            follow: go on with what comes, until the controller is closed.  `close()` of
                what is returned lets go of what it waits with.
            since: only what came after this event, or the event of this number; or
                what came at this moment or later: a datetime, or text as of
                `docker events`: RFC 3339, seconds since 1970, how long ago (`10m`), `now`.
            until: only what came up to this moment; a follower ends when it has passed.

        Raises:
            InvalidArgumentError: an argument is malformed.
            StoreError: the controller is closed.
            KernelError: there are too many followers.

        Source:
            docker-events(1), inotify(7).
        """
        following_on = flag(follow, "follow")
        return following.events(self._engine, follow=following_on, since=since, until=until)

    def kernel_changes(self) -> Generator[None, None, None]:
        """Something of the kernel has changed, of whatever networks are made of, by anybody.

        Heard are links, addresses, routes and rules of the host and of every sandbox; what
        has changed isn't told.  It goes on until the controller is closed.

        Raises:
            NotSupportedError: the controller has no real kernel.
            KernelError: the kernel can't be heard.

        Source:
            rtnetlink(7), netlink(7), NETLINK_LISTEN_ALL_NSID.
        """
        return following.kernel_changes(self._engine)

    # Keeping

    def check(self) -> list[str]:
        """How the kernel differs from what is recorded, a sentence each; empty when all is well."""
        return [*self.troubles, *drift.check(self._engine)]

    def reconcile(self) -> list[str]:
        """Put back what somebody removed; what was done, as commands.

        Raises:
            CleanupError: some of it could not be put back.
        """
        done = drift.reconcile(self._engine)
        self.troubles = []
        return done

    def prune(self) -> list[str]:
        """Delete every network of users' that nothing is connected to; their names."""
        names = []
        for network in self.networks(dangling=True):
            # One that somebody connects to, or deletes, meanwhile is no waste.
            with contextlib.suppress(InUseError, NotFoundError):
                name = network.name
                network.delete()
                names.append(name)
        return names


def _directory(value: object) -> Path:
    if not isinstance(value, (str, os.PathLike)):
        raise InvalidArgumentError(
            f"invalid state_dir {shown(value)}: give the path of a directory"
        )
    text = os.fspath(value)
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidArgumentError(
            f"invalid state_dir {shown(value)}: give the path of a directory"
        )
    return Path(text).absolute()
