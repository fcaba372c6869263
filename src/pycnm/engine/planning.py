"""The plans of what is recorded, as drivers have them now."""

from __future__ import annotations

from pycnm.engine import published, publishing, records
from pycnm.engine.decision import Decision
from pycnm.engine.engine import Engine
from pycnm.engine.realising import use_of
from pycnm.engine.records import EndpointRow, NetworkRow, Reader
from pycnm.plan.operation import Plan


def plan_network(engine: Engine, decision: Decision, row: NetworkRow) -> Plan:
    """What the kernel is to hold for a network, as it is used now."""
    use = use_of(decision, row.number)
    return engine.driver(row.spec).plan_network(row.spec, use, engine.kernel.features)


def plan_endpoint(engine: Engine, reader: Reader, row: NetworkRow, endpoint: EndpointRow) -> Plan:
    """What the kernel is to hold for an endpoint of a network, its ports included."""
    box = None if endpoint.sandbox is None else records.sandbox_row(reader, endpoint.sandbox)
    if box is None or box.down:
        return Plan()
    driver = engine.driver(row.spec)
    plan = driver.plan_endpoint(row.spec, endpoint.spec, box.spec, engine.kernel.features)
    bindings = published.bindings(reader, endpoint.number)
    ports = publishing.plan(driver, row.spec, endpoint.spec, bindings, whole=True)
    return publishing.together(plan, ports)
