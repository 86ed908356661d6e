"""Files by content hash: on the disk before the row that names them, gone once nothing names them."""
