"""`vedette-agent doctor`: what is wrong with a device, in plain words. It changes nothing."""
