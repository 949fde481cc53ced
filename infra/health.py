#!/usr/bin/env python3
"""trainers-health URL…: ends with 0 if each answers with 200 within five seconds; the image has no curl."""

import sys
import urllib.request

for url in sys.argv[1:]:
    try:
        with urllib.request.urlopen(url, timeout=5):
            pass
    except OSError as error:  # also what is no 200
        sys.exit(f"{url}: {error}")
