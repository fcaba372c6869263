"""Endpoints: made, joined to a sandbox, left, deleted; their ports live."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import attrs
from netaddr import IPAddress

from pycnm.engine import published, publishing, records, telling, wiring
from pycnm.engine.decision import ENDPOINTS, Decision
from pycnm.engine.endpointrequest import EndpointRequest, endpoint_request
from pycnm.engine.engine import Engine
from pycnm.engine.joining import (
    insert,
    interface_name,
    refuse_down,
    refuse_mismatch,
    revived,
    specify,
)
from pycnm.engine.realising import Escalate, adjust, refitted, use_of
from pycnm.engine.records import EndpointRow, NetworkRow, SandboxRow
from pycnm.errors import InUseError, InvalidArgumentError, NotFoundError, PortInUseError
from pycnm.plan.host import HostFacts
from pycnm.plan.names import TakenInsideError
from pycnm.spec.objects import EndpointSpec
from pycnm.spec.ports import PortBinding, PortSpec
from pycnm.store.locks import Lock

T = TypeVar("T")


def attempt(
    engine: Engine,
    verb: str,
    network: int,
    sandbox: int | None,
    decide: Callable[..., T],
    *,
    forward: bool = False,
) -> T:
    """Carry out a change to endpoints under as few locks as it turns out to need.

    First with the network's lock shared.  If the change makes or unmakes what
    the endpoints of the network share, again with everything held exclusively.
    """
    boxes = [] if sandbox is None else [Lock.sandbox(sandbox)]
    shared = [Lock.network(network, exclusive=False), *boxes]
    whole = [Lock.network(network, exclusive=True), *boxes, Lock.host(exclusive=True)]
    facts: HostFacts | None = None
    while True:
        try:
            return engine.carry_out(
                verb,
                shared if facts is None else whole,
                partial(decide, facts=facts),
                forward=forward,
            )
        except Escalate:
            facts = engine.kernel.facts()


class _Moved(Exception):  # noqa: N818 - look again
    """The endpoint left its sandbox, or joined one, since it was looked up."""


def attempt_on(
    engine: Engine,
    verb: str,
    endpoint: str,
    decide: Callable[[Decision, NetworkRow, EndpointRow, HostFacts | None], T],
    *,
    forward: bool = False,
) -> T:
    """Carry out a change to an endpoint, under the locks of where it is.

    `decide` gets its network and itself as they are under these locks.
    """
    while True:
        with engine.reading() as reader:
            found = records.endpoint(reader, endpoint)

        def decide_there(
            decision: Decision, facts: HostFacts | None, found: EndpointRow = found
        ) -> T:
            row = records.network_by_number(decision.tx, found.network)
            now = records.endpoint(decision.tx, endpoint)
            if now.sandbox != found.sandbox:
                raise _Moved
            return decide(decision, row, now, facts)

        with contextlib.suppress(_Moved):
            return attempt(
                engine, verb, found.network, found.sandbox, decide_there, forward=forward
            )


def create(engine: Engine, network: str, request: EndpointRequest) -> str:
    """Make an endpoint that isn't joined to a sandbox yet; its id."""
    with engine.reading() as reader:
        number = records.network(reader, network).number

    def decide(decision: Decision, facts: HostFacts | None) -> str:
        row = refitted(engine, decision, records.network_by_number(decision.tx, number), facts)
        if not request.name:
            raise InvalidArgumentError("an endpoint without a sandbox needs a name; give one")
        spec = specify(engine, decision, row, request, request.name)
        spec = attrs.evolve(spec, publish=tuple(str(port) for port in request.publish))
        insert(decision, row, spec)
        return spec.id

    return attempt(engine, "create endpoint", number, None, decide)


def connect(engine: Engine, network: str, sandbox: str, request: EndpointRequest) -> str:
    """Make an endpoint and join it, as one change; its id.

    Raises:
        AlreadyExistsError: the sandbox is on the network already.
        AddressInUseError: an address that was asked for is taken.
        PortInUseError: a port is taken.
        PoolExhaustedError: no address is left.
        KernelError: the kernel refused.
    """
    with engine.reading() as reader:
        net = records.network(reader, network).number
        box = records.sandbox(reader, sandbox).number

    def choose(avoid: Sequence[int]) -> str:
        def decide(decision: Decision, facts: HostFacts | None) -> str:
            row = refitted(engine, decision, records.network_by_number(decision.tx, net), facts)
            into = records.sandbox_by_number(decision.tx, box)
            refuse_mismatch(decision.tx, row, into)
            waiting = records.endpoint_named(decision.tx, net, request.name or into.spec.name)
            if waiting is not None and waiting.spec.kept:
                driver, number = engine.driver(row.spec), waiting.number
                spec = revived(driver, row.spec, waiting.spec, request)
            else:
                spec = specify(engine, decision, row, request, into.spec.name)
                number = None
            _join(
                engine,
                decision,
                row,
                into=into,
                endpoint=(spec, number),
                request=request,
                facts=facts,
                avoid=avoid,
            )
            return spec.id

        return attempt(engine, "connect", net, box, decide)

    return with_other_ports(request.publish, choose)


def join(engine: Engine, endpoint: str, sandbox: str, interface: str | None = None) -> None:
    """Join an endpoint to a sandbox.

    Raises:
        InUseError: it is joined already.
    """
    with engine.reading() as reader:
        found = records.endpoint(reader, endpoint)
        box = records.sandbox(reader, sandbox).number
    specs = tuple(PortSpec.parse(text) for text in found.spec.publish)
    request = attrs.evolve(endpoint_request(interface=interface), publish=specs)

    def choose(avoid: Sequence[int]) -> None:
        def decide(decision: Decision, facts: HostFacts | None) -> None:
            row = records.network_by_number(decision.tx, found.network)
            into = records.sandbox_by_number(decision.tx, box)
            now = records.endpoint(decision.tx, endpoint)
            if now.sandbox is not None:
                raise InUseError(
                    "another container is attached to the same network endpoint "
                    f"({now.spec.name}); leave it first"
                )
            refuse_mismatch(decision.tx, row, into)
            _join(
                engine,
                decision,
                row,
                into=into,
                endpoint=(now.spec, now.number),
                request=request,
                facts=facts,
                avoid=avoid,
            )

        attempt(engine, "join", found.network, box, decide)

    with_other_ports(specs, choose)


def leave(engine: Engine, endpoint: str) -> None:
    """Take an endpoint out of its sandbox; it keeps its addresses."""

    def decide(
        decision: Decision, row: NetworkRow, now: EndpointRow, facts: HostFacts | None
    ) -> None:
        if now.sandbox is None:
            raise NotFoundError(
                f"endpoint {now.spec.name} isn't joined to a sandbox; join it first"
            )
        before = use_of(decision, row.number)
        bindings = published.bindings(decision.tx, now.number)
        again = [binding.wish for binding in bindings]
        spec = attrs.evolve(now.spec, sandbox="", interface="", host_interface="", publish=again)
        decision.update(
            ENDPOINTS, now.number, sandbox=None, interface="", host_interface="",
            spec=spec.to_json(),
        )  # fmt: skip
        decision.leave_ports(bindings)
        decision.events += telling.disconnected(decision.tx, now, bindings)
        adjust(engine, decision, row, before, facts)
        detach(engine, decision, now)

    attempt_on(engine, "leave", endpoint, decide)


def delete(engine: Engine, endpoint: str, *, force: bool = False) -> None:
    """Delete an endpoint.

    Raises:
        InUseError: it is joined to a sandbox, and `force` isn't set.
    """

    def decide(
        decision: Decision, row: NetworkRow, now: EndpointRow, facts: HostFacts | None
    ) -> None:
        if now.sandbox is not None and not force:
            raise InUseError(
                f"endpoint with name {now.spec.name} id {now.spec.id[:12]} has active containers; "
                "leave its sandbox first, or disconnect"
            )
        before = use_of(decision, row.number)
        retire(decision, now)
        adjust(engine, decision, row, before, facts)
        detach(engine, decision, now)

    attempt_on(engine, "disconnect", endpoint, decide, forward=True)


def retire(decision: Decision, row: EndpointRow) -> None:
    """Have an endpoint and its ports forgotten; `detach` has them unmade."""
    bindings = published.bindings(decision.tx, row.number)
    decision.leave_ports(bindings)
    decision.events += telling.disconnected(decision.tx, row, bindings)
    decision.leave(ENDPOINTS, row.number)


def detach(engine: Engine, decision: Decision, row: EndpointRow) -> None:
    """Have what the kernel holds for an endpoint unmade, and its sandbox rewired."""
    decision.drop(row.spec.id)
    if row.sandbox is not None:
        wiring.rewire(engine, decision, row.sandbox)


def publish(engine: Engine, endpoint: str, specs: Sequence[PortSpec]) -> list[PortBinding]:
    """Publish more ports of an endpoint, live; the bindings they came to, as it lists them.

    Raises:
        PortInUseError: one is taken; none of them was published.
    """

    def choose(avoid: Sequence[int]) -> list[PortBinding]:
        def decide(
            decision: Decision, row: NetworkRow, now: EndpointRow, facts: HostFacts | None
        ) -> list[PortBinding]:
            if now.sandbox is None:
                raise NotFoundError(
                    f"endpoint {now.spec.name} isn't joined to a sandbox; join it, then publish"
                )
            refuse_down(records.sandbox_by_number(decision.tx, now.sandbox))
            driver = engine.driver(row.spec)
            before = use_of(decision, row.number)
            chooser = publishing.Chooser(decision.tx, engine.kernel.facts, avoid)
            bindings = chooser.choose(driver, row.spec, now.spec, specs)
            first = not published.publishes(decision.tx, now.number)
            publishing.record(decision, now.spec, now.number, row.number, bindings)
            adjust(engine, decision, row, before, facts)
            plan = publishing.plan(driver, row.spec, now.spec, bindings, whole=first)
            decision.add(now.spec.id, plan)
            decision.events += telling.ports(decision.tx, "publish", now, bindings)
            return bindings

        return attempt_on(engine, "publish", endpoint, decide)

    return publishing.listed(with_other_ports(specs, choose))


def unpublish(engine: Engine, endpoint: str, specs: Sequence[PortSpec]) -> None:
    """Publish ports no longer, live."""

    def decide(
        decision: Decision, row: NetworkRow, now: EndpointRow, facts: HostFacts | None
    ) -> None:
        before = use_of(decision, row.number)
        bindings = published.bindings(decision.tx, now.number)
        gone = [b for spec in specs for b in publishing.matching(bindings, spec, now)]
        decision.leave_ports(gone)
        adjust(engine, decision, row, before, facts)
        last = len(gone) == len(bindings)
        ports = publishing.plan(engine.driver(row.spec), row.spec, now.spec, gone, whole=last)
        decision.drop_some(now.spec.id, ports)
        decision.events += telling.ports(decision.tx, "unpublish", now, gone)

    attempt_on(engine, "unpublish", endpoint, decide, forward=True)


def with_other_ports(specs: Sequence[PortSpec], choose: Callable[[Sequence[int]], T]) -> T:
    """Choose again where a chosen port turned out to be some program's.

    Args:
        specs: those of the host that are wanted.
        choose: chooses these and one for the resolver, but not what it is given.
    """
    avoid: list[int] = []
    chooses = not all(spec.exact for spec in specs)
    while True:
        try:
            return choose(avoid)
        except PortInUseError as error:
            # One that was named, or is named for another protocol, fails again.
            chosen = chooses or isinstance(error, TakenInsideError)
            again = chosen and error.port and error.port not in avoid
            if not again or len(avoid) >= publishing.ATTEMPTS:
                raise
            avoid.append(error.port)


def _join(
    engine: Engine,
    decision: Decision,
    row: NetworkRow,
    *,
    into: SandboxRow,
    endpoint: tuple[EndpointSpec, int | None],
    request: EndpointRequest,
    facts: HostFacts | None,
    avoid: Sequence[int],
) -> None:
    """Give an endpoint its interface, its ports, and the sandbox its routes.

    One without a number is recorded here, for the first time.
    """
    spec, number = endpoint
    driver = engine.driver(row.spec)
    before = use_of(decision, row.number)
    spec = attrs.evolve(
        spec,
        sandbox=into.spec.id,
        interface=interface_name(engine, decision.tx, driver, into, request.interface),
        host_interface=driver.host_interface(spec.id),
        publish=(),
        kept=False,
    )
    if number is None:
        number = insert(decision, row, spec, into.number)
    else:
        decision.update(
            ENDPOINTS,
            number,
            sandbox=into.number,
            interface=spec.interface,
            host_interface=spec.host_interface,
            spec=spec.to_json(),
        )
    bindings: list[PortBinding] = []
    if request.publish:
        chooser = publishing.Chooser(decision.tx, engine.kernel.facts, avoid)
        bindings = chooser.choose(driver, row.spec, spec, request.publish)
        publishing.record(decision, spec, number, row.number, bindings)
    adjust(engine, decision, row, before, facts)
    plan = driver.plan_endpoint(row.spec, spec, into.spec, engine.kernel.features)
    ports = publishing.plan(driver, row.spec, spec, bindings, whole=True)
    inside = wiring.plan(engine, decision.tx, into.number, avoid=avoid)
    # The agent first, as it takes a while.
    decision.replace(*inside.names)
    # Then the ports: that one is taken is the likeliest failure of all.
    decision.add(spec.id, publishing.together(plan, ports))
    decision.replace(*inside.routes)
    decision.events += telling.connected(decision.tx, spec, row.number, into.number, bindings)


def _bracketed(address: IPAddress) -> str:
    return f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004
