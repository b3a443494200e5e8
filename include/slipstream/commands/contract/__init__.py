"""What people do with a contract beside judging by it: bring a suite that they have, try it on past batches."""
