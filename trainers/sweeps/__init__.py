"""Many runs of one experiment with other values of some options, and the best of them."""
