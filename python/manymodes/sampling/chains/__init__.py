"""Many chains of NUTS: their starts, one chain, the chains that are missing, and their files."""
