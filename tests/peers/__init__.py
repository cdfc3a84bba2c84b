"""Other programs: what they write we read, what we write they read, and podman runs on our runtime."""
