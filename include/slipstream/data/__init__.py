"""A batch on its way into the data table: how its columns are read, checked and brought to the table's types."""
