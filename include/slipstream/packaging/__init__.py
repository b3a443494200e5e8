"""From a candidate to a version: the files of its bundle, its card, its Bento, and the parity gate."""
