"""`python -m pycnm` is the `cnm` command."""

import sys

try:
    from pycnm.cli.main import main

    status = main()
except KeyboardInterrupt:
    status = 130
sys.exit(status)
