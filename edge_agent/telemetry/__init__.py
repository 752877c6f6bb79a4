"""What models did, added up in windows and kept on disk until the hub has them."""
