"""`python -m fleet_client` is `vedette`."""

import sys

from fleet_client.cli.main import main

sys.exit(main())
