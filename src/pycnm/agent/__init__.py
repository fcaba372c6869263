"""The agent: the process that does what must outlive the programs that use pycnm.

One per state directory, started on need by `pycnm.kernel.agent`, gone by itself
when there is nothing left to do.  What it does is up to its services:

- `run`: its life from start to end, and the list of its services.
- `place`: the state directory it serves, which it alone may.
- `server`: requests and answers over the socket.
- `service`: what a service is; `ports` is one.
- `process`: what kind of process it is: detached, private.
"""
