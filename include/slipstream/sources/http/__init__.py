"""Files on the web as a source: fetched only if they changed, within bounds, from where it is allowed."""
