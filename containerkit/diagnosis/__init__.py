"""What is wrong: ``checks`` of this machine, for ``ck.doctor()``, and ``damage`` of a store, in words."""
