"""How the files of an extension get here: from a folder, a zip or git into a staging folder, and from there in place."""
