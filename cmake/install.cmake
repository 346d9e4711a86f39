# Installation rules are filled in with the command line.
