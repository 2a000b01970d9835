"""Scenes of rendered text with exact polygons, drawn from a seed: the dataset that needs no files.

`dataset.py` chooses what a picture shows; `signs.py` and `documents.py` lay it out as patches (`patch.py`) of text that
`text.py` makes up and `fonts.py` renders; `placement.py` bends a patch and its boxes by one and the same map;
`backgrounds.py` lies behind, `camera.py` takes the picture.
"""

from ppdet_db.data.synthetic.dataset import SyntheticDataSet

__all__ = ["SyntheticDataSet"]
