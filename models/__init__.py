"""A policy assembled: signature, network, bundle, export and the runtime; and the bundled policies themselves."""
