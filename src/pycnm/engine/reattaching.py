"""An endpoint that exists, given other addresses, names, routes, a priority or a rate."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

import attrs
from netaddr import IPAddress, IPNetwork

from pycnm.engine import published, telling, wiring
from pycnm.engine.attaching import attempt_on
from pycnm.engine.decision import ENDPOINTS, Decision
from pycnm.engine.endpointrequest import endpoint_request
from pycnm.engine.engine import Engine
from pycnm.engine.joining import forwards, lease, led, shaped
from pycnm.engine.placing import placed, refuse_apart
from pycnm.engine.planning import plan_endpoint
from pycnm.engine.records import EndpointRow, NetworkRow
from pycnm.errors import AddressInUseError, InUseError, InvalidArgumentError
from pycnm.plan.host import HostFacts
from pycnm.spec import macs
from pycnm.spec.objects import EndpointSpec
from pycnm.spec.wording import shown

_CHANGES = (
    "ip", "ip6", "mac", "aliases", "gateway_priority", "rate", "routes", "forwarding", "vlan",
)  # fmt: skip


def configure(engine: Engine, endpoint: str, changes: Mapping[str, Any]) -> None:
    """Change an endpoint, as one change; joined or not.

    Raises:
        InvalidArgumentError: there is no such setting, or a value is malformed.
        AddressInUseError: an address is taken.
        InUseError: it has published ports, which lead to the address it has.
        KernelError: the kernel refused; everything is as it was.
    """
    for name in changes:
        if name not in _CHANGES:
            raise InvalidArgumentError(
                f"an endpoint has no setting {shown(name)} that can be changed; it has "
                f"{', '.join(_CHANGES)}"
            )
    # Whatever is malformed is so before anything is looked up.
    endpoint_request(**changes)

    def decide(
        decision: Decision, row: NetworkRow, now: EndpointRow, facts: HostFacts | None
    ) -> None:
        del facts
        spec = _specify(engine, decision, row, now, changes)
        # To netaddr two addresses with the length of one subnet are the same.
        if spec.to_json() != now.spec.to_json():
            _apply(engine, decision, row, now._replace(spec=spec))

    attempt_on(engine, "configure endpoint", endpoint, decide)


def _specify(
    engine: Engine,
    decision: Decision,
    row: NetworkRow,
    now: EndpointRow,
    changes: Mapping[str, Any],
) -> EndpointSpec:
    """The new specification, with the new addresses leased; the old ones are kept until the end."""
    request, old = endpoint_request(**changes), now.spec

    def address(
        version: int, present: IPNetwork | None, wanted: IPAddress | None
    ) -> IPNetwork | None:
        if wanted is None or (present is not None and present.ip == wanted):
            return present
        if published.publishes(decision.tx, now.number):
            raise InUseError(
                f"endpoint {old.name} has published ports that lead to {present}; unpublish them "
                "first, and publish them again afterwards"
            )
        return lease(engine, decision, row, version=version, wanted=wanted, name=old.name)

    driver = engine.driver(row.spec)
    ip, ip6 = address(4, old.ip, request.ip), address(6, old.ip6, request.ip6)
    # What followed from the address does so again.
    follows = ip and old.ip and old.mac == macs.mac_for(old.ip.ip)
    mac = old.mac
    if request.mac is not None or follows:
        mac = driver.mac(row.spec, request.mac, ip.ip if ip else None)
    options = request.options if "vlan" in changes else old.options
    place = placed(driver, row.spec, ip, ip6, options)
    # What was looked up once stays, but for what follows from what changes.
    for name, same in (("gateway", _same(ip, old.ip)), ("gateway6", _same(ip6, old.ip6))):
        if same and options == old.options:
            place[name] = getattr(old, name)
    priority = request.gateway_priority
    routes = request.routes if "routes" in changes else old.routes
    forwarding = request.forwarding if "forwarding" in changes else old.forwarding
    own = [each for each in (ip, ip6) if each is not None]
    new = attrs.evolve(
        old,
        ip=ip,
        ip6=ip6,
        mac=mac,
        **place,
        aliases=request.aliases if "aliases" in changes else old.aliases,
        gateway_priority=priority if "gateway_priority" in changes else old.gateway_priority,
        rate=shaped(driver, row.spec, request.rate) if "rate" in changes else old.rate,
        routes=led(driver, row.spec, old.name, routes, own),
        forwarding=forwards(driver, row.spec, forwarding, own),
    )
    if published.publishes(decision.tx, now.number):
        refuse_apart(driver, row.spec, new)
    return new


def _same(one: IPNetwork | None, other: IPNetwork | None) -> bool:
    """Whether two addresses are one; to netaddr all with the length of a subnet are."""
    return str(one) == str(other)


def _apply(engine: Engine, decision: Decision, row: NetworkRow, after: EndpointRow) -> None:
    spec = after.spec
    mac = None if spec.mac is None else str(spec.mac)
    try:
        decision.update(ENDPOINTS, after.number, spec=spec.to_json(), mac=mac)
    except sqlite3.IntegrityError:
        raise AddressInUseError(
            f"MAC address {mac} is another endpoint's of network {row.spec.name}; give another one"
        ) from None
    if after.sandbox is None:
        # As with its making: who follows hears of what is joined.
        return
    decision.events.append(telling.changed(decision.tx, after))
    plans = {spec.id: plan_endpoint(engine, decision.tx, row, after)}
    inside = wiring.plan(engine, decision.tx, after.sandbox, anew=False)
    plans.update([inside.routes])
    decision.replace(*inside.names)
    # All of it is recorded anew, in the order in which it can be done again.
    for each, plan in plans.items():
        decision.drop(each)
        decision.add(each, plan)
