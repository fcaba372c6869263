"""cnmfs: container networks as a filesystem.

`tree` has the nodes, `layout` says which object of a `pycnm.Controller` appears
where, `files` what opening, reading and writing means, `adapter` speaks to FUSE,
`mounting` mounts.
"""
