"""The real kernel, by public names, as root; conftest.py has the engine, the image and the look at what is left."""
