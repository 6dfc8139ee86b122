"""Tables of the user: files, cells, columns, and the numbers for a program."""
