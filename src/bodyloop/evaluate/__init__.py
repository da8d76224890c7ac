"""How good bodies are: metrics, and recovery from held-out motion capture."""
