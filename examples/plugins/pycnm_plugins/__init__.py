"""Examples of plug-ins for pycnm: a network driver and an IPAM of one's own."""
