"""Drivers: frozen values that turn specifications into plans.

Drivers of other packages register in the entry-point group `pycnm.drivers`.
"""

from pycnm.drivers.base import Driver, HostNeeds, Use
from pycnm.drivers.bridge import Bridge
from pycnm.drivers.host import Host
from pycnm.drivers.ipvlan import Ipvlan
from pycnm.drivers.macvlan import Macvlan
from pycnm.drivers.null import Null

__all__ = ["Bridge", "Driver", "Host", "HostNeeds", "Ipvlan", "Macvlan", "Null", "Use"]
