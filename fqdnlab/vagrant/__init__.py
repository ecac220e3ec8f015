"""The client's side of virtual machines: Vagrant's verbs, ssh links, and what is put on them."""
