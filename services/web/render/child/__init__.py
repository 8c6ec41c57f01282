"""The render child: the program that opens one hostile document and draws its pages, in a process of its own."""
