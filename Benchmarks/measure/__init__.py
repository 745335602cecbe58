"""What `make bench` measures; each module has one subject."""
