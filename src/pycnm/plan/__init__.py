"""Plans: what the kernel should hold, as values.

A `Plan` is a sequence of `Operation` values.  An operation prints itself as the
command a person would type, does itself, undoes itself and checks itself, on
whatever `Session` it is given: the kernel of this machine, or the one in
`pycnm.testing`.
"""

from pycnm.plan.operation import Features, Operation, Plan, Session

__all__ = ["Features", "Operation", "Plan", "Session"]
