"""Tables of the user: files, cells, columns, and the numbers that a program is given."""
