"""Workers without a face: the durable queue, the story of one job, saved pictures. No torch, no gradio, no HTTP."""
