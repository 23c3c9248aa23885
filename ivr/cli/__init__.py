"""What `dozvon` says and does, a file for each thing it is about; `ivr.__main__` has the command line itself."""
