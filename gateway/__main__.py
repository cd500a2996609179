"""`python -m gateway` is `meter-gateway`."""

import sys

from gateway.cli.main import main

sys.exit(main())
