"""`python -m pycnm` is the `cnm` command."""

import sys

from pycnm.cli.main import main

sys.exit(main())
