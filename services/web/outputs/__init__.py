"""What clients get of a job's pages: JSON, HTML, plain text, and all of it in one archive (requirement R68)."""
