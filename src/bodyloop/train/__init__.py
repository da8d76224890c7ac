"""Training of everything that ships, as functions of a configuration."""
