"""The exercises of the course, with Debian images that are made here."""
