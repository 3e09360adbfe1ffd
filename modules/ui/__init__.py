"""The page: Gradio, and only here. `shell.build_page` puts it together, one file per tab."""
