"""Every notebook, executed and compared with what is stored; and their index."""
