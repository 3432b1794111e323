"""Neural style transfer as a library: features, losses, optimisation, metrics and the studies made of them.

Pure: no function here prints, exits, or knows of Prefect and DVC.
"""
