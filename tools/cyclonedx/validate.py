"""Says whether a file fits the schema of CycloneDX 1.5; never fetches anything."""

import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(Path(sys.argv[1]).read_text(encoding="utf-8"))
if error:
    sys.exit(f"{sys.argv[1]}: {error.data.json_path}: {error.data.message}" if hasattr(error.data, "json_path") else str(error))
