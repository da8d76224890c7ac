"""A local web page on which labels are accepted, rejected or sent back."""
