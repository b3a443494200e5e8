"""Delta Lake: tables as folders or prefixes of files and a log, read with care and committed with a precondition."""
