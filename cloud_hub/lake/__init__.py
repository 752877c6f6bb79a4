"""What models did on devices, for ever: open Delta tables, written exactly once, and SQL over them."""
