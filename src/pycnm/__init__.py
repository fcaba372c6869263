"""Docker's Container Networking Model as a library, without Docker.

Everything a program needs has its name here; `pycnm.errors` has the errors.

    with pycnm.Controller() as cnm:
        net = cnm.create_network("my_bridge", subnet="10.20.30.0/24")
        c2 = cnm.create_sandbox("c2")
        net.connect(c2)

What is named here is loaded when it is first used: `import pycnm` itself costs
next to nothing, and loads nothing else.
"""

from __future__ import annotations

# As in `typing`, which takes longer to load than the command to understand ^C.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from pycnm import errors as errors
    from pycnm.controller import Controller as Controller
    from pycnm.drivers.base import Driver as Driver
    from pycnm.drivers.bridge import Bridge as Bridge
    from pycnm.drivers.host import Host as Host
    from pycnm.drivers.ipvlan import Ipvlan as Ipvlan
    from pycnm.drivers.macvlan import Macvlan as Macvlan
    from pycnm.drivers.null import Null as Null
    from pycnm.endpoint import Endpoint as Endpoint
    from pycnm.errors import AddressInUseError as AddressInUseError
    from pycnm.errors import AlreadyExistsError as AlreadyExistsError
    from pycnm.errors import CleanupError as CleanupError
    from pycnm.errors import CNMError as CNMError
    from pycnm.errors import InUseError as InUseError
    from pycnm.errors import InvalidArgumentError as InvalidArgumentError
    from pycnm.errors import KernelError as KernelError
    from pycnm.errors import NoInterfaceError as NoInterfaceError
    from pycnm.errors import NotFoundError as NotFoundError
    from pycnm.errors import NotPermittedError as NotPermittedError
    from pycnm.errors import NotSupportedError as NotSupportedError
    from pycnm.errors import OutOfSubnetError as OutOfSubnetError
    from pycnm.errors import PermissionDeniedError as PermissionDeniedError
    from pycnm.errors import PluginError as PluginError
    from pycnm.errors import PoolExhaustedError as PoolExhaustedError
    from pycnm.errors import PoolOverlapError as PoolOverlapError
    from pycnm.errors import PortInUseError as PortInUseError
    from pycnm.errors import StoreError as StoreError
    from pycnm.ipam.base import IPAM as IPAM
    from pycnm.ipam.default import DefaultIPAM as DefaultIPAM
    from pycnm.ipam.null import NullIPAM as NullIPAM
    from pycnm.network import Network as Network
    from pycnm.plan.operation import Plan as Plan
    from pycnm.sandbox import Sandbox as Sandbox
    from pycnm.spec.events import Event as Event
    from pycnm.spec.ports import PortBinding as PortBinding
    from pycnm.spec.ports import PortSpec as PortSpec

_HOMES = {
    "Controller": "pycnm.controller",
    "Network": "pycnm.network",
    "Sandbox": "pycnm.sandbox",
    "Endpoint": "pycnm.endpoint",
    "Driver": "pycnm.drivers.base",
    "Bridge": "pycnm.drivers.bridge",
    "Host": "pycnm.drivers.host",
    "Ipvlan": "pycnm.drivers.ipvlan",
    "Macvlan": "pycnm.drivers.macvlan",
    "Null": "pycnm.drivers.null",
    "IPAM": "pycnm.ipam.base",
    "DefaultIPAM": "pycnm.ipam.default",
    "NullIPAM": "pycnm.ipam.null",
    "Plan": "pycnm.plan.operation",
    "Event": "pycnm.spec.events",
    "PortBinding": "pycnm.spec.ports",
    "PortSpec": "pycnm.spec.ports",
    **dict.fromkeys(
        (
            "CNMError",
            "AddressInUseError",
            "AlreadyExistsError",
            "CleanupError",
            "InUseError",
            "InvalidArgumentError",
            "KernelError",
            "NoInterfaceError",
            "NotFoundError",
            "NotPermittedError",
            "NotSupportedError",
            "OutOfSubnetError",
            "PermissionDeniedError",
            "PluginError",
            "PoolExhaustedError",
            "PoolOverlapError",
            "PortInUseError",
            "StoreError",
        ),
        "pycnm.errors",
    ),
}

__all__ = ["errors", *sorted(_HOMES)]  # noqa: PLE0604 - texts, every one


def __getattr__(name: str) -> Any:
    import importlib  # noqa: PLC0415 - see above

    if name == "errors":
        return importlib.import_module("pycnm.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'pycnm' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
