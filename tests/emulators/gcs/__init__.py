"""Cloud Storage over a real socket, for tests: `docs/emulators.md` says what it does and what it does not."""
