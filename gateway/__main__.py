"""`python -m gateway` is `meter-gateway`."""

import sys

from gateway.cli import main

sys.exit(main())
