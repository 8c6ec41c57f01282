"""Run by gcloud's own Python: argument lists through gcloud's own parser, manifests through its schema of Cloud Run.

Takes `{"lines": [[word, ...], ...], "manifests": [text, ...]}` on standard input and answers with a list of faults. One
process for all: gcloud takes seconds to start.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

root = Path(sys.argv[1])
sys.path[:0] = [str(root / "lib"), str(root / "lib" / "third_party")]

# All of it gcloud's own, found on the path made just above.
from googlecloudsdk.api_lib.util import apis  # type: ignore[import-not-found]  # noqa: E402
from googlecloudsdk.api_lib.util import messages as messages_util  # noqa: E402
from googlecloudsdk.core import yaml  # type: ignore[import-not-found]  # noqa: E402
from googlecloudsdk.gcloud_main import CreateCLI  # type: ignore[import-not-found]  # noqa: E402

asked = json.load(sys.stdin)
faults = []

parser = CreateCLI([])._CLI__parser
for line in asked["lines"]:
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
            parser.parse_args(line)
    except SystemExit:
        faults.append(f"{' '.join(line)}\n{output.getvalue()}")

kind = apis.GetMessagesModule("run", "v1").Service
for text in asked["manifests"]:
    try:
        messages_util.DictToMessageWithErrorCheck(yaml.load(text), kind)
    except messages_util.DecodeError as error:
        faults.append(str(error))

print(json.dumps(faults))
