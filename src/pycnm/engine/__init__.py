"""Where plans meet the kernel and the store: decide, record, do, settle."""
