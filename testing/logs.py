"""What must not be in a server's log."""

import re

BAD_LOG = re.compile(r"internal error|panicked|BUG REPORT|ASSERTION FAILED|Fatal error|out of memory \(", re.IGNORECASE)
