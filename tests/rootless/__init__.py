"""An ordinary user: each module is a program that runs as one (scenarios.py), which test_rootless.py starts."""
