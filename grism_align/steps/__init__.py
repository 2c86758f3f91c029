"""The stpipe steps and the pipeline: each a form over the other rooms."""
