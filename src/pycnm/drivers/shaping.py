"""How an endpoint with an end on the host is slowed down there."""

from __future__ import annotations

from pycnm.plan.operation import Operation
from pycnm.plan.shaping import Policer, Shaper
from pycnm.spec.objects import EndpointSpec
from pycnm.spec.rates import Rate


def plan_rate(link: str, endpoint: EndpointSpec) -> tuple[Operation, ...]:
    """A queue for what it receives, a limit for what it sends.

    Args:
        link: the host's end.
    """
    rate = Rate.parse(endpoint.rate)
    if rate is None:
        return ()
    shaper = Shaper(link, rate.rate, rate.delay, rate.loss)
    return (shaper, Policer(link, rate.rate, endpoint.alias)) if rate.rate else (shaper,)
