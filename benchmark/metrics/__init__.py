"""Attribution metrics, one file a family."""
