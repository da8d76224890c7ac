"""Networks. Each a small file; none of them fits, and none imports the fitter."""
