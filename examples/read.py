"""Read a document through a running Gnosis OCR and print each page as it ends.

python examples/read.py scan.pdf
"""

import sys
import time
from pathlib import Path

import httpx

GNOSIS = "http://127.0.0.1:7799"


def main(path: Path) -> int:
    """Upload, then print pages in the order in which they end."""
    with httpx.Client(base_url=GNOSIS) as client, path.open("rb") as file:
        answer = client.post("/upload", files={"file": (path.name, file)})
        if answer.is_error:
            problem = answer.json()
            print(f"{problem['detail']} {problem['hint']}", file=sys.stderr)
            return 2
        job_id = answer.json()["job_id"]
        printed: set[str] = set()
        while True:
            job = client.get(f"/api/jobs/{job_id}/status").json()
            for number, page in job["pages"].items():
                if page["status"] == "completed" and number not in printed:
                    print(f"--- page {number}\n" + client.get(f"/api/jobs/{job_id}/pages/{number}").text)
                    printed.add(number)
            if job["status"] in ("completed", "partial", "failed", "cancelled"):
                print(job["message"], file=sys.stderr)
                return 0 if job["status"] == "completed" else 1
            time.sleep(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
