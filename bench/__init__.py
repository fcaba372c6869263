"""How long pycnm takes, beside its peers: `python -m bench --help`."""
