"""What a run leaves behind: exposures with new WCSs, the record, and products beside them."""
