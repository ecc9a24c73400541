"""The training loop under every module that trains: one loop to read, and the parts it is made of."""
