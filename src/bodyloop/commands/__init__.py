"""The options of each command, and which job they are for; no logic."""
