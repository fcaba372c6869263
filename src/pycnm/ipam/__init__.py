"""Address management: which subnet a network gets, and which address an endpoint.

Usable alone, without a kernel and without a controller::

    from pycnm.ipam import DefaultIPAM

    ipam = DefaultIPAM(local_pools=[("10.64.0.0/10", 24)])
    pool_id, pool, _ = ipam.request_pool("LocalDefault")
    address, _ = ipam.request_address(pool_id)

`blocks` is what a subnet and an address are here, `pools` the lists automatic
subnets come from, `runs` and `ledger` the record of what is taken, `default`
and `null` the decisions.
"""

from __future__ import annotations

from pycnm.ipam.base import IPAM, AddressLease, PoolLease, PoolStatus
from pycnm.ipam.default import DefaultIPAM
from pycnm.ipam.ledger import Ledger
from pycnm.ipam.null import NullIPAM

__all__ = [
    "IPAM",
    "AddressLease",
    "DefaultIPAM",
    "Ledger",
    "NullIPAM",
    "PoolLease",
    "PoolStatus",
]
