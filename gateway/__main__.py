"""`python -m gateway` is `meter-gateway`."""

import sys

from gateway.cli.entry import main

sys.exit(main())
